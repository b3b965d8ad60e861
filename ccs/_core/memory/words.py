"""The words of a text: what a search by words compares.

A word is a run of letters and digits, without case (NFKC, then casefold). Scripts that put no space between words have none
that could be cut out without a dictionary: of Chinese and Japanese, each character is a word. Nothing is stemmed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["wanted_words", "words_in"]

# Kana, ideographs, and those of the planes behind.
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W_{_SINGLE}]+")


def words_in(text: str) -> list[str]:
    """Returns the words of a text, in their order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def wanted_words(keywords: Any) -> frozenset[str]:
    """Returns the words that a text must have, given as one text or several. Raises `InvalidValue` if there are none."""
    texts: Iterable[Any] = (
        [keywords] if isinstance(keywords, str) else listed("keywords", keywords, "a text, or a list")
    )
    found: set[str] = set()
    for text in texts:
        words = words_in(text) if isinstance(text, str) else []
        if not words:
            raise InvalidValue(f"keywords has {shown(text)}, which has no word: give texts with letters or digits")
        found.update(words)
    if not found:
        raise InvalidValue("keywords is empty: give at least one word, or leave it out")
    return frozenset(found)
