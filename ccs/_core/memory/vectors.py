"""Embeddings as bytes: float32, little-endian, which every program can read. This needs no numpy."""

from __future__ import annotations

import math
import struct
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
    values = _row(vector)
    if not values:
        raise InvalidValue("an embedding is empty: give the row of numbers that a model makes of the text")
    try:
        # In half the time of array("f", values), which also takes what is too large for an infinity.
        packed = struct.pack(f"<{len(values)}f", *values)
        # NaN and infinity propagate. `float`, as numbers of several types cannot always be added.
        is_finite = math.isfinite(sum(map(float, values)))
    except (TypeError, struct.error) as error:
        raise InvalidValue(f"an embedding is a flat row of numbers: {error}") from None
    except OverflowError:
        is_finite = False
    if not is_finite or not any(array("f", packed)):
        raise InvalidValue(f"an embedding of {len(values)} numbers is all zeros, or one of them is NaN or infinite")
    return packed


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


def _row(vector: Any) -> list[Any]:
    if isinstance(vector, (str, bytes, bytearray, memoryview, Mapping, Set)):
        raise InvalidValue(f"an embedding is a row of numbers, not {type(vector).__name__}")
    try:
        # Arrays and tensors convert all their numbers at once.
        return list(vector.tolist() if hasattr(vector, "tolist") else vector)
    except TypeError as error:
        raise InvalidValue(f"an embedding is a flat row of numbers: {error}") from None
