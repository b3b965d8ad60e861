"""Agreement, decided: what a party does, given the entries.

Below `@agreements/<name>`: `terms` says who decides, and stays; `deadline` has a ttl, and exists while there is time to
vote; `votes/<party>` and `decision` are written once. A vote is guarded by the deadline and by no decision, so no vote
is late. A decision is guarded by all of these entries as they were read, and by no decision. So there is one decision,
made from all votes, and every party that reads the same entries decides the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, set_op
from ccs._core.names.address import check_agent, check_path
from ccs._core.names.system_paths import as_segment
from ccs._core.number_checks import flag, listed
from ccs._core.quoted_values import shown
from ccs._core.recipes.guarded_commit import GuardedCommit, unchanged
from ccs._core.recipes.presence import agents_in
from ccs._core.times import Duration, millis
from ccs.errors import InvalidValue
from ccs.types import Decision, Entry

__all__ = ["Ballot", "Verdict", "ballot_of", "judge", "next_action"]


@dataclass(frozen=True, slots=True)
class Ballot:
    """One party's view of an agreement: who decides, how it votes, and for how many milliseconds it would be open."""

    name: str
    root: str
    parties: tuple[str, ...]
    party: str
    vote: bool
    timeout: int

    @property
    def terms(self) -> str:
        """The path of the terms."""
        return f"{self.root}/terms"

    @property
    def deadline(self) -> str:
        """The path of the entry that exists while there is time to vote."""
        return f"{self.root}/deadline"

    @property
    def decision(self) -> str:
        """The path of the decision."""
        return f"{self.root}/decision"

    def vote_of(self, party: str) -> str:
        """Returns the path of a party's vote."""
        return f"{self.root}/votes/{as_segment(party)}"


class Verdict(NamedTuple):
    """What was decided, and why."""

    committed: bool
    reason: str


def ballot_of(name: str, parties: Iterable[str], party: str, vote: bool, timeout: Duration) -> Ballot:
    """Returns a ballot. Raises `InvalidValue` or `InvalidPath` for invalid arguments."""
    named = tuple(sorted({check_agent(each) for each in listed("parties", parties, "a list of agents")}))
    if party not in named:
        raise InvalidValue(f"{shown(party)} is none of the parties {', '.join(map(repr, named))}: only they can agree")
    flag("vote", vote)
    ballot = Ballot(name, f"@agreements/{as_segment(name)}", named, party, vote, millis(timeout, "timeout"))
    check_path(max(ballot.decision, *map(ballot.vote_of, named), key=len))
    return ballot


def judge(parties: Iterable[str], votes: Mapping[str, bool], is_open: bool, gone: Set[str]) -> Verdict | None:
    """Returns what these votes decide, given whether the vote `is_open` and which parties have `gone`; None: not yet."""
    against = [party for party, vote in votes.items() if not vote]
    missing = [party for party in parties if party not in votes]
    left = [party for party in missing if party in gone]
    if against:
        return Verdict(False, f"{_shown(against)} voted no")
    if not missing:
        return Verdict(True, "every party voted yes")
    if left:
        return Verdict(False, f"{_shown(left)} left without a vote")
    return None if is_open else Verdict(False, f"the time was up without a vote of {_shown(missing)}")


def next_action(ballot: Ballot, entries: Mapping[str, Entry], seen: Set[str]) -> Decision | GuardedCommit | None:
    """Returns the decision, or what this party commits; None if it waits until the entries change.

    `seen` are the agents that it has seen as members. Raises `InvalidValue` if the agreement is between other parties.
    """
    terms = entries.get(ballot.terms)
    decision = entries.get(ballot.decision)
    if terms:
        _check_parties(ballot, terms)
    if decision:
        return _decided(ballot, decision)
    values = _values(ballot, entries, seen)
    return _commit(ballot, entries, values) if values else None


def _values(ballot: Ballot, entries: Mapping[str, Entry], seen: Set[str]) -> dict[str, Any]:
    """Returns what this party writes before there is a decision, by path."""
    terms = entries.get(ballot.terms)
    present = agents_in(entries)
    is_open = terms is None or ballot.deadline in entries
    votes = _votes(ballot, entries)
    values: dict[str, Any] = {}
    if terms is None:
        values[ballot.terms] = _terms(ballot, present)
    if is_open and ballot.party not in votes:
        votes[ballot.party] = ballot.vote
        values[ballot.vote_of(ballot.party)] = {"vote": ballot.vote}
    known = seen | set(terms.value["present"] if terms else ())
    verdict = judge(ballot.parties, votes, is_open, known - present)
    if verdict:
        values[ballot.decision] = _decision(verdict, votes)
    return values


def _commit(ballot: Ballot, entries: Mapping[str, Entry], values: Mapping[str, Any]) -> GuardedCommit:
    """Returns one commit of all values. A vote is guarded by the party's own vote, a decision by all votes."""
    opens = ballot.terms in values
    decides = ballot.decision in values
    encoded = {path: encode(value) for path, value in values.items()}
    operations = [set_op(path, raw) for path, raw in encoded.items()]
    if opens and not decides:
        operations.append(set_op(ballot.deadline, encode({"timeout": ballot.timeout}), ballot.timeout))
    if decides and ballot.deadline in entries:
        operations.append(delete_op(ballot.deadline))
    voters = ballot.parties if decides else [ballot.party]
    rests_on = [ballot.terms, ballot.deadline, ballot.decision, *map(ballot.vote_of, voters)]
    return GuardedCommit(operations, unchanged(entries, rests_on), ballot.timeout)


def _terms(ballot: Ballot, present: Set[str]) -> dict[str, Any]:
    among = sorted(present & set(ballot.parties))
    return {"parties": list(ballot.parties), "timeout": ballot.timeout, "present": among}


def _decision(verdict: Verdict, votes: Mapping[str, bool]) -> dict[str, Any]:
    return {"committed": verdict.committed, "votes": dict(sorted(votes.items())), "reason": verdict.reason}


def _votes(ballot: Ballot, entries: Mapping[str, Entry]) -> dict[str, bool]:
    found = {party: entries.get(ballot.vote_of(party)) for party in ballot.parties}
    return {party: entry.value["vote"] for party, entry in found.items() if entry}


def _check_parties(ballot: Ballot, terms: Entry) -> None:
    if tuple(terms.value["parties"]) != ballot.parties:
        between = _shown(terms.value["parties"])
        asked = _shown(ballot.parties)
        raise InvalidValue(f"the agreement {shown(ballot.name)} is between {between}, not {asked}; use another name")


def _decided(ballot: Ballot, entry: Entry) -> Decision:
    value = entry.value
    return Decision(ballot.name, value["committed"], value["votes"], entry.created_at, value["reason"])


def _shown(agents: Iterable[str]) -> str:
    *most, last = map(repr, agents)
    return f"{', '.join(most)} and {last}" if most else last
