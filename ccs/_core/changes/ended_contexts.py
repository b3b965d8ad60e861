"""The contexts that have ended, as a watch of the whole store knows them, and those that it missed altogether.

A context that has ended leaves its last revision behind for some minutes. If that revision is newer than the watch and
the watch never received it, the context came and went unseen. Its messages may still be on their way, so it is first a
suspect, and judged a moment later.
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
        self._suspects: dict[str, int] = {}
        self._too_late = False
        self.judged_at: float | None = None

    def __repr__(self) -> str:
        return f"<Ends: {len(self._known)} known, {len(self._suspects)} suspected>"

    def begin(self, revision: int) -> None:
        """Starts at this revision: what ended before it does not concern the watch."""
        self._began = revision

    def know(self, address: str, revision: int) -> None:
        """Notes that the watch delivers the end of a context at this revision."""
        self._known[address] = revision
        if self._suspects.get(address, 0) <= revision:
            self._suspects.pop(address, None)

    def received(self, address: str, revision: int) -> None:
        """Notes that a commit was received. If it is the last one of a suspect, the message was only late."""
        if self._suspects.get(address) == revision:
            del self._suspects[address]

    def suspect(self, address: str, ended: int, now: float) -> None:
        """Notes that a context does not exist. `ended` is the last revision that it left behind, 0 for none."""
        if ended > max(self._began, self._known.get(address, 0)):
            self._suspects[address] = ended
            self._judge_later(now)

    def survey(self, found: Container[str], now: float, *, too_late: bool) -> None:
        """Notes that `found` are all contexts that exist or have left something behind.

        `too_late`: the watch received nothing for so long that others may have left nothing.
        """
        self._known = {address: ended for address, ended in self._known.items() if address in found}
        if too_late:
            self._too_late = True
            self._judge_later(now)

    def judge(self) -> list[str] | None:
        """Returns the contexts that were missed, as far as they are known; None if none was."""
        return list(self._suspects) if self._suspects or self._too_late else None

    def settle(self) -> None:
        """Takes what was judged as known from now on."""
        self._known.update(self._suspects)
        self._suspects = {}
        self._too_late = False
        self.judged_at = None

    def _judge_later(self, now: float) -> None:
        if self.judged_at is None:
            self.judged_at = now + self._patience
