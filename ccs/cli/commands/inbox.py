"""Look into the inbox of a role: list its messages, receive one, acknowledge it, list the dead ones.

`receive` prints id, token and content, and keeps its lease when it exits: `ack ID TOKEN`, here or in any program, settles the
message; without it, the message comes back when the lease has ended.
"""

from __future__ import annotations

import argparse

import ccs
from ccs.cli.exits import Exit, Stop
from ccs.cli.message_lines import message_fields, print_messages
from ccs.cli.opened import opened
from ccs.cli.options import add_address, duration
from ccs.cli.output import print_json, short

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs inbox /tasks/42 analyst receive --lease 10m"
_ACTIONS = ("list", "receive", "ack", "dead", "count")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument("role", metavar="ROLE", help="whose inbox it is")
    parser.add_argument(
        "action", metavar="ACTION", nargs="?", default="list", choices=_ACTIONS, help=", ".join(_ACTIONS)
    )
    parser.add_argument("id", metavar="ID", nargs="?", help="with ack: the message")
    parser.add_argument("token", metavar="TOKEN", nargs="?", type=int, help="with ack: the token of its delivery")
    parser.add_argument("--lease", type=duration, default=60.0, metavar="TIME", help="with receive: how long; 60s")
    parser.add_argument("--attempts", type=int, default=5, metavar="N", help="deliveries before a message is dead; 5")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    _check(options)
    with opened(options) as store:
        ctx = store.context(options.address)
        inbox = ctx.inbox(options.role, lease=options.lease, attempts=options.attempts)
        if options.action == "ack":
            inbox.ack(options.id, options.token)
            if options.json:
                print_json({"acknowledged": options.id})
        elif options.action == "receive":
            _receive(ctx.address, inbox, options)
        elif options.action == "count":
            _print_count(inbox.count(), options.json)
        else:
            messages = inbox.unread() if options.action == "list" else inbox.dead()
            print_messages(ctx.address, messages, options.json)
    return Exit.DONE


def _print_count(count: int, json: bool) -> None:
    print_json({"count": count}) if json else print(count)


def _check(options: argparse.Namespace) -> None:
    given = options.id is not None and options.token is not None
    if given != (options.action == "ack") or (options.id is not None and not given):
        raise Stop(Exit.USAGE, "ack, and nothing else, takes ID and TOKEN, as receive has printed them")


def _receive(address: str, inbox: ccs.Inbox, options: argparse.Namespace) -> None:
    with inbox:
        message = inbox.receive(timeout=options.timeout)
        message.keep()
    if options.json:
        print_json(message_fields(address, message))
    else:
        print(message.id, message.token, short(message.content), sep="\t")
