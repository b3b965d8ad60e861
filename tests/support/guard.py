"""Ends the servers of a test process that was killed itself, and so could not stop them."""

from __future__ import annotations

import atexit
import subprocess
from functools import cache

__all__ = ["began", "ended"]

# It hears of each server that begins and ends. The end of its input is the end of the test process, however that came.
_GUARD = """
trap '' INT TERM HUP
alive=' '
while read -r what pid; do
    case $what in
    began) alive="$alive$pid " ;;
    ended) case $alive in *" $pid "*) alive="${alive%% $pid *} ${alive#* $pid }" ;; esac ;;
    esac
done
for pid in $alive; do kill -9 "$pid"; done
"""


def began(pid: int) -> None:
    """This server is ended with the test process."""
    _tell("began", pid)


def ended(pid: int) -> None:
    """This server has ended: its number may soon be that of another process."""
    _tell("ended", pid)


def _tell(what: str, pid: int) -> None:
    stdin = _guard().stdin
    assert stdin
    stdin.write(f"{what} {pid}\n".encode())
    stdin.flush()


@cache
def _guard() -> subprocess.Popen[bytes]:
    guard = subprocess.Popen(["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(_dismiss, guard)
    return guard


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin
    guard.stdin.close()
    guard.wait()
