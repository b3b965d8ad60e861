"""The logger `ccs`: reconnect, resume, retry, fork, callback error."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("ccs")
