"""Reads: each equals the replay of the journal at its revision, and is as new as what was acknowledged before it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.torture.checks.timeline import SLACK, Timeline, Timelines, matcher
from tests.torture.checks.violation import Violation
from tests.torture.history import Call, Delivery, Held, History

__all__ = ["is_mortal", "wrong_mirrors", "wrong_reads", "wrong_snapshot"]

RULE = "reads"
Problem = str | None


def wrong_reads(timelines: Timelines) -> Iterator[Violation]:
    """Reads that show what never was, or no longer was."""
    for call in timelines.history.calls:
        check = _CHECKS.get(call.op) if call.ok else _unheard if call.op == "wait_for" else None
        if check and call.address in timelines:
            problem = check(timelines, call)
            # While a server is replaced, one that does not know it yet may still answer.
            if problem and not timelines.history.excused(call.address, call.asked, call.answered):
                yield Violation(RULE, f"{call.address}: {call.op} {problem}", (call,))


def _window(timelines: Timelines, call: Call) -> tuple[int, int]:
    """The revisions at which a read may stand."""
    timeline = timelines[call.address]
    # The own store's commits too, also if their acknowledgements were not noted.
    own = timeline.floor(call.seen)
    first = max(timelines.acknowledged_before(call.address, call.asked), own)
    return first, max(first, timeline.floor(call.answered + SLACK))


def _one(shows: Callable[[Held | None], Any]) -> Callable[[Timelines, Call], Problem]:
    def check(timelines: Timelines, call: Call) -> Problem:
        path, found = call.reply["path"], call.reply["found"]
        states = timelines[call.address].states(path, *_window(timelines, call))
        if any(shows(state) == found for state in states):
            return None
        # An entry whose deadline has passed is not shown, even before that is journaled.
        if found in (None, False) and any(state and is_mortal(path, state) for state in states):
            return None
        return f"of {path} shows {found}, not one of {[shows(state) for state in states][:9]}"

    return check


def is_mortal(path: str, held: Held) -> bool:
    """Whether an entry may have had a deadline; a renewal gives it one without a commit."""
    return held.expiry > 0 or path.startswith("ttl/")


def _many(shows: Callable[[Held], list[Any]]) -> Callable[[Timelines, Call], Problem]:
    """Several paths of one moment, which is not told."""

    def check(timelines: Timelines, call: Call) -> Problem:
        timeline = timelines[call.address]
        paths = call.reply.get("paths") or timeline.paths(call.reply["patterns"])
        found = call.reply["found"]
        first, last = _window(timelines, call)
        for moment in timeline.moments(paths, first, last):
            standing = {path: timeline.at(path, moment) for path in paths}
            if _same({path: shows(held) for path, held in standing.items() if held}, found, standing):
                return None
        return f"of {paths} is of no moment between {first} and {last}"

    return check


def _waited(timelines: Timelines, call: Call) -> Problem:
    """What was waited for was there, and was enough."""
    if not call.reply["enough"]:
        return f"of {call.reply['path']} returned before there was enough"
    return _one(lambda held: held.shown if held else None)(timelines, call)


def _unheard(timelines: Timelines, call: Call) -> Problem:
    """A wait that timed out, though enough was there when it began."""
    if call.outcome != "TimeoutError" or not call.args["reached"]:
        return None
    first, _ = _window(timelines, call)
    there = timelines[call.address].at(call.args["path"], first)
    return "timed out, though there was enough" if there and there.version >= call.args["reached"] else None


def _each(timelines: Timelines, call: Call) -> Problem:
    """Names below a root: each was there, and none is missing that was there all the time."""
    timeline = timelines[call.address]
    first, last = _window(timelines, call)
    root, found = call.reply["root"], set(call.reply["found"])
    for path in timeline.paths([f"{root}*"]):
        states = timeline.states(path, first, last)
        name = path.removeprefix(root)
        if name not in found and all(state and not is_mortal(path, state) for state in states):
            return f"lacks {name}"
        if name in found and not any(states):
            return f"shows {name}, which was not there"
        found.discard(name)
    return f"shows {sorted(found)}, which never were" if found else None


def _tokens(timelines: Timelines, call: Call) -> Problem:
    """Claims that stood, each with its token."""
    timeline = timelines[call.address]
    window = _window(timelines, call)
    for resource, token in call.reply["found"]:
        states = timeline.states(f"@claims/{resource}", *window)
        if token not in [state.revision for state in states if state]:
            return f"shows {resource} with the token {token}, which did not hold it"
    return None


def _listed(timelines: Timelines, call: Call) -> Problem:
    """All contexts, each at least as new as what was acknowledged there before."""
    found = call.reply["found"]
    for address in timelines.history.journals:
        if timelines.history.excused(address, call.asked, call.answered) or not address.startswith(call.args["under"]):
            continue
        if address not in found:
            return f"lacks {address}"
        first = timelines.acknowledged_before(address, call.asked)
        if found[address] < first or timelines.lost(address, found[address]):
            return f"shows {address} at {found[address]}, though {first} was acknowledged before"
    return None


def _same(expected: dict[str, list[Any]], found: dict[str, list[Any]], standing: dict[str, Held | None]) -> bool:
    """Whether what was found is what was expected; what is mortal may be missing."""
    return all(found.get(path) == shown for path, shown in expected.items() if path in found) and all(
        path in expected if path in found else is_mortal(path, held)
        for path, held in ((path, standing.get(path)) for path in expected.keys() | found.keys())
        if path in found or held
    )


def _snapshot(timelines: Timelines, call: Call) -> Problem:
    """Several paths of a moment that is told."""
    if call.op == "snapshot" and call.revision < _window(timelines, call)[0]:
        return f"is of {call.revision}, older than what was acknowledged before"
    return wrong_snapshot(timelines, call.address, call.reply)


def wrong_snapshot(timelines: Timelines, address: str, reply: dict[str, Any]) -> Problem:
    """What is wrong with entries said to be those of a revision; None if nothing is, or if that revision was lost."""
    timeline = timelines[address]
    revision = reply["revision"]
    if timelines.lost(address, revision):
        return None if timelines.history.excused(address, revision) else f"is of {revision}, which never was"
    standing = timeline.snapshot(reply["patterns"], revision)
    expected = {path: [held.revision, held.mark] for path, held in standing.items()}
    if _same(expected, reply["found"], dict(standing)):
        return None
    wrong = {path for path in expected.keys() | reply["found"].keys() if expected.get(path) != reply["found"].get(path)}
    shown = [(path, expected.get(path), reply["found"].get(path)) for path in sorted(wrong)]
    return f"is not what stood at {revision}: {shown[:5]}"


def _past(timelines: Timelines, call: Call) -> Problem:
    """Changes between two revisions."""
    timeline = timelines[call.address]
    since, until = call.reply["since"], call.reply["until"]
    if any(timelines.lost(call.address, each) for each in (since, until)):
        return None
    expected = list(timeline.expected(tuple(call.reply["patterns"]), "changes", since, until))
    found = [Delivery(*each) for each in call.reply["found"]]
    return None if found == expected else f"between {since} and {until} is {found[:3]}…, not {expected[:3]}…"


def _net(timelines: Timelines, call: Call) -> Problem:
    """The paths whose values differ between two revisions."""
    timeline = timelines[call.address]
    since, until = call.reply["since"], call.reply["until"]
    if any(timelines.lost(call.address, each) for each in (since, until)):
        return None
    marks = {path: [_mark(timeline.at(path, each)) for each in (since, until)] for path in _changed(timeline, call)}
    expected = {path: after for path, (before, after) in marks.items() if before != after}
    found = dict(call.reply["found"])
    differing = {path for path in expected.keys() | found.keys() if expected.get(path, "") != found.get(path, "")}
    return f"between {since} and {until} differs at {sorted(differing)}" if differing else None


def _changed(timeline: Timeline, call: Call) -> set[str]:
    matches = matcher(tuple(call.reply["patterns"]))
    commits = timeline.between(call.reply["since"], call.reply["until"])
    return {step.path for commit in commits for step in commit.steps if step.op != "event" and matches(step.path)}


def _mark(held: Held | None) -> int | None:
    return held.mark if held else None


def _newest(timelines: Timelines, call: Call) -> Problem:
    if timelines.lost(call.address, call.revision):
        return f"is {call.revision}, which never was"
    first, _ = _window(timelines, call)
    return f"is {call.revision}, though {first} was acknowledged before" if call.revision < first else None


_CHECKS: dict[str, Callable[[Timelines, Call], Problem]] = {
    "get": _one(lambda held: held.mark if held else None),
    "entry": _one(lambda held: held.shown if held else None),
    "exists": _one(lambda held: held is not None),
    "wait_for": _waited,
    "get_many": _many(lambda held: [held.mark]),
    "tree": _many(lambda held: [held.mark]),
    "scan": _many(lambda held: [held.mark]),
    "paths": _many(lambda _: []),
    "unread": _each,
    "dead": _each,
    "claims": _tokens,
    "contexts": _listed,
    "snapshot": _snapshot,
    "at": _snapshot,
    "history": _past,
    "diff": _net,
    "revision": _newest,
    "info": _newest,
}


def wrong_mirrors(timelines: Timelines) -> Iterator[Violation]:
    """Mirrors that are not the snapshot of their revision, or go backwards."""
    history: History = timelines.history
    newest: dict[tuple[str, str], int] = {}
    for note in history.noted("mirror"):
        address, name = note.facts["address"], (note.process, note.facts["name"])
        problem = wrong_snapshot(timelines, address, note.facts)
        before = newest.get(name, 0)
        newest[name] = note.facts["revision"]
        if newest[name] < before and not history.excused(address, before):
            problem = f"went back from {before} to {newest[name]}"
        if problem:
            yield Violation("mirrors", f"{address}: a mirror {problem}", (note,))
