"""`python -m ccs.demo`."""

import sys

from ccs.demo.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m ccs.demo"))
