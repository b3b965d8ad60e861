"""Jobs: each taken by one worker at a time, until it is done or dead, whatever happens to workers. Both colours."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.recipes.holds import lapse, nothing_left
from tests.recipes.test_claim_cancelled import cancel_after
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, bounded, counts, scaled

POOL = "queue/*"
# Bytes of a value that fits into a commit, but not twice.
LARGE = 16 << 20


@pytest.fixture
def other(shared: Any) -> Any:
    return shared.task("t", agent="other")


async def fill(task: Any, count: int) -> None:
    for number in range(count):
        await task.set(f"queue/{number}", number)


async def left(task: Any) -> list[str]:
    """Returns the paths of what jobs leave behind, apart from results and counts."""
    return await task.paths("queue/**", "@claims/**", "@jobs/attempts/**", "@jobs/later/**")  # type: ignore[no-any-return]


async def test_a_worker_gets_the_jobs_in_order_and_each_result_is_kept(task: Any) -> None:
    await fill(task, 5)
    got = list[int]()
    async with task.jobs(POOL) as jobs:
        async for job in jobs:
            assert (job.path, job.attempts) == (f"queue/{job.value}", 1)
            got.append(job.value)
            await job.done(job.value * 10)
            if len(got) == 5:
                break
        assert [await jobs.result(f"queue/{number}") for number in got] == [0, 10, 20, 30, 40]
        assert await jobs.progress() == ccs.JobProgress(0, 0, 5, 0)
    assert got == list(range(5))
    assert await left(task) == []


async def test_a_job_is_two_commits_and_its_end_is_one(open_store: Open) -> None:
    store = await open_store()
    task = store.task("t")
    await task.set("queue/a", 1)
    jobs = task.jobs(POOL)
    async with jobs:
        before = await task.revision()
        job = await jobs.take(timeout=10)
        taken = await task.revision()
        await job.done("result")
    assert {change.revision for change in await task.history("queue/*", "@claims/**", "@jobs/**", since=before)} >= {
        taken
    }
    ends = await task.history("queue/*", "@jobs/{results,done,attempts}/**", "@claims/**", since=taken)
    assert len({change.revision for change in ends}) == 1
    assert {(change.op, change.path) for change in ends} == {
        ("delete", "queue/a"),
        ("delete", "@claims/queue/a"),
        ("delete", "@jobs/attempts/queue/a"),
        ("set", "@jobs/results/queue/a"),
        ("set", "@jobs/done/queue/*"),
    }
    kept = (await task.entry("@jobs/results/queue/a")).expires_at - ends[0].at
    assert 86_300 < kept.total_seconds() < 86_500


async def test_a_job_is_held_under_a_claim_that_all_see(task: Any, other: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL) as jobs:
        job = await jobs.take(timeout=10)
        (info,) = await other.claims()
        assert (info.resource, info.holder, info.token) == ("queue/a", "test", job.claim.token)
        assert await jobs.progress() == ccs.JobProgress(0, 1, 0, 0)
        await job.context.set("found", 7)
        with pytest.raises(
            TimeoutError, match=r"no job that matches 'queue/\*' was free in /tasks/t within 0\.1 seconds"
        ):
            await other.jobs(POOL).take(timeout=0.1)
        await job.done()
        with pytest.raises(ccs.ClaimLost):
            await job.context.set("found", 8)
        assert await jobs.result("queue/a", "none") is None
        assert await jobs.result("queue/b", "none") == "none"


async def test_workers_that_race_do_each_job_once(open_store: Open) -> None:
    tasks = [(await open_store(f"worker-{index}")).task("t") for index in range(3)]
    many, done = counts(20, 1_000), list[int]()
    await tasks[0].set_many({f"queue/{number}": number for number in range(many)})

    async def work(index: int) -> None:
        async with tasks[index % 3].jobs(POOL) as jobs:
            while len(done) < many:
                try:
                    job = await jobs.take(timeout=0.3)
                except TimeoutError:
                    continue
                await job.done(index)
                done.append(job.value)

    await bounded(asyncio.gather(*map(work, range(6))), 60)
    assert sorted(done) == list(range(many))
    results = [change for change in await tasks[0].history("@jobs/results/**") if change.op == "set"]
    assert sorted(change.path for change in results) == sorted(
        f"@jobs/results/queue/{number}" for number in range(many)
    )
    assert (await tasks[0].jobs(POOL).progress()).done == many
    assert await left(tasks[0]) == []


# Failing, and dying.


async def test_a_job_that_fails_is_tried_again_and_dies_after_its_attempts(task: Any) -> None:
    await task.set("queue/a", {"n": 1})
    async with task.jobs(POOL, attempts=2) as jobs:
        job = await jobs.take(timeout=10)
        job.value["n"] = 2  # what a worker does to its copy is no change
        await job.failed(ValueError("first"))
        assert await jobs.dead() == []
        job = await jobs.take(timeout=10)
        assert (job.attempts, job.value) == (2, {"n": 1})
        await job.failed("second")
        (dead,) = await jobs.dead()
        assert (dead.path, dead.value, dead.attempts, dead.error, dead.agent) == (
            "queue/a",
            {"n": 1},
            2,
            "second",
            "test",
        )
        assert await jobs.progress() == ccs.JobProgress(0, 0, 0, 1)
        assert await left(task) == []
        await task.set("queue/a", {"n": 3})  # again: a new job
        job = await jobs.take(timeout=10)
        assert (job.attempts, job.value, await jobs.dead()) == (1, {"n": 3}, [])
        await job.done("at last")
        assert await jobs.result("queue/a") == "at last"


async def test_a_dead_job_counts_until_its_path_is_set_again_or_it_is_forgotten(task: Any, other: Any) -> None:
    async with task.jobs(POOL, attempts=1) as jobs:
        for path in ("queue/a", "queue/b"):
            await task.set(path, path)
            await (await jobs.take(timeout=10)).failed("error")
        assert await jobs.progress() == ccs.JobProgress(0, 0, 0, 2)
        assert [job.path for job in await jobs.dead()] == ["queue/a", "queue/b"]
        await task.set("queue/a", "again")
        assert await jobs.progress() == ccs.JobProgress(1, 0, 0, 1)
        assert [job.path for job in await jobs.dead()] == ["queue/b"]
        await other.wait_for(jobs.progress_path, {"waiting": 1, "taken": 0, "done": 0, "dead": 1}, timeout=20)
        assert not await jobs.forget("queue/a"), "it is a job again"
        job = await jobs.take(timeout=10)
        assert (job.path, job.attempts) == ("queue/a", 1)
        await job.done()
        assert (await jobs.forget("queue/b"), await jobs.forget("queue/b")) == (True, False)
        assert await jobs.dead() == []
        assert await jobs.progress() == ccs.JobProgress(0, 0, 1, 0)
        assert await task.paths("@jobs/dead/**") == []


async def test_what_went_wrong_is_kept_as_a_text_of_bounded_length(task: Any) -> None:
    errors = ["x" * 5_000, "lone \ud800 surrogate", "\udfff" * 5_000, ValueError("y" * 5_000), ValueError("\ud800")]
    async with task.jobs(POOL, attempts=1) as jobs:
        for error in errors:
            await task.set("queue/a", 1)
            await (await jobs.take(timeout=10)).failed(error)
            (dead,) = await jobs.dead()
            assert 0 < len(dead.error) <= 1_000
            assert dead.error.encode()
        await task.set("queue/a", 1)
        await (await jobs.take(timeout=10)).failed("lone \ud800 surrogate")
        assert [job.error for job in await jobs.dead()] == [r"lone \ud800 surrogate"]


async def test_a_retry_waits_for_its_time(task: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL) as jobs:
        job = await jobs.take(timeout=10)
        began = asyncio.get_running_loop().time()
        await job.failed("not yet", retry_in=0.5)
        assert await jobs.progress() == ccs.JobProgress(1, 0, 0, 0)
        with pytest.raises(TimeoutError):
            await jobs.take(timeout=0.1)
        job = await jobs.take(timeout=20)
        assert asyncio.get_running_loop().time() - began >= 0.45
        assert job.attempts == 2
        await job.done()
    assert await left(task) == []


async def test_the_job_of_a_dead_worker_goes_to_another_and_a_late_end_changes_nothing(task: Any, other: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL) as mine, other.jobs(POOL) as theirs:
        late = await mine.take(timeout=10)
        await lapse(task, late.claim)
        job = await theirs.take(timeout=20)
        assert job.attempts == 2
        for end in (late.done, lambda: late.failed("x")):
            with pytest.raises(ccs.ClaimLost, match="another worker"):
                await end()
        assert (await task.entry("queue/a")).value == 1
        await job.done("theirs")
        with pytest.raises(ccs.ClaimLost):
            await late.done("mine")
        assert await mine.result("queue/a") == "theirs"
        assert (await mine.progress()).done == 1


async def test_a_job_whose_workers_all_die_is_buried_by_the_next(task: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL, attempts=2) as jobs:
        for _ in range(2):
            job = await jobs.take(timeout=20)
            await lapse(task, job.claim)
        with pytest.raises(TimeoutError):
            await jobs.take(timeout=0.5)
        (dead,) = await jobs.dead()
        assert (dead.attempts, dead.value) == (2, 1)
        assert "lost" in dead.error
        assert await left(task) == []


async def test_a_claim_that_was_broken_gives_the_job_to_another(task: Any, other: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL, ttl=scaled(0.6)) as jobs:
        job = await jobs.take(timeout=10)
        told = asyncio.ensure_future(job.claim.wait_lost(timeout=20))
        await other.break_claim("queue/a")
        assert await bounded(told, 20)
        again = await jobs.take(timeout=10)
        assert again.attempts == 2
        await again.done()


async def test_a_job_whose_claim_was_over_before_the_answer_came_is_taken_again(
    proxy: Proxy, valkey: str, namespace: str
) -> None:
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as store,
        ccs.aio.connect(proxy.url, namespace=namespace) as slow,
    ):
        await store.task("t").set("queue/a", 1)
        async with slow.task("t").jobs(POOL, ttl=scaled(0.3)) as jobs:
            until = time.monotonic() + scaled(1)

            def delay(count: int, chunk: bytes) -> str:
                time.sleep(max(0.0, until - time.monotonic()))
                return "pass"

            proxy.fault = delay
            job = await jobs.take(timeout=20)
            assert job.attempts == 2
            await job.done()


# What else happens to a job.


async def test_a_job_that_is_set_again_while_it_is_worked_on_is_a_new_one(task: Any) -> None:
    await task.set("queue/a", "old")
    async with task.jobs(POOL, attempts=1) as jobs:
        for end in ("done", "failed"):
            job = await jobs.take(timeout=10)
            await task.set("queue/a", f"after {end}")
            await (job.done("result") if end == "done" else job.failed("error"))
        assert await jobs.result("queue/a") == "result"
        job = await jobs.take(timeout=10)
        assert (job.value, job.attempts) == ("after failed", 1)
        await job.done()
    assert await left(task) == []


async def test_a_job_that_is_set_again_while_it_waits_to_be_tried_again_is_a_new_one_at_once(task: Any) -> None:
    await task.set("queue/a", "old")
    async with task.jobs(POOL, attempts=3) as jobs:
        await (await jobs.take(timeout=10)).failed("not yet", retry_in=3_600)
        with pytest.raises(TimeoutError):
            await jobs.take(timeout=0.1)
        await task.set("queue/a", "new")
        job = await jobs.take(timeout=10)
        assert (job.value, job.attempts) == ("new", 1)
        await job.failed("at once again")
        job = await jobs.take(timeout=10)
        assert (job.value, job.attempts) == ("new", 2)
        await job.done()
    assert await left(task) == []


async def test_a_job_that_is_deleted_while_it_is_worked_on_can_be_ended(task: Any) -> None:
    await fill(task, 2)
    async with task.jobs(POOL) as jobs:
        first, second = await jobs.take(timeout=10), await jobs.take(timeout=10)
        await task.delete_matching(POOL)
        await first.done("done all the same")
        await second.failed("nobody minds")
        assert await jobs.result("queue/0") == "done all the same"
        with pytest.raises(TimeoutError):
            await jobs.take(timeout=0.1)
    assert await left(task) == []


async def test_a_claim_held_by_hand_keeps_the_workers_away(task: Any, other: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL) as jobs:
        async with other.claim("queue/a", slots=2):
            with pytest.raises(TimeoutError):
                await jobs.take(timeout=0.2)
            assert await jobs.progress() == ccs.JobProgress(0, 1, 0, 0)
        await (await jobs.take(timeout=10)).done()


@pytest.mark.parametrize("path", ["queue/50%", "queue/%2F", "queue/*?[]{}", "queue/é \U0001f980", "queue/" + "x" * 700])
async def test_any_path_is_a_job(task: Any, path: str) -> None:
    await task.set(path, 1)
    async with task.jobs(POOL) as jobs:
        job = await jobs.take(timeout=10)
        assert job.path == path
        await job.failed("once", retry_in=0.01)
        job = await jobs.take(timeout=20)
        assert job.attempts == 2
        assert (await jobs.progress()).taken == 1
        await job.done(2)
        assert await jobs.result(path) == 2
    assert await left(task) == []


async def test_a_result_that_cannot_be_stored_leaves_the_job_in_hand(task: Any) -> None:
    await task.set("queue/a", 1)
    async with task.jobs(POOL) as jobs:
        job = await jobs.take(timeout=10)
        with pytest.raises(ccs.EncodingError):
            await job.done(object())
        with pytest.raises(ccs.InvalidValue):
            await job.failed(7)
        assert job.claim.held
        await job.done("fine")
        for end in (job.done, lambda: job.failed("x")):
            with pytest.raises(ccs.Misuse, match="settled"):
                await end()


async def test_policies_bind_the_end_of_a_job_too(task: Any) -> None:
    await task.set_policy("queue/a", "reject")
    await task.set_policy("queue/b", "write-once")
    await fill(task, 0)
    await task.set("queue/a", 1)
    async with task.jobs("queue/{a,b}") as jobs:
        await (await jobs.take(timeout=10)).done()
        await task.set("queue/b", 1)
        job = await jobs.take(timeout=10)
        with pytest.raises(ccs.Conflict) as caught:
            await job.done()
        assert caught.value.policy == "write-once"
        assert job.claim.held


@pytest.mark.parametrize("options", [{"ttl": 0}, {"attempts": 0}, {"attempts": True}, {"attempts": 1.5}])
async def test_numbers_are_checked(task: Any, options: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        await task.jobs(POOL, **options).take(timeout=0)
    with pytest.raises(ccs.InvalidPattern):
        task.jobs()
    with pytest.raises(ccs.ReservedPath):
        task.jobs("@claims/**")


# Progress.


async def test_progress_is_an_entry_that_can_be_watched(task: Any, other: Any) -> None:
    await fill(task, 3)
    async with task.jobs(POOL) as jobs:
        path = jobs.progress_path
        first = await jobs.take(timeout=10)
        second = await jobs.take(timeout=10)
        taking = asyncio.ensure_future(jobs.take(timeout=20))
        third = await bounded(taking)
        waiting = asyncio.ensure_future(_timed_out(jobs, scaled(3)))
        await other.wait_for(path, {"waiting": 0, "taken": 3, "done": 0, "dead": 0}, timeout=20)
        await first.done()
        await second.done()
        await other.wait_for(path, {"waiting": 0, "taken": 1, "done": 2, "dead": 0}, timeout=20)
        await bounded(waiting, 20)
        await third.done()
    assert await other.get(path) == {"waiting": 0, "taken": 0, "done": 3, "dead": 0}, "who leaves writes it last"
    before = await other.revision()
    await asyncio.sleep(0.5)
    assert await other.revision() == before, "nothing is written that says nothing new"


async def test_progress_is_written_while_all_workers_are_busy_and_only_if_it_changes(task: Any, other: Any) -> None:
    async def shows(*counts: int) -> None:
        wanted = dict(zip(("waiting", "taken", "done", "dead"), counts, strict=True))
        await other.wait_for(jobs.progress_path, wanted, timeout=20)

    async with task.jobs(POOL, attempts=1) as jobs:
        await other.set_many({f"queue/{number}": number for number in range(3)})
        await shows(3, 0, 0, 0)
        first, second = await jobs.take(timeout=10), await jobs.take(timeout=10)
        await shows(1, 2, 0, 0)
        await other.set("queue/more", 1)
        await shows(2, 2, 0, 0)
        await first.done()
        await shows(2, 1, 1, 0)
        await second.failed("dead at once")
        await shows(2, 0, 1, 1)
        before = await other.revision()
        await asyncio.sleep(1)
        assert await other.revision() == before, "nothing is written that says nothing new"
        await other.set("elsewhere", 1)
        await other.delete_matching(POOL)
        await shows(0, 0, 1, 1)


async def test_the_reporter_of_a_pool_ends_with_its_last_worker_and_with_its_store(open_store: Open) -> None:
    store = await open_store()
    task = store.task("t")
    calls = task.handle.opening.last_calls
    first, second = task.jobs(POOL), task.jobs(POOL)
    await first.__aenter__()
    await second.__aenter__()
    await task.set("queue/a", 1)
    await aeventually(lambda: len(calls) == 1, what="one reporter for both")
    await close(first)
    await task.set("queue/b", 1)
    await close(second)
    assert not calls
    forgotten = task.jobs(POOL)
    await forgotten.__aenter__()
    await task.set("queue/c", 1)
    await aeventually(lambda: bool(calls), what="a reporter")
    await close(store)
    assert not calls


async def close(what: Any) -> None:
    await (what.close() if hasattr(what, "close") else what.aclose())


async def _timed_out(jobs: Any, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await jobs.take(timeout=seconds)


async def test_pools_with_other_patterns_count_for_themselves(task: Any) -> None:
    await task.set_many({"queue/a": 1, "letters/b": 2, "queue/a/deeper": 3})
    assert await task.jobs(POOL).progress() == ccs.JobProgress(1, 0, 0, 0)
    async with task.jobs("letters/*") as jobs:
        await (await jobs.take(timeout=10)).done()
        assert (await jobs.progress()).done == 1
    assert await task.jobs(POOL).progress() == ccs.JobProgress(1, 0, 0, 0)
    assert await task.jobs("queue/**").progress() == ccs.JobProgress(2, 0, 0, 0)


async def test_pools_whose_patterns_hold_spaces_are_no_others(task: Any) -> None:
    await task.set_many({"a b": 1, "a": 2, "b": 3})
    async with task.jobs("a b") as one, task.jobs("a", "b") as two:
        await (await one.take(timeout=10)).done("one")
        for _ in range(2):
            await (await two.take(timeout=10)).done("two")
        assert [await task.jobs("*").result(path) for path in ("a b", "a", "b")] == ["one", "two", "two"]
        assert ((await one.progress()).done, (await two.progress()).done) == (1, 2)


async def test_a_dead_job_that_is_too_large_to_be_moved_holds_up_no_other(open_store: Open) -> None:
    task = (await open_store(max_value_bytes=LARGE)).task("t")
    await task.set("queue/large", bytes(9 << 20))
    async with task.jobs(POOL, attempts=1) as jobs:
        job = await jobs.take(timeout=10)
        with pytest.raises(ccs.ValueTooLarge):
            await job.failed("too hard")
        await job.give_back()
        await task.set("queue/small", 1)
        assert (await jobs.take(timeout=10)).path == "queue/small"
        assert await jobs.dead() == []
    assert await task.paths() == ["queue/large", "queue/small"]


# Waiting, leaving, ending.


async def test_a_loop_waits_for_more_and_ends_with_the_context(task: Any, other: Any) -> None:
    got = list[Any]()

    async def work() -> None:
        async for job in task.jobs(POOL):
            got.append(job.value)
            await job.done()

    working = asyncio.ensure_future(work())
    for number in range(3):
        await other.set("queue/same", number)
        await aeventually(lambda number=number: got == list(range(number + 1)), what="the job to be done")
        await aeventually(lambda: _gone(other, "queue/same"))
    await other.finish("over")
    await bounded(working, 20)


async def _gone(task: Any, path: str) -> bool:
    return not await task.exists(path)


async def test_a_loop_goes_on_with_the_next_context_at_its_address(task: Any, other: Any) -> None:
    got = list[Any]()

    async def work() -> None:
        async for job in task.jobs(POOL):
            got.append(job.value)
            await job.done()

    working = asyncio.ensure_future(work())
    await other.set("queue/a", "before")
    await aeventually(lambda: got == ["before"])
    await aeventually(lambda: _gone(other, "queue/a"))
    await other.drop()
    await other.set("queue/a", "after")
    await aeventually(lambda: got == ["before", "after"], what="the job of the next context")
    await aeventually(lambda: _gone(other, "queue/a"))
    await other.finish()
    await bounded(working, 20)


async def test_leaving_the_block_gives_back_what_is_in_hand_at_once(task: Any, other: Any) -> None:
    await fill(task, 2)
    async with task.jobs(POOL) as jobs:
        first, second = await jobs.take(timeout=10), await jobs.take(timeout=10)
        await first.done()
    assert await nothing_left(task)
    with pytest.raises(ccs.ClaimLost):
        await second.done()
    with pytest.raises(ccs.Misuse, match="closed"):
        await jobs.take()
    async with other.jobs(POOL) as theirs:
        job = await theirs.take(timeout=10)
        assert (job.value, job.attempts) == (1, 2)
        await job.done()


async def test_closing_ends_a_loop_and_one_worker_waits_at_a_time(task: Any) -> None:
    jobs = task.jobs(POOL)

    async def work() -> int:
        return len([job async for job in jobs])

    working = asyncio.ensure_future(work())
    await aeventually(lambda: "not listening" not in repr(jobs))

    async def refused() -> bool:
        try:
            await jobs.take(timeout=0.2)
        except ccs.Misuse:
            return True
        except TimeoutError:
            return False
        return False

    await aeventually(refused, what="the loop to wait")
    await close(jobs)
    assert await bounded(working, 20) == 0


async def test_a_forgotten_job_is_given_back(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        await task.set("queue/a", 1)
        jobs = task.jobs(POOL)
        job = await jobs.take(timeout=10)

        async def again() -> Any:
            taken = await jobs.take(timeout=10)
            await aeventually(lambda: not task.handle.holdings.forgotten(), what="the answer")
            return taken

        del job
        with pytest.warns(ResourceWarning, match="@claims/queue/a"):
            job = await again()
        assert job.attempts == 2
        await job.done()


async def test_cancelled_at_any_turn_taking_leaves_no_claim_and_ending_ends(valkey: str, namespace: str) -> None:
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as store,
        ccs.aio.connect(valkey, namespace=namespace) as more,
    ):
        task, cancelled = store.task("t"), 0
        await task.set("queue/a", 1)
        async with task.jobs(POOL, attempts=1000) as jobs:
            for turns in range(counts(30, 300)):
                doing = asyncio.ensure_future(jobs.take(timeout=10))
                if await cancel_after(turns, doing):
                    cancelled += 1
                    assert await nothing_left(more.task("t")), f"after {turns} turns"
                else:
                    await doing.result().failed("again")
            assert cancelled > 3
            for turns in range(1, 8):
                job = await jobs.take(timeout=10)
                await cancel_after(turns, job.done(turns))
                assert await more.task("t").jobs(POOL).result("queue/a") == turns
                assert await left(more.task("t")) == []
                await task.set("queue/a", 1)


# Everything at once, against what the journal says.


async def test_whatever_workers_do_each_job_ends_once_within_its_attempts(open_store: Open) -> None:
    """Given workers that finish, fail, stop past their claims or forget, and jobs that are set again, then each job ends.

    It was taken at most `attempts` times, by one worker at a time, and has one result, or is dead.
    """
    tasks = [
        (
            await open_store(
                f"worker-{index}",
            )
        ).task("t")
        for index in range(3)
    ]
    dice, many, attempts = random.Random(5), counts(30, 400), 3
    for number in range(many):
        await tasks[0].set(f"queue/{number % (many * 2 // 3)}", number)
    over = asyncio.Event()

    async def work(index: int) -> None:
        task = tasks[index % 3]
        async with task.jobs(POOL, ttl=20, attempts=attempts) as jobs:
            while not over.is_set():
                try:
                    job = await jobs.take(timeout=0.3)
                except TimeoutError:
                    continue
                try:
                    await end(task, job)
                except ccs.ClaimLost:
                    pass

    async def end(task: Any, job: Any) -> None:
        chance = dice.random()
        if chance < 0.2:
            await lapse(task, job.claim)
        if chance < 0.4:
            await job.failed("chance", retry_in=dice.choice((0, 0, 0.02)))
        elif chance < 0.45:
            await job.give_back()
        else:
            await job.done(job.attempts)

    async def all_ended() -> bool:
        progress = await tasks[0].jobs(POOL).progress()
        return progress.waiting == progress.taken == 0

    working = [asyncio.ensure_future(work(index)) for index in range(5)]
    await aeventually(all_ended, 60, "all jobs to end")
    over.set()
    await bounded(asyncio.gather(*working), 20)
    assert await left(tasks[0]) == []
    changes = await tasks[0].history("queue/*", "@claims/**", "@jobs/attempts/**", "@jobs/results/**", "@jobs/dead/**")
    check(changes, attempts)
    progress = await tasks[0].jobs(POOL).progress()
    assert progress.done == len([change for change in changes if change.path.startswith("@jobs/results/")])


def check(changes: list[ccs.Change], attempts: int) -> None:
    """Replays the journal: one holder at a time, no job taken too often, each ended once."""
    takes, ended, claimed = Counter[tuple[str, int]](), Counter[tuple[str, int]](), dict[str, int]()
    present = dict[str, int]()
    for change in changes:
        kind, _, path = change.path.rpartition("queue/")
        if kind == "" and change.op == "set":
            present[path] = change.revision
        elif kind == "@claims/":
            assert (change.op == "set") != (path in claimed), f"two workers at once: {change}"
            if change.op == "set":
                claimed[path] = change.revision
                takes[path, present[path]] += 1
            else:
                del claimed[path]
        elif kind in ("@jobs/results/", "@jobs/dead/") and change.op == "set":
            ended[path, present[path]] += 1
    assert not claimed
    assert max(takes.values()) <= attempts
    assert set(ended.values()) == {1}
    assert ended.keys() == takes.keys()
