"""Users of the server who may work in some contexts only: makes, lists and removes them, on every server of a store."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from ccs._async.engine import Engine
from ccs._core.names.granted_addresses import address_globs
from ccs._core.names.target import login_url
from ccs._core.quoted_values import shown
from ccs._protocol.access_rules import access_rules, commands_in, granted, grants_in, shown_rules
from ccs.errors import CCSError, Forbidden, InvalidValue, Misuse, Unavailable
from ccs.types import Grant

__all__ = ["grant", "grants", "revoke"]

_NAME = re.compile(r"[^\s\x00-\x1f\x7f\ud800-\udfff]{1,256}")
_SECRET_BYTES = 32
_REFUSED = {
    "folder": "who may open the folder owns all of it, and the server knows no other user; give a server of your own a URL",
    "memory": "a store in memory belongs to its process and knows no users; take a folder of your own, or a server's URL",
}


async def grant(engine: Engine, user: str, read: Iterable[str], write: Iterable[str], password: str | None) -> Grant:
    """Lets a user read and write some contexts, and nothing else. Replaces an earlier grant of the same user."""
    _check(engine)
    name = _user(user)
    reads = address_globs("read", read)
    writes = address_globs("write", write)
    if not reads and not writes:
        raise InvalidValue(f"a grant for {shown(name)} names no address: give read=, write= or both")
    secret = secrets.token_urlsafe(_SECRET_BYTES) if password is None else _password(password)
    rules = access_rules(engine.namespace, reads, writes, secret, await _known(engine))
    command = shown_rules(name, rules)
    try:
        if name in await _users(engine) and name not in await _found(engine):
            raise InvalidValue(f"the server has a user {shown(name)} that was not made by grant: choose another name")
        await engine.opening.commands.on_every_server(("ACL", "SETUSER", name, *rules))
    except Forbidden as error:
        raise _without_right(
            error, f"make users; have this run by a user who may, on every server: {command}"
        ) from error
    return Grant(name, reads, writes, login_url(engine.target, name, secret), rules, await _saved(engine))


async def revoke(engine: Engine, user: str) -> bool:
    """Removes a user that `grant` has made, and ends its connections. Returns whether there was one."""
    _check(engine)
    name = _user(user)
    try:
        if name not in await _found(engine):
            return False
        await engine.opening.commands.on_every_server(("ACL", "DELUSER", name))
    except Forbidden as error:
        raise _without_right(error, f"remove users; have this run by a user who may: ACL DELUSER {name}") from error
    await _saved(engine)
    return True


async def grants(engine: Engine) -> list[Grant]:
    """Returns the users that `grant` has made, sorted by name, without their passwords."""
    _check(engine)
    try:
        found = await _found(engine)
    except Forbidden as error:
        raise _without_right(error, "list users; connect as a user who may run ACL LIST") from error
    return [
        Grant(user, *granted(engine.namespace, rules), login_url(engine.target, user), rules)
        for user, rules in sorted(found.items())
    ]


def _check(engine: Engine) -> None:
    if reason := _REFUSED.get(engine.target.kind):
        raise Misuse(f"{engine.address} grants nothing: {reason}")


def _user(user: object) -> str:
    if not isinstance(user, str) or not _NAME.fullmatch(user):
        raise InvalidValue(
            f"{shown(user)} is not the name of a user: give text without blanks, of at most 256 characters, that UTF-8 can carry"
        )
    return user


def _password(password: object) -> str:
    if not isinstance(password, str) or not password:
        raise InvalidValue("a password is text that is not empty, or None for a random one")  # never shown
    try:
        password.encode()
    except UnicodeEncodeError:  # whose object is the password
        raise InvalidValue("the password holds a lone surrogate, which UTF-8 cannot carry") from None
    return password


async def _known(engine: Engine) -> frozenset[str] | None:
    """Returns the commands that all of the servers have; None if this user may not ask."""
    await engine.opening.ready()
    try:
        replies = await engine.opening.commands.on_every_server(("COMMAND", "LIST"))
    except Forbidden:
        return None
    return frozenset.intersection(*map(commands_in, replies.values()))


async def _lists(engine: Engine) -> list[Sequence[bytes]]:
    await engine.opening.ready()
    return list((await engine.opening.commands.on_every_server(("ACL", "LIST"))).values())


async def _users(engine: Engine) -> set[str]:
    return {line.split(b" ", 2)[1].decode(errors="replace") for lines in await _lists(engine) for line in lines}


async def _found(engine: Engine) -> dict[str, tuple[str, ...]]:
    """Returns the users that were made here and their rules: also one that only some of the servers have."""
    found: dict[str, tuple[str, ...]] = {}
    for lines in await _lists(engine):
        found = {**grants_in(engine.namespace, lines), **found}
    return found


async def _saved(engine: Engine) -> bool:
    """Has every server write its users to disk. Returns whether all of them could: a server without a file for them cannot."""
    try:
        replies: dict[Any, Any] = await engine.opening.commands.on_every_server(("ACL", "SAVE"))
    except Unavailable:
        raise
    except CCSError:
        return False
    return all(reply == b"OK" for reply in replies.values())


def _without_right(error: Forbidden, action: str) -> Forbidden:
    what, _, hint = action.partition("; ")
    return Forbidden(error.address, error.user, what, hint)
