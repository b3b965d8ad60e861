"""How much of a briefing fits its budget: headlines of everything first, then values, the latest first.

The budget is hard, whatever counts: each text is counted as a whole before it is returned. A page shows one item at least,
so the pages come to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ccs._core.briefing.items import Item
from ccs._core.briefing.plain_text import longest, value_text
from ccs._core.briefing.rendering import Layout, Tally, Value, minimal, rendered, tight
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["Page", "Paper", "paper_of", "tokens_in"]

_LEAST_TEXT = 32
_SHARE = 4
_GIVEN_UP = 8
_GROUPS = 6


def tokens_in(text: str) -> int:
    """Returns a number of tokens that no usual model exceeds: a third of the bytes, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 3)


class Paper:
    """A budget of `most` tokens, as `count` counts them."""

    def __init__(self, most: int, count: Callable[[str], int]) -> None:
        self.most = most
        self._count = count

    def __repr__(self) -> str:
        return f"<Paper for {self.most} tokens>"

    def holds(self, text: str, most: int | None = None) -> bool:
        """Returns whether a text takes at most so many tokens; all of the budget if not given."""
        return self.tokens(text) <= (self.most if most is None else most)

    def tokens(self, text: str) -> int:
        """Returns what a text takes. Raises `InvalidValue` if that is no number of tokens."""
        return integer("what count returned", self._count(text), "a number of tokens")


def paper_of(most: int, count: Callable[[str], int] | None) -> Paper:
    """Returns a budget as it was asked for; without `count`, `tokens_in` counts. Raises `InvalidValue`."""
    if count is not None and not callable(count):
        raise InvalidValue(f"count is {shown(count)}: give a function that returns the tokens in a text")
    return Paper(most, count or tokens_in)


class Page:
    """A page of some items: its text, and how many of them it shows."""

    def __init__(self, paper: Paper, layout: Layout) -> None:
        self._paper = paper
        self._layout = layout
        self.shown = len(layout.items)
        self.text = self._fitted(layout.items)

    def __repr__(self) -> str:
        return f"<Page of {self.shown} items>"

    def _fitted(self, items: Sequence[Item]) -> str:
        most = longest(self._alone, len(items), self._paper.holds)
        if most == len(items) and self._paper.holds(self._alone(most)):
            return self._with_values()
        rest = Tally(items[most:])
        for groups in (_GROUPS, 1):
            text = self._headlines(items, most, rest, groups)
            if text is not None:
                return text
        return self._short(items)

    def _alone(self, count: int) -> str:
        """Returns so many headlines, without a word about the rest."""
        return rendered(replace(self._layout, items=self._layout.items[:count]))

    def _headlines(self, items: Sequence[Item], most: int, rest: Tally, groups: int) -> str | None:
        """Returns as many headlines, at most `most`, as fit beside the groups of the others; None if none does.

        `rest` tallies the items that come after those.
        """

        def page(count: int) -> str:
            tally = Tally(items[count:most], rest)
            return rendered(replace(self._layout, items=items[:count], rest=tally, groups=groups))

        count = max(0, min(self._beside(items[:most], page(0)), len(items) - 1))
        while count and not self._paper.holds(page(count)):
            count -= 1
        if not count:
            return None
        self.shown = count
        return page(count)

    def _beside(self, items: Sequence[Item], text: str) -> int:
        """Returns of how many items the headlines fit beside a text. To tally what is left for each number would take long."""

        def lines(count: int) -> str:
            return text + "".join(f"- {item.headline}\n" for item in items[:count])

        return longest(lines, len(items), self._paper.holds)

    def _short(self, items: Sequence[Item]) -> str:
        def page(count: int) -> str:
            return tight(items[:count], len(items) - count)

        self.shown = longest(page, len(items), self._paper.holds)
        return page(self.shown) if self.shown else self._least(items)

    def _least(self, items: Sequence[Item]) -> str:
        self.shown = min(1, len(items))
        for text in minimal(items):
            if self._paper.holds(text):
                return text
        raise InvalidValue("count says that even an empty text is over max_tokens: give a function that counts tokens")

    # Values.

    def _with_values(self) -> str:
        text = rendered(self._layout)
        failed = 0
        for number, item in enumerate(self._layout.items):
            if not item.has_value or failed >= _GIVEN_UP:
                continue
            with_it = self._try(number, item)
            failed = 0 if with_it else failed + 1
            text = with_it or text
        return text

    def _try(self, number: int, item: Item) -> str | None:
        """Shows as much of a value as there is room for. Returns the page with it; None if it is not worth it."""
        text = value_text(item.value)
        share = self._paper.most // _SHARE

        def build(size: int) -> str:
            return Value(item, text, size).block

        def holds(block: str) -> bool:
            return self._paper.holds(block, share)

        size = len(text) if self._is_short(text) and holds(build(len(text))) else longest(build, len(text), holds)
        while size >= min(len(text), _LEAST_TEXT):
            values = {**self._layout.values, number: Value(item, text, size)}
            page = rendered(replace(self._layout, values=values))
            if self._paper.holds(page):
                self._layout.values = values
                return page
            size = size // 2 if size else -1
        return None

    def _is_short(self, text: str) -> bool:
        return len(text) <= 16 * self._paper.most
