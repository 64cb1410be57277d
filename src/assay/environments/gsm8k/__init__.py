"""GSM8K: grade-school problems in words."""

from __future__ import annotations

from assay.environments.gsm8k.environment import GSM8K

__all__ = ["GSM8K"]
