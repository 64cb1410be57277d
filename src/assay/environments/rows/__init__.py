"""Rows: tasks from any JSON lines, CSV or Parquet file."""

from __future__ import annotations

from assay.environments.rows.environment import Rows

__all__ = ["Rows"]
