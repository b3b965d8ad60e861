"""Faults of the proxy that stands before a watch, drawn from dice."""

from __future__ import annotations

import random
from collections.abc import Callable

Fault = Callable[[int, bytes], str]

MESSAGES = (b"*3\r\n$7\r\nmessage", b"*4\r\n$8\r\npmessage")
"""How what a subscription delivers begins."""


def losing(dice: random.Random) -> Fault:
    """Loses complete messages of the subscription, one in five, and nothing else, such as a confirmation that came with one."""

    def fault(count: int, chunk: bytes) -> str:
        said = chunk.startswith(MESSAGES) and b"subscribe" not in chunk
        return "lose" if said and dice.random() < 0.2 else "pass"

    return fault


def cutting(dice: random.Random) -> Fault:
    """Cuts connections."""
    return lambda count, chunk: "cut" if count > 10 and dice.random() < 0.02 else "pass"


def hanging(dice: random.Random) -> Fault:
    """Leaves connections open, but sends nothing more on them."""
    return lambda count, chunk: "hang" if count > 10 and dice.random() < 0.01 else "pass"


def anything(dice: random.Random) -> Fault:
    """All of it, and replies that are lost with their connection."""

    def fault(count: int, chunk: bytes) -> str:
        chance = dice.random()
        if count <= 10 or chance > 0.06:
            return "pass"
        if chunk.startswith(MESSAGES):
            return "lose" if chance < 0.03 else "cut" if chance < 0.055 else "hang"
        return "cut" if chance < 0.03 else "drop" if chance < 0.055 else "hang"

    return fault
