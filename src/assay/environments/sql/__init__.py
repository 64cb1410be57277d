"""The sql environment: questions that are answered by one query, which is run on databases that nobody has seen."""

from __future__ import annotations

from assay.environments.sql.environment import SQL
from assay.environments.sql.reward import Query

__all__ = ["SQL", "Query"]
