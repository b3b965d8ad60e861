"""The contexts that have ended, as a watch of the whole store knows them, and those that it missed altogether.

A context that has ended leaves its last revisions behind for some minutes. If the last one before its end is newer than
the watch and the watch never received it, then it has missed commits, perhaps all. Their messages may still be on their
way, so the context is first a suspect, and judged a moment later.

Where the watch hears of the next context at an address, and has not heard of the end of the one before, only what that one
left behind tells whether something was missed between them.
"""

from __future__ import annotations

from collections.abc import Container

__all__ = ["Ends"]


class Ends:
    """The ends that a watch knows, and its suspects. A message takes at most `patience` seconds to arrive."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._began = 0
        self._known: dict[str, int] = {}
        self._delivered: dict[str, int] = {}
        # By address, the last revision of each life of which something may have been missed.
        self._suspects: dict[str, set[int]] = {}
        # By address, what was delivered of a context whose end was not heard, and the first revision of the next one.
        self._unheard: dict[str, tuple[int, int]] = {}
        self._too_late = False
        self.judged_at: float | None = None

    def __repr__(self) -> str:
        return f"<Ends: {len(self._known)} known, {len(self._suspects)} suspected>"

    def begin(self, revision: int) -> None:
        """Starts at this revision: what ended before it does not concern the watch."""
        self._began = revision

    def know(self, address: str, revision: int, delivered: int) -> None:
        """Notes that the watch delivers the end of a context at this revision; before it, commits up to `delivered`."""
        self._known[address] = revision
        self._delivered[address] = delivered
        self._clear(address, revision)

    def delivered(self, address: str) -> int:
        """Returns the last revision that the watch delivered of an earlier life of a context; 0 for none."""
        return self._delivered.get(address, 0)

    def received(self, address: str, revision: int) -> None:
        """Notes that a commit was received. If it is the last one of a suspect, the message was only late."""
        if address in self._suspects:
            self._clear(address, revision)

    def suspect(self, address: str, last: int, now: float, since: int = 0) -> None:
        """Notes that a context has ended. `last` is the last revision that it is known to have had, 0 for none.

        `since` is what the watch had received of it; else, what it had before the watch began is none of its concern.
        """
        if last > max(since or self._began, self._known.get(address, 0)):
            self._suspects.setdefault(address, set()).add(last)
            self._judge_later(now)

    def unheard(self, address: str, delivered: int, first: int, now: float) -> None:
        """Notes that a context begins with the revision `first`, and that the end of the one before was not heard."""
        self._unheard[address] = delivered, first
        self._suspects.setdefault(address, set()).add(first - 1)
        self._judge_later(now)

    def explain(self, address: str, ended: int, before_end: int) -> None:
        """Takes what the latest context that has ended at an address left behind: it may be the one that ended unheard."""
        delivered, first = self._unheard.pop(address, (0, 0))
        if before_end and before_end <= delivered and ended < first:
            self._clear(address, first - 1)

    def survey(self, found: Container[str], now: float, *, too_late: bool) -> None:
        """Notes that `found` are all contexts that exist or have left something behind.

        `too_late`: the watch received nothing for so long that others may have left nothing.
        """
        self._known = {address: ended for address, ended in self._known.items() if address in found}
        self._delivered = {address: last for address, last in self._delivered.items() if address in found}
        if too_late:
            self._too_late = True
            self._judge_later(now)

    def judge(self) -> list[str] | None:
        """Returns the contexts that were missed, as far as they are known; None if none was."""
        return list(self._suspects) if self._suspects or self._too_late else None

    def settle(self) -> None:
        """Takes what was judged as known from now on."""
        for address, revisions in self._suspects.items():
            self._known[address] = max(self._known.get(address, 0), *revisions)
        self._suspects = {}
        self._unheard = {}
        self._too_late = False
        self.judged_at = None

    def _clear(self, address: str, revision: int) -> None:
        suspected = self._suspects.get(address, set())
        suspected.discard(revision)
        if not suspected:
            self._suspects.pop(address, None)

    def _judge_later(self, now: float) -> None:
        if self.judged_at is None:
            self.judged_at = now + self._patience
