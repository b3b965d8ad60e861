"""What `connect` returns: a store, which hands out contexts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

from ccs._async.changes.store_watch import StoreWatch
from ccs._async.context import Context
from ccs._async.context_handle import Handle
from ccs._async.context_listing import describe
from ccs._async.engine import Engine
from ccs._compat import AsyncWork
from ccs._core.commits.commit import Settings
from ccs._core.names.address import GLOBAL, address_of, canonical, check_agent, split_absolute
from ccs._core.names.keys import check_namespace
from ccs._core.names.pattern import compile_addresses
from ccs._core.names.target import parse_target, with_credentials
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, millis, seconds
from ccs._late import loading
from ccs._not_copyable import Local
from ccs.errors import InvalidValue
from ccs.types import ContextInfo, Durability, Entry, Grant, StoreStats

if TYPE_CHECKING:
    from ccs._async.memory.scopes import Memory

__all__ = ["ContextSettings", "Store", "connect"]

T = TypeVar("T")
D = TypeVar("D")

_POSITIVE = "an integer, at least 1"

_DAY = 86_400_000
_IDLE = {"tasks": _DAY, "sessions": 30 * _DAY}
_KEEP_COMMITS = 10_000
_KEEP_BYTES = 16_777_216


def connect(
    target: str | PathLike[str] | None = None,
    *,
    agent: str | None = None,
    namespace: str = "ccs",
    retry_for: Duration = 30.0,
    max_value_bytes: int = 1_048_576,
    embed: Callable[[list[str]], Any] | None = None,
    credential_provider: Any = None,
    durability: Durability | None = None,
) -> Store:
    """Returns a store on a server: that of a folder (`"./brain"`; by default the user's), of a URL, or `memory://`.

    It connects when it is entered or first used. `agent` is written into everything that this store writes. A call raises
    `Unavailable` after `retry_for` seconds (at most 300) without an answer. `embed` takes a list of texts and returns a
    vector for each, for memories that are searched by similarity; with asyncio it may be a coroutine function, and a plain
    one runs in a worker thread. `credential_provider` is one of redis-py's, or has its method `get_credentials` or
    `get_credentials_async`, which is called for a user and a password whenever a connection is made. `durability` says how
    safe the commits of all contexts have to be before their calls return; see `Context.durable`.

        >>> import ccs.aio as ccs
        >>> async with ccs.connect("memory://", agent="gatherer") as store:
        ...     entry = await store.task("q2-market").set("status", "open")
        >>> entry.agent
        'gatherer'
    """
    patience = seconds(retry_for, "retry_for")
    if patience > 300:
        raise InvalidValue(
            f"retry_for is {shown(retry_for)}: at most 300 seconds, since identities are kept for ten minutes"
        )
    limit = _positive("max_value_bytes", max_value_bytes)
    work = None if embed is None else AsyncWork(embed)
    where = with_credentials(parse_target(target), credential_provider)
    engine = Engine(where, check_namespace(namespace), patience, limit, work, _asked(durability))
    return Store(engine, None if agent is None else check_agent(agent))


class ContextSettings(TypedDict, total=False):
    """The settings that a caller can give for a context; see `Store.task`."""

    agent: str | None
    ttl: Duration | EllipsisType | None
    keep_commits: int | None
    keep_bytes: int | None


class Store(Local):
    """A connection to one deployment. It hands out contexts, which needs no I/O.

    Entering it connects, checks the server (raising `UnsafeServer` or `Unavailable`) and starts the subscriptions made so
    far. After it is left, every call raises `StoreClosed`. It can be entered again: it gets a new identity, its contexts
    can be used again, and registered callbacks start again as they did the first time; its earlier watches, mirrors,
    inboxes, claims and presences stay ended.
    """

    def __init__(self, engine: Engine, agent: str | None) -> None:
        self._engine = engine
        self._named = agent

    def __repr__(self) -> str:
        return f"<Store at {self._engine.address} as {self.agent!r}, {self._engine.opening.state}>"

    @property
    def agent(self) -> str:
        """The agent that everything written through this store is attributed to; `<host>:<pid>` if none was given."""
        return self._named or self._engine.default_agent

    @property
    def address(self) -> str:
        """The address of the server, without secrets."""
        return self._engine.address

    async def __aenter__(self) -> Store:
        if self._engine.opening.closed:
            await self._engine.reopen()
        self._engine.opening.check()
        try:
            await self._engine.opening.open()
        except BaseException:
            await self._engine.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self, drain: Duration = 1.0) -> None:
        """Closes the store: ends subscriptions and connections, within about a second.

        Before, for at most `drain` seconds, changes that wait are delivered to callbacks, which can still use the store;
        the rest is logged, and counted as `undelivered`. Claims, presences and messages that this store holds are given
        back at once, so others need not wait until they expire.
        """
        await self._engine.aclose(seconds(drain, "drain"))

    def task(self, id: str, **settings: Unpack[ContextSettings]) -> Context:
        """Returns the context `/tasks/<id>`; it is gone after a day without a commit, or after `ttl` seconds (None: never).

        >>> task = store.task("q2-market", ttl=3600, agent="analyst")
        >>> task.address, task.agent
        ('/tasks/q2-market', 'analyst')
        """
        return self.context(address_of("tasks", id), **settings)

    def session(self, id: str, **settings: Unpack[ContextSettings]) -> Context:
        """Returns the context `/sessions/<id>`; it is gone after 30 days without a commit. Settings as for `task`."""
        return self.context(address_of("sessions", id), **settings)

    def actor(self, id: str, **settings: Unpack[ContextSettings]) -> Context:
        """Returns the context `/actors/<id>`, which never expires by default. Settings as for `task`."""
        return self.context(address_of("actors", id), **settings)

    def global_context(self, **settings: Unpack[ContextSettings]) -> Context:
        """Returns the context `/global`, which never expires by default. Settings as for `task`."""
        return self.context("/global", **settings)

    def context(
        self,
        address: str,
        *,
        agent: str | None = None,
        ttl: Duration | EllipsisType | None = ...,
        keep_commits: int | None = None,
        keep_bytes: int | None = None,
    ) -> Context:
        """Returns the context at an address.

        It expires after `ttl` seconds without a commit (None: never), or later if an entry has a longer ttl; `keep_commits`
        and `keep_bytes` bound its history. A setting that is omitted stays as it is; others apply from the next commit.
        """
        address = canonical(address)
        given = Settings(
            _ttl(ttl), _kept("keep_commits", keep_commits, 10**11), _kept("keep_bytes", keep_bytes, 10**14)
        )
        defaults = Settings(_IDLE.get(address.split("/")[1], 0), _KEEP_COMMITS, _KEEP_BYTES)
        handle = Handle(
            self._engine,
            address,
            self._named if agent is None else check_agent(agent),
            given,
            self._engine.keys(address),
            self._engine.route(address, defaults),
        )
        return Context(handle.durable(self._engine.durability) if self._engine.durability else handle, self)

    def memory(
        self,
        *,
        workflow: str | EllipsisType = ...,
        session: str | EllipsisType = ...,
        actor: str | EllipsisType = ...,
        agent: str | None = None,
    ) -> Memory:
        """Returns a memory that looks up keys in the workflow, then the session, the actor and the global context.

        Each of the three ids may be omitted. Without any, a write must name `scope="global"`. Raises `InvalidPath` for an
        id that is empty or None, so that it never means the memory of everybody.

            >>> memory = store.memory(workflow="w1", session="s1")
            >>> entry = await memory.set("topic", "prices")
            >>> await store.task("w1").get("topic")
            'prices'
        """
        with loading:
            from ccs._async.memory.scopes import Memory  # noqa: PLC0415 - loaded when asked for
        from ccs._core.memory.scopes import scope_address  # noqa: PLC0415

        ids = {"workflow": workflow, "session": session, "actor": actor}
        addresses = {scope: scope_address(scope, each) for scope, each in ids.items() if each is not ...}
        addresses["global"] = GLOBAL
        return Memory({scope: self.context(address, agent=agent) for scope, address in addresses.items()})

    async def contexts(self, pattern: str = "/**", *, limit: int | None = None) -> list[ContextInfo]:
        """Returns the info of each context whose address matches, sorted by address; of at most `limit` of them.

        It scans all keys of the server, page by page, and reads hundreds of contexts in a round trip. A context that is
        created or removed meanwhile may be listed or not. Contexts that the pattern names, without a wildcard, are only
        looked up.
        """
        if limit is not None:
            integer("limit", limit, "how many contexts to return at most")
        return await describe(self._engine, compile_addresses((pattern,)), limit)

    @overload
    async def get(self, path: str, default: D, *, type: type[T], renew: Duration | None = None) -> T | D: ...
    @overload
    async def get(
        self, path: str, default: None = None, *, type: type[T], renew: Duration | None = None
    ) -> T | None: ...
    @overload
    async def get(self, path: str, default: Any = None, *, type: Any = None, renew: Duration | None = None) -> Any: ...
    async def get(self, path: str, default: Any = None, *, type: Any = None, renew: Duration | None = None) -> Any:
        """Returns the value at an absolute path; see `Context.get`."""
        context, path = self._split(path)
        return await context.get(path, default, type=type, renew=renew)

    async def entry(self, path: str, *, type: Any = None) -> Entry | None:
        """Returns the entry at an absolute path; see `Context.entry`."""
        context, path = self._split(path)
        return await context.entry(path, type=type)

    async def set(
        self,
        path: str,
        value: Any,
        *,
        ttl: Duration | None = None,
        if_version: int | None = None,
        if_revision: int | None = None,
    ) -> Entry:
        """Writes a value at an absolute path. Returns its entry; see `Context.set`."""
        context, path = self._split(path)
        return await context.set(path, value, ttl=ttl, if_version=if_version, if_revision=if_revision)

    async def delete(self, path: str, *, if_version: int | None = None, if_revision: int | None = None) -> bool:
        """Removes the entry at an absolute path. Returns whether it existed; see `Context.delete`."""
        context, path = self._split(path)
        return await context.delete(path, if_version=if_version, if_revision=if_revision)

    def watch(
        self,
        *patterns: str,
        since: Mapping[str, int] | None = None,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
    ) -> StoreWatch:
        """Returns a watch of the changes that match in all contexts, also in new ones; in order within each context.

        Patterns are absolute: `/tasks/*/status`. The end of a context is a change with `op="gone"`; contexts that came and
        went while the watch was disconnected, or whose last commits it did not receive, are reported in a change with
        `op="missed"`. A history error is raised once
        and carries the `address` of its context; the watch goes on. Patterns that name their contexts, such as
        `/tasks/{a,b}/**`, cost nothing for other ones.
        """
        return StoreWatch(self._engine, patterns or ("/**",), since=since, buffer=buffer, buffer_bytes=buffer_bytes)

    async def grant(
        self, user: str, *, read: Iterable[str] = (), write: Iterable[str] = (), password: str | None = None
    ) -> Grant:
        """Makes a user of the server who may read and write these contexts, and no others. Returns its grant.

        Addresses may be globs of `*`, `**` and `{a,b}`: `/tasks/*`, `/tasks/team-*`; `write` implies `read`. The user is
        made on every server, replicas too; an earlier grant of the same user is replaced. Without a `password` it gets a
        random one, which only this grant's `url` has. What the user may not do is `Forbidden`; so is this, with the command
        to hand on, to a caller who may not make users. Raises `Misuse` for a folder and for `memory://`, and `InvalidValue`
        for a user that the server has already and that `grant` did not make.
        """
        with loading:
            from ccs._async import access  # noqa: PLC0415 - loaded when asked for

        return await access.grant(self._engine, user, read, write, password)

    async def revoke(self, user: str) -> bool:
        """Removes a user that `grant` has made, and ends its connections. Returns whether there was one."""
        with loading:
            from ccs._async import access  # noqa: PLC0415 - loaded when asked for

        return await access.revoke(self._engine, user)

    async def grants(self) -> list[Grant]:
        """Returns the grants in this namespace, sorted by user, without their passwords."""
        with loading:
            from ccs._async import access  # noqa: PLC0415 - loaded when asked for

        return await access.grants(self._engine)

    async def ping(self) -> float:
        """Returns the seconds that the server took to answer; in a Cluster, the slowest of its primaries.

        Raises `Unavailable` after `retry_for` seconds without an answer.

        >>> await store.ping() < 10
        True
        """
        return await self._engine.opening.ping()

    def stats(self) -> StoreStats:
        """Returns counts of what this store has done since it was made."""
        return self._engine.stats.frozen()

    def _split(self, path: str) -> tuple[Context, str]:
        address, inner = split_absolute(path)
        return self.context(address), inner


def _asked(durability: Durability | None) -> Durability | None:
    if durability is None or isinstance(durability, Durability):
        return durability if durability and durability.waits else None
    raise InvalidValue(f"durability is {shown(durability)}: give a ccs.Durability")


def _ttl(ttl: Duration | EllipsisType | None) -> int | None:
    if isinstance(ttl, EllipsisType):
        return None
    return 0 if ttl is None else millis(ttl)


def _kept(name: str, value: int | None, for_ever: int) -> int | None:
    # A bound beyond what anybody will write keeps everything; the script has room for that many digits.
    return None if value is None else min(integer(name, value, _POSITIVE, 1, math.inf), for_ever)


def _positive(name: str, value: int) -> int:
    return integer(name, value, _POSITIVE, 1)
