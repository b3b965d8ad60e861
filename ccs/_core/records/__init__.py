"""Records: pydantic models, dataclasses and named tuples. Importing this loads pydantic."""

from ccs._core.records.classes import is_restored
from ccs._core.records.read_back import confirm
from ccs._core.records.record_content import content, leaf_form
from ccs._core.records.validation import read
from ccs._core.records.write_plans import Unsure, planned

__all__ = ["Unsure", "confirm", "content", "is_restored", "leaf_form", "planned", "read"]
