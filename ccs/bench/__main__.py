"""`python -m ccs.bench`."""

import sys

from ccs.bench.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m ccs.bench"))
