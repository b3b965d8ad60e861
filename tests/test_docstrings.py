"""The examples in the docstrings run, in the blocking colour: its text is generated from the asyncio one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import ccs
import ccs._sync
import ccs.testing

MODULES = [module.name for module in pkgutil.walk_packages(ccs._sync.__path__, "ccs._sync.")]
EXAMPLES = [
    test
    for name in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    if test.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_does_what_it_says(example: doctest.DocTest) -> None:
    said: list[str] = []
    with ccs.connect("memory://", agent="example") as store:
        example.globs = {"ccs": ccs, "store": store, "task": store.task("example")}
        results = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(said)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 12
