"""Claims: one holder at a time, tokens that only rise, no write with a stale one, no trust past the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.torture.checks.timeline import SLACK, Timeline, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Call

__all__ = ["wrong_claims"]

RULE = "claims"
CLAIMS, GUARDED = "@claims/", "guarded/"


def wrong_claims(timelines: Timelines) -> Iterator[Violation]:
    """Claims held by two, tokens that fall, writes with a stale token."""
    ended: dict[str, dict[int, int]] = {}
    for address, timeline in timelines.items():
        ended[address] = {}
        yield from _holds(address, timeline, ended[address])
    yield from _tokens(timelines)
    yield from _beliefs(timelines, ended)


def _holds(address: str, timeline: Timeline, ended: dict[int, int]) -> Iterator[Violation]:
    standing: dict[str, int] = {}
    for commit in timeline.commits:
        for op, path, before, after in commit.steps:
            resource = path.partition("/")[2]
            if path.startswith(CLAIMS) and op == "set":
                if before or resource in standing:
                    yield Violation(RULE, f"{address}: two hold {resource}", (standing.get(resource), commit))
                standing[resource] = commit.revision
            elif path.startswith(CLAIMS) and resource in standing:
                token = standing.pop(resource)
                # Of what an operator has broken, its holder learns later.
                if op == "expire" or (before and before.agent == commit.agent):
                    ended[token] = commit.at
            elif path.startswith(GUARDED) and after and after.value["token"] != standing.get(resource):
                text = f"{address}: a write to {path} with the token {after.value['token']} was accepted"
                yield Violation(RULE, text, (standing.get(resource), commit))


def _tokens(timelines: Timelines) -> Iterator[Violation]:
    """Who asks for a claim after another was told its token gets a larger one, even if the other was lost."""
    taken: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in timelines.history.of("claim", "claim_any"):
        if call.ok and call.reply["token"]:
            taken[call.address, call.reply.get("resource") or call.args["resource"]].append(call)
    for (address, resource), calls in taken.items():
        told = sorted(calls, key=lambda call: call.answered)
        best: Call | None = None
        index = 0
        for call in sorted(calls, key=lambda call: call.asked):
            while told[index].answered < call.asked:
                best = max(best or told[index], told[index], key=lambda each: int(each.reply["token"]))
                index += 1
            if best and call.reply["token"] <= best.reply["token"]:
                text = f"{address}: the token of {resource} fell to {call.reply['token']}"
                yield Violation(RULE, text, (best, call))


def _beliefs(timelines: Timelines, ended: dict[str, dict[int, int]]) -> Iterator[Violation]:
    """A holder stops trusting its claim before that expires, unless a failover has ended it."""
    for note in timelines.history.noted("believed"):
        address, token = note.facts["address"], note.facts["token"]
        end = ended.get(address, {}).get(token)
        if end is not None and note.at > end + SLACK and not timelines.history.excused(address, end, note.at):
            yield Violation(RULE, f"{address}: {token} was trusted {note.at - end} µs after its end", (note,))
