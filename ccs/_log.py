"""The logger `ccs`: reconnects, resumes, retries, forks and errors of callbacks."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("ccs")
