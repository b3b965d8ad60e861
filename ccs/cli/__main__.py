"""`python -m ccs.cli` is the command `ccs`."""

import sys

from ccs.cli.program import main

sys.exit(main())
