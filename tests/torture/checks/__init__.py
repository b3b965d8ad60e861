"""The checker: a history in, violations out. It reads no file, asks no server and needs no search."""

from tests.torture.checks.rules import RULES, check
from tests.torture.checks.violation import Violation

__all__ = ["RULES", "Violation", "check"]
