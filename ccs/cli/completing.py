"""Completes addresses and paths while a command line is typed: `ccs _complete WORD…`, which completion scripts call.

Whatever fails, it prints nothing: no store, no server, no right to look. It starts no server, and waits for none.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["PLACES", "candidates", "complete", "words_in"]

# What stands at each place after a command; the last one again and again if it is `paths`.
PLACES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("get", "set", "merge", "wait"), ("path",)),
    "rm": ("path", "paths"),
    **dict.fromkeys(("ls", "tree", "history", "tail", "briefing", "export"), ("address", "paths")),
    **dict.fromkeys(("at", "diff", "fork"), ("address", "", "paths")),
    **dict.fromkeys(
        ("publish", "send", "claims", "inbox", "members", "policies", "info", "finish", "drop", "import", "ui"),
        ("address",),
    ),
    **dict.fromkeys(("contexts", "top"), ("address",)),
    **dict.fromkeys(("--read", "--write", "--task"), ("address",)),
}
_COMMON = {"--store": "store", "--namespace": "namespace"}
# Options that take no value: what follows them is a word of its own.
_FLAGS = frozenset(
    [
        "--json",
        "--yes",
        "--text",
        "--long",
        "-l",
        "--newest-first",
        "--own",
        "--once",
        "--print-rules",
        "--help",
        "-h",
        "--version",
        "--open",
        "--allow-delete",
    ]
)
_ROOTS = ("/tasks/", "/sessions/", "/actors/", "/global")
_MOST = 1_000
# Seconds that a server has to answer.
_PATIENCE = 0.3


def complete(arguments: Sequence[str]) -> int:
    """Prints what may follow, a candidate a line. With `--line LINE PART`: of a line of bash, which splits words at colons."""
    try:
        words, part = _given(arguments)
        for candidate in candidates(words):
            print(candidate[len(words[-1]) - len(part) :])
    except Exception:  # noqa: BLE001 - whoever types must not be disturbed
        return 0
    return 0


def _given(arguments: Sequence[str]) -> tuple[list[str], str]:
    if arguments[:1] == ["--line"]:
        return words_in(arguments[1]), arguments[2]
    return list(arguments), arguments[-1]


def words_in(line: str) -> list[str]:
    """Returns the words of a line after the program, the last one perhaps not finished, or empty."""
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        return [*words[1:], ""] if not end and line[-1:].isspace() else words[1:]
    return [""]


def candidates(words: Sequence[str]) -> list[str]:
    """Returns what the last word may become. Looks into the store."""
    options, given = _split(words[:-1])
    kind, address = _place(given, words[-1], words[-2] if len(words) > 1 else "")
    if not kind:
        return []
    if kind == "address" and words[-1].count("/") < 2:
        return [root for root in _ROOTS if root.startswith(words[-1])]
    return sorted(set(_found(options, kind, address, words[-1])))


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Returns the options that say where the store is, and the words that are no options."""
    options: dict[str, str] = {}
    given: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            given.append(word)
        elif name not in _FLAGS:
            value = value if equals else next(rest, "")
            if name in _COMMON:
                options[_COMMON[name]] = value
    return options, given


def _place(given: Sequence[str], word: str, before: str) -> tuple[str, str]:
    """Returns what stands at the place of the word, and the address before it."""
    if before in PLACES and before.startswith("-"):
        return PLACES[before][0], ""
    if not given or word.startswith("-") or (before.startswith("-") and before not in _FLAGS):
        return "", ""
    places = PLACES.get(given[0], ())
    index = len(given) - 1
    further = "paths" if places[-1:] == ("paths",) else ""
    return places[index] if index < len(places) else further, given[1] if index else ""


def _found(options: dict[str, str], kind: str, address: str, word: str) -> Iterator[str]:
    store = _store(options)
    if store is None:
        return
    with store:
        if kind == "paths":
            yield from _paths(store, address, "", word)
        elif kind == "path" and (inside := _inside(word)):
            yield from _paths(store, inside, f"{inside}/", word)
        elif word.count("/") < 2:
            yield from (root if root.endswith("/") else f"{root}/" for root in _ROOTS if root.startswith(word))
        else:
            import ccs  # noqa: PLC0415

            end = "/" if kind == "path" else ""
            for info in store.contexts(f"{ccs.escape(word)}*", limit=_MOST):
                yield f"{info.address}{end}"


def _inside(word: str) -> str:
    """Returns the address of the context in which an absolute path is being typed; "" before that."""
    parts = word.split("/")
    if parts[1:2] == ["global"] and len(parts) > 2:
        return "/global"
    return "/".join(parts[:3]) if len(parts) > 3 else ""


def _paths(store: Any, address: str, prefix: str, word: str) -> Iterator[str]:
    import ccs  # noqa: PLC0415

    begun = word[len(prefix) :]
    literal = ccs.escape(begun)
    for path in store.context(address).paths(f"{literal}*", f"{literal}*/**")[:_MOST]:
        rest, slash, _ = path[len(begun) :].partition("/")
        yield f"{prefix}{begun}{rest}{slash}"


def _store(options: dict[str, str]) -> Any:
    """Returns the store; None for a folder without a server that runs."""
    import ccs  # noqa: PLC0415
    from ccs.cli.opened import folder_of  # noqa: PLC0415
    from ccs.embedded.folder import Home  # noqa: PLC0415
    from ccs.embedded.launch import answers  # noqa: PLC0415

    target = options.get("store")
    folder = folder_of(target)
    if folder and not answers(Home(folder)):
        return None
    namespace = options.get("namespace") or os.environ.get("CCS_NAMESPACE") or "ccs"
    return ccs.connect(target, namespace=namespace, retry_for=_PATIENCE)
