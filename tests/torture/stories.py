"""A history made by hand, in which everything is right, for tests that make one thing wrong."""

from __future__ import annotations

from typing import Any

from tests.torture.history import Call, Commit, Delivery, Held, History, Note, Step, Watching

__all__ = ["SECOND", "A", "Story", "right"]

A = "/tasks/a"
SECOND = 1_000_000


class Story:
    """One context, in which something happens every second."""

    def __init__(self) -> None:
        self.history = History()
        self.history.journals[A] = []
        self.history.entries[A] = {}
        self.time = 100 * SECOND
        self._number = 0

    @property
    def commits(self) -> list[Commit]:
        return self.history.journals[A]

    @property
    def last(self) -> int:
        return self.commits[-1].revision if self.commits else 0

    def commit(self, *writes: tuple[str, Any], agent: str = "ann", op: str = "") -> Commit:
        """A commit of values by path; None removes. The value is its own mark, unless it is a map."""
        self.time += SECOND
        steps = tuple(self._step(op, path, value, agent) for path, value in writes)
        self._number += 1
        made = Commit(self.last, self.time, self.time, f"client {self._number} 0", agent, steps)
        self.commits.append(made)
        return made

    def _step(self, op: str, path: str, value: Any, agent: str) -> Step:
        entries = self.history.entries[A]
        before = entries.pop(path, None)
        if value is None:
            return Step(op or "delete", path, before, None)
        mark = value if isinstance(value, int) else hash(str(value)) % 10**6
        after = Held(self.time, before.version + 1 if before else 1, agent, mark, 0, value)
        if op != "event":
            entries[path] = after
        return Step(op or "set", path, before, after)

    def call(self, op: str, *, outcome: str = "ok", agent: str = "ann", took: int = 100, **facts: Any) -> Call:
        """A call that was answered just now."""
        asked, args, reply = self.time - took, facts.pop("args", {}), facts
        knows = facts.get("revision", self.last)
        seen = max((each.revision for each in self.commits if each.revision < asked), default=0)
        number = len(self.history.calls)
        made = Call("p", number, asked, agent, op, A, seen, args, self.time + 100, outcome, knows, reply)
        self.history.calls.append(made)
        return made

    def set(self, path: str, value: int, agent: str = "ann", **args: Any) -> Call:
        """A set that was acknowledged."""
        commit = self.commit((path, value), agent=agent)
        args["writes"] = [[path, value]]
        return self.call("set", agent=agent, args=args, revision=commit.revision, writes=[[path, value]])

    def look(self, op: str, **reply: Any) -> Call:
        """A read, half a second after the last commit."""
        self.time += SECOND // 2
        return self.call(op, **reply)

    def note(self, kind: str, **facts: Any) -> Note:
        made = Note("p", self.time, kind, facts)
        self.history.notes.append(made)
        return made

    def watch(self, *patterns: str, base: int, kind: str = "changes", cursor: int = 0) -> Watching:
        """A watch of all that was committed after `base`, closed at the end."""
        wanted = ("event",) if kind == "events" else ("set", "delete", "expire")
        delivered = [
            _delivery(commit, step)
            for commit in self.commits
            if commit.revision > base
            for step in commit.steps
            if step.op in wanted and step.path[0] == patterns[0][0]
        ]
        made = Watching("p", f"watch {len(self.history.watches)}", A, kind, patterns, base or None, base + 1, base + 2)
        made.base, made.deliveries = base, delivered
        made.end, made.ended, made.cursor = "closed", self.time, cursor or self.last
        self.history.watches.append(made)
        return made

    def call_back(self, *patterns: str, base: int, kind: str) -> Watching:
        """A subscription that is live right after `base`, though that is not told."""
        made = self.watch(*patterns, base=base, kind=kind)
        made.base, made.since, made.asked, made.entered = 0, None, base + 200, base + 300
        return made


