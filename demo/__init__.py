"""The demo: a swarm of processes surveys a real code base on one shared context. `python -m demo --help`."""
