# Generated from ccs/_async/transport/commands.py by scripts/twin. Do not edit.
"""Runs commands: one policy of retries, scripts loaded where they are missing, errors of the server as ours.

In a Cluster each command goes to the node that serves its slot, and follows it where that moves.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from ccs._compat import side_by_side, sleep
from ccs._core.commits.commit import Argument
from ccs._core.commits.script_calls import Call
from ccs._core.nodes.cluster_layout import Node, replicas_in
from ccs._core.nodes.slots import slot_of, slot_of_command
from ccs._core.retry import Patience, backoff
from ccs._log import logger
from ccs._protocol.faults import Departed, Disconnected, copy_of, denied, is_served_elsewhere, passes, reply_fault
from ccs._protocol.replies import ServerError
from ccs._protocol.rights import lacks_read_only
from ccs._protocol.scripts import SCRIPTS
from ccs._stats import Counters
from ccs._sync.transport.pool import Pool
from ccs._sync.transport.topology import Topology
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["ASKING", "Commands"]

T = TypeVar("T")

_PATIENT = 3
# How often a command follows a slot that has moved before it waits. Seconds of back-off at most, where another server
# takes over for one that has failed.
_REDIRECTIONS = 3
_FAILING_OVER = 0.15

ASKING = ("ASKING",)
"""What goes before each command for a node that does not own its slot yet, but takes it over at present."""

Travel = Callable[[Pool, Any, Patience, bool], Any]
"""Sends a command, or several, to a server, each behind `ASKING` if the last argument is true. Returns the reply."""


class Commands:
    """Runs commands on the servers of a store."""

    def __init__(self, topology: Topology, address: str, user: str, retry_for: float, stats: Counters) -> None:
        self.topology = topology
        self.clock = topology.clock
        self.address = address
        self._user = user
        self._retry_for = retry_for
        self._stats = stats
        # Those who may only read may not call a script in any other way.
        self._reads_apart = topology.has_read_only_calls

    def __repr__(self) -> str:
        return f"<Commands over {self.topology!r}>"

    def run(
        self,
        command: Any,
        *,
        travel: Travel | None = None,
        near: str = "",
        at: Node | None = None,
        writes: bool = False,
        patience: Patience | None = None,
        text: str = "",
        again: Callable[[], Any] | None = None,
    ) -> Any:
        """Sends a command, again and again while there is `patience` (by default for `retry_for` seconds). Returns the reply.

        `text` is the script that the command calls, which is sent only if the server does not know it. `travel` sends the
        command, by default alone. It goes to the node that serves its key, or the key `near`, or to the node `at`. `again`
        returns what to send instead, once the server may have seen the command.

        Raises `Unavailable` when the patience is over, wherever the command waits by then: with `maybe_applied` if it
        `writes` and the server may have seen it. Raises `StoreFull`, and `Forbidden` for what the user may not do, at once.
        Raises `Departed` if the node `at` serves no slots of the Cluster any more.
        """
        patience = patience or self.patience()
        topology = self.topology
        attempt = redirections = 0
        pool: Pool | None = None
        asked: Pool | None = None
        while True:
            seen_before = patience.sent
            try:
                pool = topology.only or asked or self._pool_for(command, near, at, patience)
                if travel is None and asked is None:
                    return pool.call(command, patience)
                return (travel or _one)(pool, command, patience, asked is not None)
            except Unavailable as error:
                raise Unavailable(error.address, patience.sent and writes, error.reason) from error
            except Disconnected as error:
                failure: Exception = error
                reason = str(error)
                asked = None
            except ServerError as error:
                failure = error
                patience.sent = seen_before  # this attempt was answered, and has done nothing
                if instead := self._spelled_otherwise(error, command, text):
                    command = instead
                    continue
                asked = topology.redirected(pool, error) if pool else None
                redirections += 1
                if is_served_elsewhere(error) and error.code != "TRYAGAIN" and redirections <= _REDIRECTIONS:
                    continue
                reason = self._reason(error, command, text, patience.sent and writes)
            topology.doubt(failure)
            if patience.sent and again is not None:
                command = again()
            self._pause(attempt, patience, reason, patience.sent and writes)
            attempt += 1

    def _pool_for(self, command: Any, near: str, at: Node | None, patience: Patience) -> Pool:
        if at:
            if at not in self.topology.primaries(patience):
                raise Departed(f"{at} serves no slots any more")
            return self.topology.at(at)
        slot = slot_of(near) if near else slot_of_command(_first_of(command))
        return self.topology.pool_of(slot, patience)

    def patience(self) -> Patience:
        """Returns the patience of a command that begins now."""
        return Patience(time.monotonic() + self._retry_for)

    def forbidden(self, action: str) -> Forbidden:
        """Returns the error for an action that the server does not let the user do."""
        return Forbidden(self.address, self._user, action)

    def call(self, call: Call[T], patience: Patience | None = None) -> T:
        """Calls a script by its digest, or by its text if the server does not know it. Returns what it answers."""
        text = SCRIPTS[call.script].text
        return call.parse(self.run(self._command(call), text=text, patience=patience))

    def calls(self, calls: Sequence[Call[Any]], patience: Patience | None = None) -> list[Any]:
        """Makes several calls in one round trip, or in two if the server does not know their scripts. Returns the raw replies.

        In a Cluster, those for one node travel together. If the server answers a call with an error, that error is in the
        position of the reply.
        """
        if self.topology.only:
            return self._calls(calls, patience)
        return self._grouped(calls, [self._command(call) for call in calls], self._calls, patience)

    def _calls(self, calls: Sequence[Call[Any]], patience: Patience | None) -> list[Any]:
        replies: list[Any] = self.run([self._command(call) for call in calls], travel=_each, patience=patience)
        unknown = [index for index, reply in enumerate(replies) if _is_unknown(reply)]
        if unknown:
            again = self._with_texts([calls[index] for index in unknown])
            found = self.run(again, travel=_each, patience=patience)
            for index, reply in zip(unknown, found, strict=True):
                replies[index] = reply
        return [self._judged(call, reply, patience) for call, reply in zip(calls, replies, strict=True)]

    def _judged(self, call: Call[Any], reply: Any, patience: Patience | None) -> Any:
        if not isinstance(reply, ServerError):
            return reply
        text = SCRIPTS[call.script].text
        try:
            command = self._command(call)
            if is_served_elsewhere(reply) or self._has_no_read_only(reply, command):
                return self.run(self._command(call), text=text, patience=patience)
            reply_fault(reply, self.address, self._user, command, text)
        except CCSError as error:
            return error
        return reply

    def run_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience | None = None) -> list[Any]:
        """Sends several reads in one round trip, in a Cluster one for each slot. Returns the replies."""
        if self.topology.only:
            return self._run_all(commands, patience)
        return self._grouped(commands, commands, self._run_all, patience, by_slot=True)

    def _run_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience | None) -> list[Any]:
        replies: list[Any] = self.run(commands, travel=_all_or_none, patience=patience)
        return replies

    def _grouped(
        self,
        items: Sequence[Any],
        commands: Sequence[tuple[Argument, ...]],
        send: Callable[[Sequence[Any], Patience | None], list[Any]],
        patience: Patience | None,
        *,
        by_slot: bool = False,
    ) -> list[Any]:
        """Sends each of the items to the node, or with its slot, that its command is for: side by side."""
        groups: dict[object, list[int]] = {}
        for index, command in enumerate(commands):
            slot = slot_of_command(command)
            group = slot if by_slot or slot is None else self.topology.layout.owner(slot)
            groups.setdefault(group, []).append(index)
        # Each with a patience of its own, as each notes whether it was sent.
        until = (patience or self.patience()).until
        sent = [partial(send, [items[index] for index in indexes], Patience(until)) for indexes in groups.values()]
        replies: list[Any] = [None] * len(items)
        for indexes, found in zip(groups.values(), side_by_side(sent), strict=True):
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply
        return replies

    def on_each(
        self, commands: Mapping[Node | None, tuple[Argument, ...]], patience: Patience | None = None
    ) -> dict[Node | None, Any]:
        """Sends one command to each of some nodes, side by side; None is the only server. Returns the replies.

        Raises `Departed` if one of them serves no slots any more, as another one has taken over.
        """
        until = (patience or self.patience()).until
        sent = [partial(self.run, command, at=node, patience=Patience(until)) for node, command in commands.items()]
        return dict(zip(commands, side_by_side(sent), strict=True))

    def primaries(self, patience: Patience | None = None) -> list[Node | None]:
        """Asks which nodes hold contexts; None is the only server. Raises `Unavailable` if nobody can tell in time."""
        if self.topology.only:
            return [None]
        patience = patience or self.patience()
        attempt = 0
        while True:
            reason = "no node of the Cluster serves a slot"
            try:
                if found := self.topology.present_primaries(patience):
                    return [*found]
            except Disconnected as error:
                reason = str(error)
            self._pause(attempt, patience, reason, False)
            attempt += 1

    def earliest_time(self) -> int:
        """Returns the time of the server, in microseconds; in a Cluster, by the clock that is furthest behind."""
        while True:
            try:
                clocks = self.on_each(dict.fromkeys(self.primaries(), ("TIME",)))
            except Departed:
                continue  # its successor is asked
            return min(int(seconds) * 1_000_000 + int(micros) for seconds, micros in clocks.values())

    def on_every_server(self, command: tuple[Argument, ...]) -> dict[Node | None, Any]:
        """The replies of all servers to one command, replicas too, side by side; None is the only primary.

        The replicas of a server are those that are connected to it. A Cluster says itself which nodes it has.
        """
        nodes: list[Node] = []
        sent: dict[Node | None, Callable[[], Any]] = {}
        if self.topology.only:
            nodes = replicas_in(self.run(("INFO", "replication")))
            sent[None] = partial(self.run, command)
        else:
            nodes = self.topology.nodes_in(self.run(("CLUSTER", "SHARDS")))
        sent |= {node: partial(self._at_server, node, command) for node in nodes}
        return dict(zip(sent, side_by_side(list(sent.values())), strict=True))

    def _at_server(self, node: Node, command: tuple[Argument, ...]) -> Any:
        if not self.topology.only:
            return self.run(command, travel=partial(_to_server, self.topology.at(node), node))
        replica = self.topology.new_pool(node)
        try:
            return self.run(command, travel=partial(_to_server, replica, node))
        finally:
            replica.close()

    def close(self) -> None:
        """Closes the connections, and lets go of the server that they lead to."""
        self.topology.close()

    def _command(self, call: Call[Any], *, spelled: bool = False) -> tuple[Argument, ...]:
        """Returns the command for a call: by the digest of its script, or `spelled` out."""
        script = SCRIPTS[call.script]
        verb = "EVAL" if spelled else "EVALSHA"
        if self._reads_apart and script.reads:
            verb += "_RO"
        return verb, script.text if spelled else script.digest, str(len(call.keys)), *call.keys, *call.arguments

    def _with_texts(self, calls: Sequence[Call[Any]]) -> list[tuple[Argument, ...]]:
        """Returns the commands for calls whose scripts the server does not know: the first of each script carries its text."""
        sent: set[str] = set()
        commands = []
        for call in calls:
            commands.append(self._command(call, spelled=call.script not in sent))
            sent.add(call.script)
        return commands

    def _spelled_otherwise(self, error: ServerError, command: Any, text: str) -> tuple[Argument, ...] | None:
        """Returns how else to call a script, if the server refuses the command only for how it was called."""
        if error.code == "NOSCRIPT":
            return command[0].replace("SHA", ""), text, *command[2:]
        if self._has_no_read_only(error, command):
            return command[0].removesuffix("_RO"), *command[1:]
        return None

    def _has_no_read_only(self, error: ServerError, command: Any) -> bool:
        """Returns whether a read was refused only for how it was called; then reads are called as writes are."""
        refused = isinstance(command[0], str) and command[0].endswith("_RO") and lacks_read_only(str(error))
        if refused:
            self._reads_apart = False
        return refused

    def _reason(self, error: ServerError, command: Any, text: str, maybe_applied: bool) -> str:
        try:
            return reply_fault(error, self.address, self._user, _first_of(command), text)
        except Forbidden as forbidden:
            if maybe_applied:
                raise Unavailable(self.address, maybe_applied, str(forbidden)) from forbidden
            raise

    def _backoff(self, attempt: int) -> float:
        if self.topology.fails_over:
            return backoff(attempt, random.random(), _FAILING_OVER)
        return backoff(attempt, random.random())

    def _pause(self, attempt: int, patience: Patience, reason: str, maybe_applied: bool) -> None:
        now = time.monotonic()
        if patience.over(now):
            raise Unavailable(self.address, maybe_applied, reason)
        delay = min(patience.until - now, self._backoff(attempt))
        self._stats.add("retries")
        logger.log(_loudness(attempt), "%s: %s; trying again in %.2f s", self.address, reason, delay)
        sleep(delay)


def _one(pool: Pool, command: tuple[Argument, ...], patience: Patience, asking: bool) -> Any:
    return _all_or_none(pool, [command], patience, asking)[0]


def _all_or_none(pool: Pool, commands: Sequence[tuple[Argument, ...]], patience: Patience, asking: bool) -> list[Any]:
    replies = _replies(pool, commands, patience, asking)
    for reply in replies:
        if isinstance(reply, ServerError):
            raise reply
    return replies


def _to_server(server: Pool, node: Node, _: Pool, command: Any, patience: Patience, asking: bool) -> Any:
    try:
        return server.call(command, patience)
    except Disconnected as error:
        raise Disconnected(f"{node}: {error}", error.sent) from error


def _each(pool: Pool, commands: Sequence[tuple[Argument, ...]], patience: Patience, asking: bool) -> list[Any]:
    replies = _replies(pool, commands, patience, asking)
    for reply in replies:
        if isinstance(reply, ServerError) and passes(reply) and not is_served_elsewhere(reply):
            raise reply
    return replies


def _replies(pool: Pool, commands: Sequence[tuple[Argument, ...]], patience: Patience, asking: bool) -> list[Any]:
    if not asking:
        return pool.call_all(commands, patience)
    replies = pool.call_all([each for command in commands for each in (ASKING, command)], patience)
    if denied(replies[0]):
        raise copy_of(replies[0])
    return replies[1::2]


def _first_of(command: Any) -> tuple[Argument, ...]:
    """Returns the command, or the first of several."""
    first: tuple[Argument, ...] = command if isinstance(command[0], str) else command[0]
    return first


def _is_unknown(reply: Any) -> bool:
    return isinstance(reply, ServerError) and reply.code == "NOSCRIPT"


def _loudness(attempt: int) -> int:
    # One warning for an outage, not one for every attempt; most are over before it.
    return logging.WARNING if attempt == _PATIENT else logging.INFO
