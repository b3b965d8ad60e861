"""How an error shows a caller's value."""

from __future__ import annotations

from typing import Any

import pytest

import ccs
from ccs._core.quoted_values import shown


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


UNSHOWN = [Rude(), deep(), 10**5_000]


@pytest.mark.parametrize("value", UNSHOWN, ids=["rude", "deep", "huge"])
def test_a_value_without_a_repr_is_shown_by_its_type(value: Any) -> None:
    assert shown(value) == f"<a {type(value).__name__} that cannot be shown>"


def test_a_long_repr_is_cut() -> None:
    assert shown("x" * 1_000) == "'" + "x" * 199 + "…"
    assert shown([1, "a"]) == "[1, 'a']"


@pytest.mark.parametrize("value", UNSHOWN, ids=["rude", "deep", "huge"])
def test_bad_input_that_cannot_be_shown_still_raises_an_error_of_ours(value: Any) -> None:
    with ccs.connect("memory://") as store:
        task = store.task("42")
        task.set("there", 1)
        for call in (
            lambda: task.get(value),
            lambda: task.set("a", 1, ttl=value),
            lambda: task.set("a", 1, if_revision=value),
            lambda: task.history(limit=value),
            lambda: task.watch(since=value),
            lambda: task.at(value),
            lambda: task.claim(value).acquire(),
            lambda: task.inbox("r", attempts=value),
            lambda: store.task(value),
            lambda: store.memory(actor="a").get(value),
            lambda: task.semantic.query([1.0], min_score=value),
            lambda: ccs.escape(value),
            lambda: task.once("k", str, type=value),
            lambda: task.get("there", type=value),
            lambda: task.update("a", value),
            lambda: task.subscribe("a", value),
            lambda: ccs.connect("memory://", agent=value),
            lambda: ccs.connect("memory://", retry_for=value),
        ):
            with pytest.raises(ccs.CCSError):
                call()  # type: ignore[no-untyped-call]


class RudeText(Rude, str):
    pass


class RudeCallable(Rude):
    def __call__(self, *_: object) -> None:
        pass


def test_a_pattern_and_a_callback_that_cannot_be_shown_are_handled_like_any_other() -> None:
    with ccs.connect("memory://") as store:
        task = store.task("42")
        with pytest.raises(ccs.InvalidPattern, match="RudeText that cannot be shown"):
            task.paths(RudeText("a["))
        subscription = task.subscribe("a", RudeCallable())
        assert "RudeCallable that cannot be shown" in repr(subscription)
        subscription.cancel()
