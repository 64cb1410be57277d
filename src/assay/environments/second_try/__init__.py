"""SecondTry: two turns with known maths."""

from __future__ import annotations

from assay.environments.second_try.environment import SecondTry

__all__ = ["SecondTry"]
