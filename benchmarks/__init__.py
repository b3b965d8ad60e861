"""The benchmark: CCS beside what one would use instead, in one interleaved run. `scripts/bench --help`."""
