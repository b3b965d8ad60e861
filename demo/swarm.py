"""The processes of the swarm: started, watched over, killed on request, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from demo.entries import Job

__all__ = ["Failure", "Member", "Swarm"]

SHUTDOWN = 5.0
MAX_STDERR = 4_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A process that ended badly, and the end of what it wrote to its standard error."""

    agent: str
    code: int
    stderr: str

    def __str__(self) -> str:
        how = f"was killed by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"
        return f"{self.agent} {how}{': ' if self.stderr else ''}{self.stderr}"


@dataclass(slots=True)
class Member:
    """One process, with the file that its standard error goes to."""

    job: Job
    process: subprocess.Popen[str]
    log: Path
    killed: bool = False

    @property
    def failure(self) -> Failure | None:
        """How it failed, if it has; being killed on purpose is no failure."""
        code = self.process.poll()
        return Failure(self.job.agent, code, self._stderr()) if code and not self.killed else None

    @property
    def is_lost(self) -> bool:
        """Whether it has ended before its work did."""
        return self.killed or self.failure is not None

    def _stderr(self) -> str:
        return self.log.read_text(errors="replace")[-MAX_STDERR:].strip()

    def stop(self) -> bool:
        """Hold it where it is, mid-work. Returns whether it stands still: False if it has ended."""
        if self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGSTOP)
        # The signal alone only asks: on a busy machine the process may still run for a while, and send.
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.process.returncode = os.waitstatus_to_exitcode(status)  # it ended meanwhile, and nobody else can ask again
        return False

    def go_on(self) -> None:
        """Let it run on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with -9, on purpose."""
        self.killed = True
        self.process.kill()
        self.process.wait(SHUTDOWN)


@dataclass(slots=True)
class Swarm:
    """The members by name. Leaving it ends those that still run."""

    logs: Path
    members: dict[str, Member] = field(default_factory=dict)

    def start(self, job: Job) -> None:
        """Start a process for the job."""
        log = self.logs / f"{job.agent}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "demo._agent", job.agent],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo alone, which then ends its swarm in order
            )
        self.members[job.agent] = Member(job, process, log)
        self._tell(process, job)

    def _tell(self, process: subprocess.Popen[str], job: Job) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{job.dumps()}\n")
        process.stdin.flush()  # and left open: it is the lifeline of the process

    def failures(self) -> list[Failure]:
        """Those that ended badly so far."""
        return [member.failure for member in self.members.values() if member.failure is not None]

    def is_hopeless(self) -> bool:
        """Whether the survey cannot end any more: the surveyor or the reporter failed, or every analyst did."""
        members = list(self.members.values())
        failed = [one.job.role != "analyst" for one in members if one.failure is not None]
        return any(failed) or all(one.is_lost for one in members if one.job.role == "analyst")

    def wait(self, timeout: float) -> None:
        """Until all have ended. `subprocess.TimeoutExpired` if they do not in time."""
        deadline = time.monotonic() + timeout
        for member in self.members.values():
            member.process.wait(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for member in self.members.values():
            member.process.terminate()
        for member in self.members.values():
            self._end(member.process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        try:
            process.wait(SHUTDOWN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(SHUTDOWN)
        finally:
            assert process.stdin is not None
            process.stdin.close()