def _delivery(commit: Commit, step: Step) -> Delivery:
    shown = step.after or step.before
    assert shown
    version = 0 if step.op == "event" else shown.version
    marks = step.after and step.after.mark, step.before and step.before.mark
    return Delivery(
        step.path, step.op, commit.revision, version, *marks, step.op == "set" and not step.before, commit.agent
    )


def right() -> Story:
    """A bit of everything."""
    story = Story()
    first = story.set("s/1", 1)
    story.set("s/2", 2, agent="bob")
    story.set("s/1", 3, durable=True)
    story.call("set", outcome="Conflict", args={"writes": [["s/1", 99]]})
    story.look("get", path="s/1", found=3)
    story.look("entry", path="s/2", found=story.history.entries[A]["s/2"].shown)
    story.look("get", path="s/9", found=None)
    story.look("get_many", paths=["s/1", "s/2"], found={"s/1": [3], "s/2": [2]})
    story.look("snapshot", revision=story.last, patterns=["s/*"], found=_snapshot(story))
    story.look("at", revision=first.revision, patterns=["s/*"], found={"s/1": [first.revision, 1]})
    story.note("mirror", address=A, name="m", revision=story.last, patterns=["s/*"], found=_snapshot(story))
    story.commit(("s/1", 4), ("s/2", None), agent="bob")
    found = [_delivery(commit, step) for commit in story.commits[1:] for step in commit.steps]
    since, until = story.commits[0].revision, story.last
    story.look("history", patterns=["s/*"], since=since, until=until, found=[list(each) for each in found])
    story.look("diff", patterns=["s/*"], since=since, until=until, found=[["s/1", 4]])
    story.commit(("s/1", None), op="expire")
    story.commit(("e/a", 5), op="event")
    story.look("revision", revision=story.last)
    _compute(story)
    _look_around(story)
    _keep_within_bounds(story)
    _work_together(story)
    story.note("mirror", address=A, name="m", revision=story.last, patterns=["s/*"], found={})
    story.watch("s/*", base=since)
    story.watch("e/*", base=0, kind="events")
    story.call_back("s/*", base=since, kind="live")
    told = story.call_back("s/*", base=since, kind="memory")
    told.deliveries = [each._replace(version=0, created=False) for each in told.deliveries]
    _be_watched(story)
    return story


def _snapshot(story: Story) -> dict[str, list[int]]:
    entries = story.history.entries[A]
    return {path: [held.revision, held.mark] for path, held in entries.items() if path.startswith("s/")}


def _compute(story: Story) -> None:
    story.commit(("l/1", [["p.ann", 1]]))
    story.commit(("l/1", [["p.ann", 1], ["p.ann", 2]]))
    story.call("append", args={"sign": ["p.ann", 2]}, revision=story.last, writes=[["l/1", -1]])
    story.call("append", outcome="Unavailable", args={"sign": ["p.ann", 3]})
    story.commit(("u/1", {"by": "p.ann", "n": 4}))
    story.call("update", args={"sign": ["p.ann", 4]}, revision=story.last, writes=[["u/1", -1]])


def _look_around(story: Story) -> None:
    story.set("n/1", 1)
    story.set("n/1", 2)
    shown = story.history.entries[A]["n/1"].shown
    story.look("paths", patterns=["n/*"], found={"n/1": []})
    story.look("wait_for", args={"path": "n/1", "reached": 2}, path="n/1", found=shown, enough=True)
    story.look("wait_for", outcome="TimeoutError", args={"path": "n/1", "reached": 3})
    story.look("contexts", args={"under": "/tasks/"}, found={A: story.last})


def _keep_within_bounds(story: Story) -> None:
    story.set("rejected/1", 1)
    story.call("set blindly", outcome="Conflict", args={"writes": [["rejected/1", 9]]})
    for value in ({"a": 1}, {"a": 1, "b": 2}):
        story.commit(("merged/1", value))
    story.call("hidden", outcome="Forbidden")
    story.look("hidden claims", found=0)
    story.call("hidden claims", outcome="Unavailable")
    may = {"read": "ok", "write": "ok", "hidden": "Forbidden", "refused": "Forbidden", "all": "Forbidden"}
    story.note("visit", user="guest", addresses=[A], began=story.time, ended=story.time, listed=True,
               may={**may, "afterwards": "Unavailable"})  # fmt: skip
    for successes, confidence in enumerate((0.5, 0.6)):
        procedure: dict[str, float] = {"successes": successes, "failures": 0, "confidence": confidence}
        story.commit(("@procedures/p", procedure))


