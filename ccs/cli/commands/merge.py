"""Merge a map into the map at a path (RFC 7396: null removes a key), and print the revision of the commit."""

from __future__ import annotations

import argparse
from typing import Any

import ccs
from ccs._core.names.address import split_absolute
from ccs.cli.entry_lines import entry_fields
from ccs.cli.exits import Exit, Stop
from ccs.cli.given_values import add_value, value_of
from ccs.cli.opened import opened
from ccs.cli.options import add_path, add_ttl
from ccs.cli.output import print_json
from ccs.types import Entry

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = 'ccs merge /tasks/42/plan \'{"step": 2, "draft": null}\''


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_path(parser)
    add_value(parser, "PATCH")
    add_ttl(parser)
    parser.add_argument(
        "--if-revision", type=int, metavar="N", help="only if the entry is at this revision; 0: if there is none"
    )


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    patch = value_of(options)
    if not isinstance(patch, dict):
        raise Stop(Exit.USAGE, "a patch is a map in JSON: '{\"key\": 1}'")
    address, path = split_absolute(options.path)
    with opened(options, make=True) as store:
        ctx = store.context(address)
        try:
            entry = _merged(ctx, path, patch, options)
        except ccs.InvalidValue as error:
            # Not the arguments are wrong, but what is there.
            raise Stop(Exit.OTHER, str(error)) from error
    if options.json:
        print_json(entry_fields(ctx.address, entry))
    else:
        print(entry.revision)
    return Exit.DONE


def _merged(ctx: ccs.Context, path: str, patch: dict[str, Any], options: argparse.Namespace) -> Entry:
    if options.if_revision is None and options.ttl is None:
        return ctx.merge(path, patch)

    def edit(tx: ccs.Transaction) -> None:
        _check(path, tx.entry(path), options.if_revision)
        tx.merge(path, patch)
        if options.ttl is not None:
            tx.renew(path, options.ttl)

    ctx.transact(edit, attempts=1 if options.if_revision is not None else 10)
    entry = ctx.entry(path)
    if entry is None:
        raise Stop(Exit.NOT_THERE, f"{ctx.address}/{path} was merged, and removed by another agent since")
    return entry


def _check(path: str, entry: Entry | None, revision: int | None) -> None:
    if revision is None or (entry.revision if entry else 0) == revision:
        return
    version = entry.version if entry else 0
    raise ccs.Conflict(
        path, revision, version, entry.revision if entry else 0, entry.agent if entry else None, guard="revision"
    )
