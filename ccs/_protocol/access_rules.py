"""The rules by which the server's ACL lets a user work in some contexts and nowhere else.

Commands are listed one by one: those that the scripts call, and those that the client sends. A user who writes some
contexts and only reads others has two sets of rules (a selector, to the server), so that what it may publish and write in
the first it may not in the others.

A user that was made here is known by one key pattern that names the namespace and no context.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256

from ccs._core.commits.field_layout import SHARDED
from ccs._core.names.granted_addresses import acl_glob, address_glob
from ccs._core.names.keys import BIRTHS
from ccs._protocol.scripts import SCRIPTS

__all__ = ["READERS", "WRITERS", "access_rules", "commands_in", "granted", "grants_in", "shown_rules"]

_SENT = (
    "ASKING", "CLIENT|SETNAME", "CLUSTER|SLOTS", "INFO", "PING", "SELECT", "TIME",
    "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE",
    "EVALSHA_RO", "EVAL_RO", "HGET", "XRANGE", "XREVRANGE", "ZCARD", "ZLEXCOUNT",
)  # fmt: skip
# What publishes a commit is an argument of its script; the last two ask how safe it is. `CONFIG GET` asks that too, and
# would show the passwords of the server.
_TO_WRITE = ("EVALSHA", "EVAL", "PUBLISH", SHARDED, "WAIT", "WAITAOF")

READERS = frozenset(_SENT).union(*(script.commands for script in SCRIPTS.values() if script.reads))
"""The commands that reading and watching need."""

WRITERS = READERS.union(_TO_WRITE, *(script.commands for script in SCRIPTS.values()))
"""The commands that writing needs too."""

_READS, _WRITES = "%R~", "~"


def access_rules(
    namespace: str, read: Iterable[str], write: Iterable[str], password: str, known: Collection[str] | None = None
) -> tuple[str, ...]:
    """Returns the arguments of `ACL SETUSER` for a user who may read and write these addresses, or globs of them.

    Of the commands, only those are named that the servers have, if these are `known`: a server refuses any other.
    """
    read = tuple(read)
    write = tuple(write)
    readers = _known(READERS, known)
    head = ("reset", "on", f"#{sha256(password.encode()).hexdigest()}", _mark(namespace))
    if not write:
        return *head, *_rules(namespace, _READS, read, readers)
    apart = (f"({' '.join(_rules(namespace, _READS, read, readers))})",) if read else ()
    return *head, *_rules(namespace, _WRITES, write, _known(WRITERS, known)), *apart


def commands_in(reply: Iterable[bytes]) -> frozenset[str]:
    """Returns the commands of a server, from its reply to `COMMAND LIST`."""
    return frozenset(name.decode().upper() for name in reply)


def _known(commands: Iterable[str], known: Collection[str] | None) -> list[str]:
    return [command for command in commands if known is None or command in known]


def shown_rules(user: str, rules: Sequence[str]) -> str:
    """Returns the command that sets these rules, as text for `redis-cli`, in which the password is left open."""
    shown = (">PASSWORD" if rule.startswith("#") else rule for rule in rules)
    return " ".join(["ACL SETUSER", user, *(f"'{rule}'" if " " in rule or "'" in rule else rule for rule in shown)])


def grants_in(namespace: str, lines: Iterable[bytes]) -> dict[str, tuple[str, ...]]:
    """Returns the users that were made here, with their rules, from the reply to `ACL LIST`."""
    found = {}
    for line in lines:
        _, user, *rules = line.decode(errors="replace").split(" ")
        if _mark(namespace) in rules:
            found[user] = ("reset", *_joined(rules))
    return found


def granted(namespace: str, rules: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the addresses, or globs of them, that rules let a user read, and those that they let it write."""
    words = [word.removeprefix("(") for rule in rules for word in rule.split(" ")]
    return _addresses(namespace, _READS, words), _addresses(namespace, _WRITES, words)


def _mark(namespace: str) -> str:
    return f"{_READS}{acl_glob(namespace, '@grant')}:*"


def _rules(namespace: str, how: str, globs: Sequence[str], commands: Iterable[str]) -> list[str]:
    tags = [acl_glob(namespace, glob) for glob in globs]
    keys = [f"{how}{tag}:*" for tag in tags]
    channels = [f"&{tag}{end}" for tag in tags for end in ("", BIRTHS)]
    return [*keys, *channels, *(f"+{command.lower()}" for command in sorted(commands))]


def _addresses(namespace: str, how: str, words: Iterable[str]) -> tuple[str, ...]:
    tags = (word[len(how) : -2] for word in words if word.startswith(how) and word.endswith(":*"))
    globs = (address_glob(namespace, tag) for tag in tags)
    return tuple(sorted(glob for glob in globs if glob is not None and glob.startswith("/")))


def _joined(words: Iterable[str]) -> tuple[str, ...]:
    """Joins the words of a selector, which the server lists as if they were rules of their own."""
    rules: list[str] = []
    for word in words:
        if rules and rules[-1].startswith("(") and not rules[-1].endswith(")"):
            rules[-1] += f" {word}"
        else:
            rules.append(word)
    return tuple(rules)
