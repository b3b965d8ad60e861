"""Inboxes against a model: no message is lost, or delivered after its ack; in order, to one at a time, for all its attempts.

Agents send (with priorities, delays and ids of their own), receive, acknowledge, release, prolong, recall, purge, pause past
their leases and die, in any order. Leases are long; where one
is to expire, its deadline is moved to now, so that the server ends it and the test does not wait.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import ccs
from ccs._core.commits.operations import renew_op, sweep_op
from ccs._core.recipes.inbox import inbox_paths
from tests.support.waiting import counts, eventually, scaled

AGENTS, ATTEMPTS, ROLE = ("a", "b", "c"), 3, "r/x"
PATHS = inbox_paths(ROLE)


@dataclass
class Sent:
    """A message as the model knows it.

    `current` is the delivery that may settle it, `holder` who has it, `leased` whether it is not free.
    """

    content: int
    message: ccs.Message | None = None
    priority: int = 0
    deliveries: int = 0
    leased: bool = False
    current: ccs.Message | None = None
    holder: str = ""


@dataclass
class Model:
    """The messages in the order of their contents, and the dead letters."""

    sent: list[Sent] = field(default_factory=list)
    dead: list[Sent] = field(default_factory=list)

    @property
    def unread(self) -> list[Sent]:
        """The messages as they are received."""
        return sorted(self.sent, key=lambda sent: (-sent.priority, sent.content))

    def deliver(self) -> Sent | None:
        """Returns the next message, after burying those that were delivered too often."""
        for sent in [each for each in self.unread if not each.leased]:
            if sent.deliveries < ATTEMPTS:
                sent.deliveries, sent.leased = sent.deliveries + 1, True
                return sent
            self.bury(sent)
        return None

    def bury(self, sent: Sent) -> None:
        sent.current = None
        self.sent.remove(sent)
        self.dead.append(sent)

    def sorted_dead(self) -> list[Sent]:
        return sorted(self.dead, key=lambda sent: sent.content)


def machine_for(url: str) -> type[RuleBasedStateMachine]:
    class Inboxes(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.stack, self.model, self.count = ExitStack(), Model(), 0
            store = self.stack.enter_context(ccs.connect(url, namespace=f"t{secrets.token_hex(6)}"))
            self.tasks = {agent: store.task("t", agent=agent) for agent in AGENTS}
            self.task = self.tasks["a"]
            self.inboxes = {agent: self.open(agent) for agent in AGENTS}
            self.deliveries: list[tuple[Sent, ccs.Message]] = []

        def open(self, agent: str) -> ccs.Inbox:
            return self.stack.enter_context(self.tasks[agent].inbox(ROLE, lease=600, attempts=ATTEMPTS))

        def teardown(self) -> None:
            self.stack.close()

        @rule(
            agent=st.sampled_from(AGENTS),
            count=st.integers(1, 3),
            priority=st.sampled_from([0, 0, 0, 2, -1]),
            delayed=st.booleans(),
            named=st.booleans(),
            together=st.booleans(),
        )
        def send(self, agent: str, count: int, priority: int, *, delayed: bool, named: bool, together: bool) -> None:
            contents = range(self.count, self.count + count)
            self.count += count
            options: list[dict[str, Any]] = [
                {"priority": priority, "delay": 600 if delayed else None, "id": f"id/{each}" if named else None}
                for each in contents
            ]
            new = [Sent(each, priority=priority, leased=delayed) for each in contents]
            self.model.sent += new
            if not together:
                for sent, given in zip(new, options, strict=True):
                    sent.message = self.tasks[agent].send(ROLE, sent.content, **given)
                return
            with self.tasks[agent].transaction() as tx:
                for sent, given in zip(new, options, strict=True):
                    tx.send(ROLE, sent.content, **given)

        @precondition(lambda self: any(each.message for each in self.model.sent))
        @rule(data=st.data())
        def send_again(self, data: st.DataObject) -> None:
            """A given id is sent once; any other message is a new one."""
            sent = data.draw(st.sampled_from([each for each in self.model.sent if each.message]))
            assert sent.message
            if sent.message.id != f"id/{sent.content}":
                return
            again = self.task.send(ROLE, "something else", id=sent.message.id)
            assert (again.id, again.content, again.revision) == (sent.message.id, sent.content, sent.message.revision)

        @precondition(lambda self: any(each.message for each in self.model.sent))
        @rule(data=st.data())
        def recall(self, data: st.DataObject) -> None:
            sent = data.draw(st.sampled_from([each for each in self.model.sent if each.message]))
            assert sent.message
            if sent.message.recall():
                assert sent.current is None or not sent.leased, "a receiver has it"
                sent.current = None
                self.model.sent.remove(sent)
            else:
                assert sent.leased
                assert sent.current, "nobody has it"

        @rule(sure=st.integers(0, 4))
        def purge(self, sure: int) -> None:
            if sure:
                return
            assert self.task.inbox(ROLE).purge() == len(self.model.sent)
            for sent in self.model.sent:
                sent.current = None
            self.model.sent = []

        @precondition(lambda self: self.deliveries)
        @rule(data=st.data())
        def extend(self, data: st.DataObject) -> None:
            sent, message = data.draw(st.sampled_from(self.deliveries))
            if sent.current is message and sent.leased:
                return message.extend(1200)
            with pytest.raises(ccs.ClaimLost):
                message.extend(1200)
            return None

        @precondition(lambda self: self.deliveries)
        @rule(data=st.data(), agent=st.sampled_from(AGENTS))
        def ack_elsewhere(self, data: st.DataObject, agent: str) -> None:
            """By its id and token, through another inbox."""
            sent, message = data.draw(st.sampled_from(self.deliveries))
            assert message.token
            inbox = self.tasks[agent].inbox(ROLE)
            if sent.current is message:
                inbox.ack(message.id, message.token)
                sent.current = None
                return self.model.sent.remove(sent)
            with pytest.raises(ccs.ClaimLost):
                inbox.ack(message.id, message.token)
            return None

        @rule(agent=st.sampled_from(AGENTS))
        def receive(self, agent: str) -> None:
            # The server's newest: what expires is nobody's commit.
            inbox, newest = self.inboxes[agent], self.task.revision()
            eventually(lambda: heard(inbox) >= newest, what="the inbox to have heard everything")
            expected = self.model.deliver()
            if expected is None:
                with pytest.raises(TimeoutError):
                    inbox.receive(timeout=0)
                return
            expected.current, expected.holder = inbox.receive(timeout=scaled(10)), agent
            assert (expected.current.content, expected.current.attempts) == (expected.content, expected.deliveries)
            self.deliveries.append((expected, expected.current))

        @precondition(lambda self: self.deliveries)
        @rule(data=st.data())
        def ack(self, data: st.DataObject) -> None:
            sent, message = data.draw(st.sampled_from(self.deliveries))
            if self.settle(sent, message, message.ack):
                self.model.sent.remove(sent)

        @precondition(lambda self: self.deliveries)
        @rule(data=st.data(), delayed=st.booleans())
        def release(self, data: st.DataObject, delayed: bool) -> None:
            sent, message = data.draw(st.sampled_from(self.deliveries))
            if not self.settle(sent, message, lambda: message.release(delay=600 if delayed else 0)):
                return
            sent.leased = delayed
            if sent.deliveries == ATTEMPTS:
                self.model.bury(sent)

        def settle(self, sent: Sent, message: ccs.Message, settle: Callable[[], None]) -> bool:
            """Settles a delivery, which may be an old one. Returns whether it was the current one."""
            if sent.current is not message:
                with pytest.raises(ccs.ClaimLost):
                    settle()
                return False
            settle()
            sent.current = None
            return True

        @precondition(lambda self: any(sent.leased for sent in self.model.unread))
        @rule(data=st.data())
        def lapse(self, data: st.DataObject) -> None:
            """Its holder is dead, or stopped for long: a late ack may still come."""
            sent = data.draw(st.sampled_from([sent for sent in self.model.unread if sent.leased]))
            (name,) = [each.id for each in self.task.inbox(ROLE).unread() if each.content == sent.content]
            self.task.handle.commit([renew_op(PATHS.at("leases", name), 0)])
            self.task.handle.commit([sweep_op()])
            sent.leased = False

        @rule(agent=st.sampled_from(AGENTS))
        def begin_again(self, agent: str) -> None:
            """A receiver leaves, which gives its messages back, and returns; late acks of these still count."""
            self.inboxes[agent].close()
            for sent in self.model.unread:
                if sent.current and sent.holder == agent:
                    sent.leased = False
            self.inboxes[agent] = self.open(agent)

        @rule()
        def look_at_the_dead(self) -> None:
            for sent in [each for each in self.model.unread if not each.leased and each.deliveries == ATTEMPTS]:
                self.model.bury(sent)
            found = self.task.inbox(ROLE, attempts=ATTEMPTS).dead()
            assert [each.content for each in found] == [sent.content for sent in self.model.sorted_dead()]
            assert {each.attempts for each in found} <= {ATTEMPTS}

        @invariant()
        def what_is_unread_is_known(self) -> None:
            found = [(each.content, each.attempts) for each in self.task.inbox(ROLE).unread()]
            assert found == [(sent.content, sent.deliveries) for sent in self.model.unread]
            assert self.task.inbox(ROLE).count() == len(found)

        @invariant()
        def nothing_else_is_left(self) -> None:
            kinds = [path.split("/")[-2] for path in self.task.paths(f"{PATHS.root}/**")]
            assert kinds.count("leases") == sum(sent.leased for sent in self.model.unread)
            assert kinds.count("deliveries") == sum(sent.deliveries > 0 for sent in self.model.unread)
            assert kinds.count("dead") == len(self.model.dead)

    return Inboxes


def heard(inbox: Any) -> int:
    """The revision up to which an inbox has received everything."""
    view = inbox._desk.view
    return int(max(view._mailbox.seen.revision, view._read.revision))


def test_an_inbox_does_as_its_model_does(valkey: str) -> None:
    quick = settings(
        max_examples=counts(25, 1000),
        stateful_step_count=counts(20, 80),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine_for(valkey), settings=quick)
