"""Two scripted agents with one task, 200 turns through the tools, a fifth of them mistakes: it ends in the right state."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ccs
from ccs._core.briefing.fitting import tokens_in
from tests.context.probes import Open
from tests.support.waiting import counts

TURNS = 200
BUDGET = 400
ITEMS = 20
MISTAKES: list[tuple[Any, Any]] = [
    ("reed", {"path": "done/1"}),
    ("read", {}),
    ("read", '{"path": "done/1"'),
    ("read", {"path": "/tasks/t/done"}),
    ("read", {"path": "secret/plan"}),
    ("write", {"path": "secret/plan", "value": 1}),
    ("write", {"path": "@claims/x", "value": 1}),
    ("write", {"path": "done/1", "value": 1, "if_revision": 1}),
    ("write", {"path": "count"}),
    ("merge", {"path": "count", "value": "text"}),
    ("claim", {"resource": "work/1", "ttl": "long"}),
    ("release", {"resource": "never held"}),
    ("inbox", {"action": "eat"}),
    ("list", {"patterns": ["[a"]}),
    ("wait", {"patterns": 7}),
    ("send", {"to": "ann"}),
    ("delete", {"path": "work/1"}),
]


class Scripted:
    """A model that does the work item by item: claims it, writes the result, counts it, and releases it."""

    def __init__(self, tools: Any, chance: random.Random) -> None:
        self._tools = tools
        self._chance = chance
        self.turns = 0
        self.mistakes = 0
        self.errors: list[str] = []

    async def call(self, name: str, arguments: Any = None) -> Any:
        """One turn, after a mistake in a fifth of all cases."""
        while self._chance.random() < 0.2:
            self.mistakes += 1
            wrong, nonsense = self._chance.choice(MISTAKES)
            answer = await self._turn(wrong, nonsense)
            assert answer.is_error or answer.data.get("done") is False or "exists" in answer.data, (wrong, nonsense)
        answer = await self._turn(name, arguments)
        if answer.is_error:
            self.errors.append(answer.text)
        return answer

    async def _turn(self, name: Any, arguments: Any) -> Any:
        self.turns += 1
        answer = await self._tools.call(name, arguments)
        assert tokens_in(answer.text) <= BUDGET
        return answer

    async def work(self) -> None:
        while self.turns < TURNS:
            await self.call("briefing")
            items = (await self.call("list", {"patterns": ["work/*"]})).data["paths"]
            item = self._chance.choice(items)
            await self.do(item)

    async def do(self, item: str) -> None:
        if not (await self.call("claim", {"resource": item, "ttl": 30})).data["done"]:
            return
        result = item.replace("work/", "done/")
        if not (await self.call("read", {"path": result})).data["exists"]:
            await self.call("write", {"path": result, "value": item, "if_revision": 0})
            await self.count()
            await self.call("send", {"to": "boss", "content": item})
        await self.call("release", {"resource": item})

    async def count(self) -> None:
        while True:
            seen = (await self.call("read", {"path": "count"})).data
            one_more = {"path": "count", "value": seen["value"] + 1, "if_revision": seen["revision"]}
            if (await self.call("write", one_more)).data["done"]:
                return


@pytest.mark.parametrize("seed", range(counts(2, 20)))
async def test_two_agents_of_200_turns_end_in_the_right_state(open_store: Open, seed: int) -> None:
    store = await open_store()
    task = store.task("t")
    await task.set_many({"count": 0, "secret/plan": 1, **{f"work/{number}": "do it" for number in range(ITEMS)}})
    reach: dict[str, Any] = {"read": ["work/*", "done/*", "count"], "write": ["done/*", "count"], "max_tokens": BUDGET}
    agents = [store.task("t", agent=name) for name in ("ann", "bob")]
    models = [Scripted(each.tools(role="boss", **reach), random.Random(seed * 7 + n)) for n, each in enumerate(agents)]
    await asyncio.gather(*(model.work() for model in models))
    done = {path: entry.value for path, entry in (await task.snapshot("done/*")).items()}
    assert done == {f"done/{n}": f"work/{n}" for n in range(ITEMS) if f"done/{n}" in done}
    assert await task.get("count") == len(done) > ITEMS / 2
    assert len(await task.inbox("boss").unread()) == len(done)
    assert await task.get("secret/plan") == 1
    assert await task.claims() == []
    assert [model.errors for model in models] == [[], []]
    assert all(model.mistakes > TURNS / 10 and model.turns >= TURNS for model in models)


ARGUMENTS = st.dictionaries(
    st.sampled_from(
        ["path", "value", "patterns", "limit", "if_revision", "ttl", "resource", "to", "content", "action", "x"]
    ),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["a", "b/c", "**", "x" * 3000]),
        lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
NAMES = st.sampled_from(
    ["briefing", "list", "read", "history", "write", "merge", "claim", "release", "send", "delete", "", "inbox"]
)


@settings(max_examples=counts(40, 1000), deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(st.tuples(NAMES, ARGUMENTS | st.text(max_size=20)), max_size=12), most=st.integers(100, 600))
def test_whatever_is_called_is_answered_within_the_budget(calls: list[Any], most: int) -> None:
    with ccs.connect(f"memory://{secrets.token_hex(6)}", agent="model") as store:
        task = store.task("t")
        task.set_many({"a": "long " * 2000, "b/c": {"漢": "```" * 40}})
        with task.tools(role=None, write="**", allow_delete=True, max_tokens=most) as tools:
            for name, arguments in calls:
                answer = tools.call(name, arguments)
                assert tokens_in(answer.text) <= most
                assert answer.text
