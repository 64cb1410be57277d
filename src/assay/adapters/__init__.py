"""Adapters: packages of other people, each in a virtual environment and in worker processes of its own."""

from __future__ import annotations

from assay.adapters.server import AdapterServer, Connection, adapter_server
from assay.adapters.venvs import (
    ADAPTERS,
    AdaptedPackage,
    find_adapter,
    folder_of,
    install,
    installed,
    interpreter_of,
    num_pins,
)

__all__ = [
    "ADAPTERS",
    "AdaptedPackage",
    "AdapterServer",
    "Connection",
    "adapter_server",
    "find_adapter",
    "folder_of",
    "install",
    "installed",
    "interpreter_of",
    "num_pins",
]
