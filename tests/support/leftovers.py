"""What stores have running: nothing of it may be left when they are closed."""

import asyncio
import threading
from collections import Counter


def threads() -> Counter[str]:
    """The threads of stores that are alive, by name."""
    return Counter(thread.name for thread in threading.enumerate() if thread.name.startswith("ccs"))


def tasks() -> Counter[str]:
    """The tasks of stores that are not done, by name."""
    return Counter(task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("ccs"))