def _work_together(story: Story) -> None:
    for agent in ("ann", "bob"):
        token = story.commit(("@claims/r", {"holder": agent}), agent=agent).revision
        story.call("claim", agent=agent, args={"resource": "r"}, revision=token, token=token)
        story.commit(("guarded/r", {"token": token}), agent=agent)
        story.note("believed", address=A, token=token)
        story.look("claims", found=[["r", token]])
        story.commit(("@claims/r", None), agent=agent)
    story.commit(("@once/k", {"state": "running"}), ("@runs/k", 1))
    story.note("ran", address=A, key="k", token=story.last)
    story.commit(("@once/k", {"state": "done", "result": 7}), ("@runs/k", None))
    story.call("once", args={"key": "k"}, result=7)
    inbox = "@inbox/role/%-"
    story.commit((f"{inbox}/messages/m1", 1))
    story.look("unread", root=f"{inbox}/messages/", found=["m1"])
    story.commit((f"{inbox}/leases/m1", 1), (f"{inbox}/deliveries/m1", {"count": 1}), agent="bob")
    story.call("receive", agent="bob", id="m1", attempts=1)
    story.commit(*((f"{inbox}/{kind}/m1", None) for kind in ("messages", "leases", "deliveries")), agent="bob")
    story.call("ack", agent="bob", args={"id": "m1"}, writes=[[f"{inbox}/messages/m1", None]])
    story.look("unread", root=f"{inbox}/messages/", found=[])
    for agent in ("ann", "bob"):
        args = {"name": "d", "vote": True, "parties": ["ann", "bob"]}
        story.call("agree", agent=agent, args=args, committed=True, votes={"ann": True, "bob": True})
        story.call("barrier", agent=agent, took=100, args={"name": "b", "parties": 2})
    again = {"name": "d", "vote": False, "parties": ["ann", "bob"]}
    story.call("agree", agent="bob", args=again, committed=True, votes={"ann": True, "bob": True})
    story.commit(("ledger/1", 1))
    story.note("life", address="/tasks/l", how="finish", began=story.time, wrote=[1, 2], delivered=[1, 2],
               watch="ContextFinished", write="ContextFinished", read=3, last=3, heard=[1, 2])  # fmt: skip
    story.note("life", address="/tasks/g", how="drop", began=story.time, wrote=[1, 2], delivered=[1],
               watch="ContextGone", write="ok", read=None, last=3, version=1, reborn=3,
               heard=[1, "/tasks/g", 3])  # fmt: skip
    story.call("recall", args={"id": "f", "stored": story.time}, found=["f", "g"])
    story.call("recall", args={"gone": "f", "stored": story.time}, found=["g"])
    broken = story.commit(("@claims/q", {"holder": "ann"})).revision
    story.call("claim_any", revision=broken, token=broken, resource="q")
    story.commit(("@claims/q", None), agent="the operator")
    story.time += SECOND
    story.note("believed", address=A, token=broken)


def _be_watched(story: Story) -> None:
    """By one watch that was told of everything, and by one that has missed something and says so."""
    told: dict[str, list[int | str]] = {"/tasks/l": [1, 2, "gone"], "/tasks/g": [1, 2, "gone", 3, "gone"]}
    story.note("lives watched", entered=0, told=told, missed=[], blind=False)
    story.note("lives watched", entered=0, told={"/tasks/l": [2]}, missed=["/tasks/l", "/tasks/g"], blind=False)
    story.note("callback errors", address=A, name="cb", raised=[[1, "s/1"]], told=[[1, "s/1"]], whole=True)
    story.note("callback errors", address=A, name="cb", raised=[[1, "s/1"]], told=[], whole=False)
