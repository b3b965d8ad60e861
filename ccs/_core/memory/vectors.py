"""Embeddings as bytes: float32, little-endian, which every program can read. This needs no numpy."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Set
from typing import Any

from ccs.errors import InvalidValue

__all__ = ["FLOAT_BYTES", "any_of", "pack", "pack_all"]

FLOAT_BYTES = 4


def pack(vector: Any) -> bytes:
    """Returns one embedding (a list, a numpy array, a tensor) as bytes.

    Raises `InvalidValue` unless it is a flat row of numbers, finite as float32 and not all zero: no other has a direction.
    """
    values = _floats(vector)
    if not values:
        raise InvalidValue("an embedding is empty: give the row of numbers that a model makes of the text")
    # NaN and infinity propagate, and only zeros have length zero.
    if not 0.0 < math.hypot(*values) < math.inf:
        raise InvalidValue(f"an embedding of {len(values)} numbers is all zeros, or one of them is NaN or infinite")
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def pack_all(vectors: Any, count: int) -> list[bytes]:
    """Returns an embedder's vectors for `count` texts as bytes.

    Raises `InvalidValue` unless there is a vector for each, all of one dimension.
    """
    try:
        found = list(vectors)
    except TypeError:
        raise InvalidValue(
            f"embed= gave {type(vectors).__name__}: it takes texts and returns a vector for each"
        ) from None
    if len(found) != count:
        raise InvalidValue(f"embed= gave {len(found)} vectors, asked for {count}: it returns one for each text")
    packed = list(map(pack, found))
    if len(set(map(len, packed))) > 1:
        raise InvalidValue("embed= gave vectors of several dimensions: all that it returns have the same")
    return packed


def any_of(vectors: Iterable[bytes]) -> bytes:
    """Returns one of the vectors, empty if none is there. Raises `InvalidValue` if they have several dimensions."""
    by_size = {len(vector): vector for vector in vectors if vector}
    if len(by_size) > 1:
        widths = " and ".join(str(size // FLOAT_BYTES) for size in sorted(by_size))
        raise InvalidValue(f"the embeddings have {widths} numbers: all in a context have the same dimension")
    return next(iter(by_size.values()), b"")


def _floats(vector: Any) -> array[float]:
    if isinstance(vector, (str, bytes, bytearray, memoryview, Mapping, Set)):
        raise InvalidValue(f"an embedding is a row of numbers, not {type(vector).__name__}")
    try:
        packed = _floats32(vector)
        if packed is not None:
            return packed
        # Arrays and tensors convert all their numbers at once.
        return array("f", vector.tolist() if hasattr(vector, "tolist") else vector)
    except (TypeError, OverflowError) as error:
        raise InvalidValue(f"an embedding is a flat row of numbers: {error}") from None


def _floats32(vector: Any) -> array[float] | None:
    """Returns the numbers of a row that is stored as they will be, such as an array of numpy; None for any other."""
    try:
        view = memoryview(vector)
    except TypeError:  # what most embeddings are: a list
        return None
    return array("f", view.tobytes()) if view.format == "f" and view.ndim == 1 else None
