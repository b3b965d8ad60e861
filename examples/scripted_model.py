"""The scripted model of `tools_openai.py` and `tools_anthropic.py`: what a language model would decide is a generator here.

It yields the call of a tool that it wants, gets the text of the answer, and knows nothing else: like a model, it has only
what it reads.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

__all__ = ["QUESTIONS", "Wanted", "answer_questions"]

QUESTIONS = {
    "questions/capital": "What is the capital of Peru?",
    "questions/moons": "How many moons has Mars?",
    "questions/pages": "How many pages has a ream?",
    "questions/year": "In which year was the first moon landing?",
}
_KNOWN = {"capital": "Lima", "moons": "2", "pages": "500", "year": "1969"}

Wanted = tuple[str, dict[str, Any]]
"""A tool and its arguments."""


def answer_questions() -> Generator[Wanted, str, str]:
    """Answers what nobody has answered yet. Returns what it has to say in the end."""
    answered = []
    yield "briefing", {}
    listing = yield "list", {"patterns": ["questions/*"]}
    for path in [line.removeprefix("- ") for line in listing.splitlines() if line.startswith("- ")]:
        name = path.removeprefix("questions/")
        claimed = yield "claim", {"resource": path}
        if claimed.startswith("Not claimed"):  # the other one is on it
            continue
        yield "read", {"path": path}
        written = yield "write", {"path": f"answers/{name}", "value": _KNOWN[name], "if_revision": 0}
        if written.startswith("Written"):
            answered.append(name)
        yield "release", {"resource": path}
    yield "briefing", {}
    return f"I answered {len(answered)} questions."
