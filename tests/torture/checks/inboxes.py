"""Inboxes: sent once, delivered to one at a time, counted, and never again once acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.torture.checks.timeline import Timeline, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Call, Commit, Step

__all__ = ["wrong_inboxes"]

RULE = "inboxes"


@dataclass
class _Post:
    """A message so far: how often it was delivered, who has it, and whether it is over."""

    deliveries: int = 0
    holder: str = ""
    over: bool = False


def wrong_inboxes(timelines: Timelines) -> Iterator[Violation]:
    """Messages that come again after they were acknowledged, or to two at a time."""
    for address, timeline in timelines.items():
        yield from _posts(address, timeline)
    yield from _received(timelines)


def _posts(address: str, timeline: Timeline) -> Iterator[Violation]:
    posts: dict[str, _Post] = {}
    for commit in timeline.commits:
        for step in commit.steps:
            if step.path.startswith("@inbox/"):
                problem = _move(posts, commit, step)
                if problem:
                    yield Violation(RULE, f"{address}: {step.path.rpartition('/')[2]} {problem}", (commit,))


def _move(posts: dict[str, _Post], commit: Commit, step: Step) -> str | None:
    kind, name = step.path.split("/")[-2:]
    post = posts.setdefault(name, _Post())
    if kind == "messages":
        if step.op == "set":
            return "was sent twice" if step.before or post.deliveries or post.over else None
        buried = any(other.path.endswith(f"/dead/{name}") and other.after for other in commit.steps)
        settled = step.op == "delete" and not buried
        post.over = True
        return "was acknowledged by who did not have it" if settled and commit.agent != post.holder else None
    if kind == "deliveries" and step.after:
        return _deliver(post, commit, step)
    return None


def _deliver(post: _Post, commit: Commit, step: Step) -> str | None:
    count = step.after.value["count"] if step.after else 0
    if count == post.deliveries:  # given back
        post.holder = ""
        return None
    if post.over:
        return "was delivered after its end"
    if count != post.deliveries + 1:
        return f"was delivered as number {count} after {post.deliveries}"
    lease = step.path.replace("/deliveries/", "/leases/")
    if any(other.path == lease and other.before for other in commit.steps):
        return "was delivered while somebody had it"
    post.deliveries, post.holder = count, commit.agent
    return None


def _received(timelines: Timelines) -> Iterator[Violation]:
    """What receivers were handed, beside what they had acknowledged."""
    history = timelines.history
    acknowledged = {call.args["id"]: call for call in history.of("ack") if call.ok}
    seen: dict[tuple[str, int], Call] = {}
    for call in history.of("receive"):
        if not call.ok:
            continue
        name, attempt = call.reply["id"], call.reply["attempts"]
        ack = acknowledged.get(name)
        first = seen.setdefault((name, attempt), call)
        if ack and ack.answered < call.asked and not history.excused(call.address, ack.asked, call.answered):
            yield Violation(RULE, f"{call.address}: {name} came again after it was acknowledged", (ack, call))
        if first is not call and not history.excused(call.address, first.asked, call.answered):
            yield Violation(RULE, f"{call.address}: delivery {attempt} of {name} was handed out twice", (first, call))
