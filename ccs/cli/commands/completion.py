"""Print the script that completes commands, options, addresses and paths in a shell: bash, zsh or fish.

bash: eval "$(ccs completion bash)" in ~/.bashrc; zsh: eval "$(ccs completion zsh)" in ~/.zshrc, after compinit; fish: ccs
completion fish > ~/.config/fish/completions/ccs.fish
"""

from __future__ import annotations

import argparse
from importlib.resources import files

from ccs.cli.exits import Exit

__all__ = ["EXAMPLE", "FILES", "arguments", "run"]

EXAMPLE = 'eval "$(ccs completion bash)"'
FILES = {"bash": "ccs.bash", "zsh": "_ccs", "fish": "ccs.fish"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("shell", metavar="SHELL", choices=list(FILES), help=", ".join(FILES))


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    print((files("ccs.cli") / "completions" / FILES[options.shell]).read_text("utf-8"), end="")
    return Exit.DONE
