"""The embedded server: one real server a folder, shared by every process that opens it."""

from ccs.embedded.folder import default_folder
from ccs.embedded.handle import Embedded

__all__ = ["Embedded", "default_folder"]
