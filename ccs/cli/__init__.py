"""The command `ccs`: shows and does from a shell what agents do from Python."""

from ccs.cli.program import main

__all__ = ["main"]
