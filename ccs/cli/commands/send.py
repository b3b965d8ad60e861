"""Send a message to the inbox of a role, and print its id."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.given_values import add_value, value_of
from ccs.cli.message_lines import message_fields
from ccs.cli.opened import opened
from ccs.cli.options import add_address, add_ttl, duration
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = 'ccs send /tasks/42 analyst \'{"read": "sources/a"}\' --type task'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument("role", metavar="ROLE", help="who is to get it: any text")
    add_value(parser)
    parser.add_argument("--type", default="note", help="note, task, …; any text")
    parser.add_argument("--reply-to", metavar="ID", help="the message that this one answers")
    parser.add_argument("--id", help="an id of your own: for a day, the same one is sent once")
    parser.add_argument("--delay", type=duration, metavar="TIME", help="not to be received before this time is over")
    parser.add_argument("--priority", type=int, default=0, metavar="N", help="the highest comes first; 0")
    add_ttl(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    content = value_of(options)
    with opened(options, make=True) as store:
        ctx = store.context(options.address)
        message = ctx.send(
            options.role,
            content,
            type=options.type,
            reply_to=options.reply_to,
            ttl=options.ttl,
            id=options.id,
            delay=options.delay,
            priority=options.priority,
        )
    if options.json:
        print_json(message_fields(ctx.address, message))
    else:
        print(message.id)
    return Exit.DONE
