"""What may be wrong in a history: each function makes one thing wrong in one that is right."""

from tests.torture.wrongs import bounds, changes, entries, recipes
from tests.torture.wrongs.spoiling import WRONG

__all__ = ["WRONG", "bounds", "changes", "entries", "recipes"]
