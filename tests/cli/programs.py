"""Runs the real program `ccs`, in a terminal of a size, and in a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import scaled

__all__ = ["CCS", "InTerminal", "Shown", "in_pipe", "in_terminal"]

CCS = str(Path(sys.executable).with_name("ccs"))
# Makes the terminal that of the program, so that Ctrl-C reaches it, and becomes the program.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Shown(NamedTuple):
    """What a terminal has got, and the exit code."""

    code: int
    text: str


class InTerminal:
    """A program in a terminal."""

    def __init__(self, command: list[str], columns: int = 80, lines: int = 24, **environment: str) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL, *command],
            stdin=side,
            stdout=side,
            stderr=side,
            close_fds=True,
            start_new_session=True,
            env={**env, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
        )
        os.close(side)
        self.raw = b""

    @property
    def text(self) -> str:
        return self.raw.decode("utf-8", "replace").replace("\r\n", "\n")

    def read_until(self, done: Callable[[str], bool], timeout: float = 20.0) -> str:
        """Reads until what was read satisfies `done`, or the program ends."""
        end = time.monotonic() + scaled(timeout)
        while not done(self.text):
            ready, _, _ = select.select([self._main], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"not shown in time: {self.text[-2_000:]}"
            try:
                got = os.read(self._main, 65_536)
            except OSError:  # Linux: nobody has the other side any more
                break
            if not got:
                break
            self.raw += got
        return self.text

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def end(self, sent: signal.Signals | None = None) -> Shown:
        """Waits for its end, perhaps after a signal."""
        if sent is not None:
            self.process.send_signal(sent)
        self.read_until(lambda _: False)
        code = self.process.wait(scaled(20))
        os.close(self._main)
        return Shown(code, self.text)


def in_terminal(*arguments: str, columns: int = 80, lines: int = 24, **environment: str) -> Shown:
    """Runs `ccs` in a terminal, to its end."""
    return InTerminal([CCS, *arguments], columns, lines, **environment).end()


def in_pipe(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `ccs` in a pipe, to its end."""
    return subprocess.run(
        [CCS, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=scaled(60),
        env={**os.environ, "PYTHONUTF8": "1", **environment},
    )
