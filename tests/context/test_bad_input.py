"""Whatever arguments a public function gets, it returns a result, or raises an error of CCS."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.colours import COLOURS, Awaited, connect_in

NAN = float("nan")
BAD: list[Any] = [
    None,
    "",
    b"\xff",
    "\ud800",
    -1,
    0,
    1.5,
    NAN,
    float("inf"),
    10**30,
    True,
    object(),
    [],
    {},
    [None],
    print,
]
UNBOUNDED = {"timeout", "wait"}
"""What waits for ever where it is None, and is not tried with it."""

GIVEN: dict[str, Any] = {
    "path": "a",
    "paths": ["a"],
    "pattern": "a",
    "patterns": ["a"],
    "value": 1,
    "values": {"a": 1},
    "patch": {"a": 1},
    "fn": lambda *args: 1,
    "callback": lambda *args: None,
    "until": 1,
    "since": 0,
    "ttl": 60,
    "timeout": 0,
    "wait": 0,
    "when": datetime.now(UTC),
    "key": "k",
    "id": "i",
    "address": "/tasks/other",
    "resource": "r",
    "resources": ["r"],
    "to": "role",
    "role": "role",
    "content": "text",
    "topic": "topic",
    "data": 1,
    "name": "n",
    "parties": ["test"],
    "policy": "reject",
    "description": "text",
    "before": datetime.now(UTC),
    "steps": ["one"],
    "query": [1.0, 0.0],
    "embedding": [1.0, 0.0],
    "success": True,
    "template": "k/{a}",
    "actor": "a",
    "session": "s",
    "workflow": "w",
    "limit": 1,
    "revision": 1,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "barrier": {"parties": 1, "name": "b"},
    "claim_any": {"resources": ["r"]},
    "claim": {"wait": 0},
}
"""What a method is given beside, or instead of, what its parameters are given everywhere."""

LEFT_OUT = {"aclose", "close", "drop", "finish", "scan"}
PLACES: dict[str, Callable[[Any], Any]] = {
    "store": lambda store: store,
    "context": lambda store: store.task("t"),
    "memory": lambda store: store.memory(session="s"),
    "semantic": lambda store: store.task("t").semantic,
    "episodic": lambda store: store.task("t").episodic,
    "procedural": lambda store: store.task("t").procedural,
}


def _methods(thing: Any) -> Iterator[tuple[str, inspect.Signature]]:
    for name in dir(type(thing)):
        if name.startswith("_") or name in LEFT_OUT or isinstance(inspect.getattr_static(thing, name), property):
            continue
        if callable(getattr(thing, name)):
            yield name, inspect.signature(getattr(thing, name))


def _calls(name: str, signature: inspect.Signature) -> Iterator[tuple[str, Any, list[Any], dict[str, Any]]]:
    """Each parameter in turn with each bad value; the others are given what is right."""
    given = GIVEN | OPTIONS.get(name, {})
    for wrong in signature.parameters.values():
        for bad in BAD:
            if bad is None and wrong.name in UNBOUNDED:
                continue
            args: list[Any] = []
            named: dict[str, Any] = {}
            for each in signature.parameters.values():
                value = bad if each is wrong else given.get(each.name)
                if each.kind is each.VAR_POSITIONAL:
                    args += [bad] if each is wrong else given.get(each.name, [])
                elif each.kind is each.POSITIONAL_OR_KEYWORD and (
                    each is wrong or each.default is each.empty or not named
                ):
                    if each is wrong or each.default is each.empty:
                        args.append(value)
                    else:
                        args.append(each.default)
                elif each.kind is each.KEYWORD_ONLY and (
                    each is wrong or each.default is each.empty or each.name in UNBOUNDED
                ):
                    named[each.name] = value
            yield wrong.name, bad, args, named


async def _done(result: Any) -> None:
    """Whatever a call hands back is used: awaited, entered and left."""
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, Awaited):
        result = result if hasattr(result.blocking, "__enter__") else None
    if hasattr(result, "__aenter__"):
        async with result:
            pass
    if isinstance(result, (ccs.Subscription, ccs.aio.Subscription)):
        result.cancel()


@pytest.fixture
def unopened() -> dict[str, Any]:
    """A store of each colour; made where no loop runs, as the first one imports fakeredis."""
    return {colour: connect_in(colour, f"memory://{secrets.token_hex(4)}", agent="test") for colour in COLOURS}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("place", PLACES)
async def test_bad_input_raises_an_error_of_ccs(unopened: dict[str, Any], colour: str, place: str) -> None:
    faults: list[str] = []
    async with unopened[colour] as store:
        thing = PLACES[place](store)
        plain = thing.blocking if isinstance(thing, Awaited) else thing
        for name, signature in _methods(plain):
            for parameter, bad, args, named in _calls(name, signature):
                try:
                    await _done(getattr(thing, name)(*args, **named))
                except (ccs.CCSError, TimeoutError):
                    pass
                except Exception as error:  # noqa: BLE001  # all of them are told together
                    faults.append(f"{place}.{name}({parameter}={bad!r}): {error!r}")
    assert not faults, f"{len(faults)}\n" + "\n".join(faults)
