"""Which values are records. Called for every value that is not of a builtin type, so it must not load pydantic."""

from __future__ import annotations

import sys
from dataclasses import is_dataclass
from functools import lru_cache

__all__ = ["is_model_class", "is_record", "is_record_class"]


def is_record(value: object) -> bool:
    """Returns whether a value is a model, an instance of a dataclass, or a named tuple."""
    cls: type = type(value)
    return is_record_class(cls)


@lru_cache(maxsize=1024)
def is_record_class(cls: type) -> bool:
    """Returns whether the instances of a class are records: models, instances of dataclasses, or named tuples."""
    return is_model_class(cls) or is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def is_model_class(cls: type) -> bool:
    """Returns whether a class is a pydantic model. None is, before the program has imported pydantic."""
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return model is not None and issubclass(cls, model)
