"""Outputs: what does this program return?"""

from __future__ import annotations

from assay.environments.outputs.environment import Outputs

__all__ = ["Outputs"]
