"""Which contexts have ended, as a watch of the whole store knows it; and which of them it must have missed whole.

A context that has ended leaves its last revision behind for some minutes. If that came after the watch began, and the
watch never heard of it, the context came and went unseen. What it did may still be on its way in the messages, so it is
a suspect first, and judged a moment later.
"""

from __future__ import annotations

from collections.abc import Container

__all__ = ["Ends"]


class Ends:
    """The ends that a watch knows, and its suspects; `patience` is how long messages may be on their way."""

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
        """What ended before this moment does not concern the watch."""
        self._began = revision

    def know(self, address: str, revision: int) -> None:
        """The end of a context was told, or is about to be."""
        self._known[address] = revision
        if self._suspects.get(address, 0) <= revision:
            self._suspects.pop(address, None)

    def received(self, address: str, revision: int) -> None:
        """A commit was heard: if it is the last one of a suspect, that was only late."""
        if self._suspects.get(address) == revision:
            del self._suspects[address]

    def suspect(self, address: str, ended: int, now: float) -> None:
        """No such context is there; `ended` is the last revision that it left behind, 0 for none."""
        if ended > max(self._began, self._known.get(address, 0)):
            self._suspects[address] = ended
            self._judge_later(now)

    def survey(self, found: Container[str], now: float, *, too_late: bool) -> None:
        """All contexts that there are, or that have left something behind, were found.

        `too_late`: the watch had heard nothing for so long that some may have left nothing.
        """
        self._known = {address: ended for address, ended in self._known.items() if address in found}
        if too_late:
            self._too_late = True
            self._judge_later(now)

    def judge(self) -> list[str] | None:
        """The contexts that were missed, as far as they are known; None if none was."""
        return list(self._suspects) if self._suspects or self._too_late else None

    def settle(self) -> None:
        """What was judged is known from now on."""
        self._known.update(self._suspects)
        self._suspects = {}
        self._too_late = False
        self.judged_at = None

    def _judge_later(self, now: float) -> None:
        if self.judged_at is None:
            self.judged_at = now + self._patience
