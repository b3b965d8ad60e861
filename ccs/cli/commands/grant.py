"""Let a user of the server read and write some contexts and no others, and print the URL to connect with.

The URL holds the password, which is shown this once. With --print-rules nothing is done: it prints the command for somebody
who may run it, and needs no server.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ccs
from ccs._core.names.granted_addresses import address_globs
from ccs._protocol.access_rules import access_rules, shown_rules
from ccs.cli.exits import Exit, Stop
from ccs.cli.given_values import text_of
from ccs.cli.opened import opened
from ccs.cli.output import fields_of, print_json, said
from ccs.types import Grant

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs grant analyst --read '/tasks/*' --write /tasks/42"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("user", metavar="USER", help="the name of the user, who is made, or gets these rights instead")
    parser.add_argument("--read", action="append", default=[], metavar="ADDRESS", help="may read it; globs: '/tasks/*'")
    parser.add_argument("--write", action="append", default=[], metavar="ADDRESS", help="may read and write it")
    parser.add_argument(
        "--password-file", metavar="FILE", help="the password, in a file, or on stdin (-); by default a random one"
    )
    parser.add_argument("--print-rules", action="store_true", help="only print the command, ACL SETUSER …")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    if options.print_rules:
        return _print_rules(options)
    with opened(options) as store:
        grant = store.grant(
            options.user, read=options.read, write=options.write, password=_password(options.password_file)
        )
    if options.json:
        print_json(fields_of(grant))
    else:
        print(grant.url)
        _tell(grant)
    return Exit.DONE


def _print_rules(options: argparse.Namespace) -> int:
    reads = address_globs("read", options.read)
    writes = address_globs("write", options.write)
    if not reads and not writes:
        raise ccs.InvalidValue("a grant names addresses: give --read, --write or both")
    secret = _password(options.password_file)
    rules = access_rules(options.namespace, reads, writes, secret or "PASSWORD")
    if options.json:
        print_json({"user": options.user, "read": reads, "write": writes, "rules": rules if secret else _open(rules)})
    else:
        print(shown_rules(options.user, rules))
        said("replace PASSWORD, and run this on every server (redis-cli)")
    return Exit.DONE


def _open(rules: tuple[str, ...]) -> list[str]:
    return [">PASSWORD" if rule.startswith("#") else rule for rule in rules]


def _tell(grant: Grant) -> None:
    said("the password in this URL is shown this once")
    if grant.saved is False:
        said("the server has no file for its users (aclfile): after a restart it has forgotten this one")


def _password(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        text = text_of("-") if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise Stop(Exit.USAGE, f"no password can be read: {error}") from error
    password = text.rstrip("\n")
    if not password:
        raise Stop(Exit.USAGE, "the password is empty")
    return password
