"""The commands of `ccs`, a module each, imported when it is used.

A module has three names. `EXAMPLE` is a command line that its help shows. `arguments(parser)` adds what is its own to an
`argparse.ArgumentParser`, whose description is the docstring of the module. `run(options)` does it, and returns the exit
code. A command prints its data on stdout and all else on stderr, and leaves errors to `ccs.cli.program`. `ccs.cli.table`
lists them all.
"""
