"""Dispatch: jobs that come, expire and change on a clock that does not wait."""

from __future__ import annotations

from assay.environments.dispatch.environment import Dispatch

__all__ = ["Dispatch"]
