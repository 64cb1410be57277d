"""Environments made of comparisons."""

from __future__ import annotations

from assay.preferences.environments.pairs import Pairs

__all__ = ["Pairs"]
