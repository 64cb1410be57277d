"""The schema environment: what a text says, as JSON that is valid under a schema."""

from __future__ import annotations

from assay.environments.schema.environment import Schema
from assay.environments.schema.reward import Extracted
from assay.environments.schema.validator import check_schema, parse, problem_of

__all__ = ["Extracted", "Schema", "check_schema", "parse", "problem_of"]
