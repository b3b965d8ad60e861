"""A worker that the tests of jobs run in processes of their own, by a `Player`."""

from __future__ import annotations

import os
import time

import ccs


def work(url: str, namespace: str, ttl: float, pace: float) -> list[int]:
    """Does jobs until the context is finished; returns their values."""
    done = []
    with ccs.connect(url, namespace=namespace, agent=str(os.getpid())) as store:
        for job in store.task("t").jobs("queue/*", ttl=ttl, attempts=10):
            time.sleep(pace)
            job.done(os.getpid())
            done.append(job.value)
    return done
