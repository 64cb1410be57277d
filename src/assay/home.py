"""Folders where Assay keeps what outlives a command: fetched models and, by default, runs."""

from __future__ import annotations

import os
from pathlib import Path


def assay_home() -> Path:
    """`$ASSAY_HOME`, or ~/.assay where that is not set. Not created here."""
    return Path(os.environ.get("ASSAY_HOME") or "~/.assay").expanduser().absolute()
