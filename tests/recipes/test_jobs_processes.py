"""Jobs among real processes, some of which are killed: each is done once."""

from __future__ import annotations

from collections import Counter

import ccs
from tests.embedded.players import crowd
from tests.recipes.job_players import work
from tests.support.waiting import counts, eventually, scaled

SIZE, KILLED = counts(4, 8), counts(2, 3)


def test_the_jobs_of_killed_workers_are_done_by_others_and_each_once(valkey: str, namespace: str) -> None:
    many = counts(40, 1_000)
    with ccs.connect(valkey, namespace=namespace) as store, crowd(SIZE) as workers:
        task = store.task("t", keep_commits=100_000)
        task.set_many({f"queue/{number}": number for number in range(many)})
        jobs = task.jobs("queue/*")
        for worker in workers:
            worker.begin(work, valkey, namespace, scaled(1.0), 0.005)
        killed = set[str]()
        for number, worker in enumerate(workers[:KILLED], 1):
            eventually(
                lambda number=number: jobs.progress().done >= number * many // (KILLED + 2), 60, "some to be done"
            )
            eventually(
                lambda worker=worker: any(info.holder == str(worker.pid) for info in task.claims()), 60, "a claim"
            )
            worker.kill()
            killed.add(str(worker.pid))
        eventually(lambda: jobs.progress().done == many, 60, "all to be done")
        eventually(lambda: task.get(jobs.progress_path)["done"] == many, 20, "the progress to be written")
        task.finish()
        done = Counter(value for worker in workers[KILLED:] for value in worker.result())
        results = [change for change in task.history("@jobs/results/**") if change.op == "set"]
        assert Counter(change.path for change in results) == Counter(f"@jobs/results/queue/{n}" for n in range(many))
        assert max(done.values()) == 1
        assert all(done[int(change.path.rpartition("/")[2])] or change.agent in killed for change in results)
        assert jobs.dead() == []
        assert task.paths("queue/*", "@jobs/attempts/**") == []
