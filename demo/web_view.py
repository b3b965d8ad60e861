"""The web view of the survey, as `ccs ui` serves it, beside the swarm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["web_view"]

COMMAND = "import sys; from ccs.cli import main; sys.exit(main())"
ENDING = 5.0


@contextmanager
def web_view(target: str, address: str) -> Iterator[None]:
    """Opens the view of a context in a browser. On a terminal it stays after the survey, until Ctrl-C."""
    arguments = [sys.executable, "-c", COMMAND, "ui", address, "--store", target, "--open"]
    # A session of its own: Ctrl-C is for the demo, which ends the view in order.
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout
        print(f"the web view: {process.stdout.readline().strip()}", flush=True)
        yield
        _stay(process)
    finally:
        process.terminate()
        process.wait(ENDING)


def _stay(process: subprocess.Popen[str]) -> None:
    if not sys.stdout.isatty():
        return
    print("the web view stays open until Ctrl-C", flush=True)
    try:
        process.wait()
    except KeyboardInterrupt:
        print(flush=True)
