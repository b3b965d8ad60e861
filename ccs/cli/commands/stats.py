"""Count what is in the store, and what its servers do: contexts, entries, memory, clients, commands a second, latency."""

from __future__ import annotations

import argparse
from typing import Any

from ccs.cli.entry_lines import span
from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.output import paint, print_json
from ccs.cli.server_info import Facts, server_name, servers, size

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs stats --json"
_NUMBERS = {
    "uptime": "uptime_in_seconds",
    "memory": "used_memory",
    "memory_limit": "maxmemory",
    "clients": "connected_clients",
    "commands_per_second": "instantaneous_ops_per_sec",
    "commands": "total_commands_processed",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        contexts = store.contexts()
        found = servers(store)
        told = {
            "address": store.address,
            "namespace": options.namespace,
            "contexts": len(contexts),
            "finished": sum(info.finished for info in contexts),
            "entries": sum(info.entries for info in contexts),
            "latency": store.ping(),
            "servers": [{"address": where, **_counted(facts)} for where, facts in found.items()],
        }
    if options.json:
        print_json(told)
    else:
        _print_lines(told)
    return Exit.DONE


def _counted(facts: Facts) -> dict[str, Any]:
    numbers = {name: int(facts.get(field, "0")) for name, field in _NUMBERS.items()}
    return {"server": server_name(facts), "role": facts.get("role", "?"), **numbers}


def _print_lines(told: dict[str, Any]) -> None:
    finished = f", {told['finished']:,} of them finished" if told["finished"] else ""
    _print_line("store", f"{told['address']}, namespace {told['namespace']}")
    _print_line("contexts", f"{told['contexts']:,}{finished}")
    _print_line("entries", f"{told['entries']:,}")
    _print_line("latency", f"{told['latency'] * 1_000:.1f} ms")
    for server in told["servers"]:
        role = "" if server["role"] == "master" else f", a {server['role']}"
        limit = f" of {size(server['memory_limit'])}" if server["memory_limit"] else ", no limit"
        _print_line("server", f"{server['address']}: {server['server']}{role}, up {span(server['uptime'])}")
        _print_line("  memory", f"{size(server['memory'])}{limit}")
        _print_line("  clients", f"{server['clients']:,}")
        _print_line("  commands", f"{server['commands_per_second']:,} a second")


def _print_line(name: str, text: str) -> None:
    print(f"{paint(f'{name:<11}', 'dim')} {text}")
