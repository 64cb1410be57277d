"""The database environment: questions that are answered, and changes that are made, by queries."""

from __future__ import annotations

from assay.environments.database.environment import Database

__all__ = ["Database"]
