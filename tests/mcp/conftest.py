"""Without the extra `mcp` there is nothing to test here."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("mcp") else ["test_*.py"]
if find_spec("mcp"):
    from tests.mcp.fixtures import connected, era, store, task

    __all__ = ["connected", "era", "store", "task"]
