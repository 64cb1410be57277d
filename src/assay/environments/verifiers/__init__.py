"""verifiers' tasksets, scored by their own rewards."""

from __future__ import annotations

from assay.environments.verifiers.environment import Verifiers

__all__ = ["Verifiers"]
