"""The mixture of several environments in one run."""

from __future__ import annotations

from assay.environments.mixture.environment import Mixture, MixturePart, as_mixture

__all__ = ["Mixture", "MixturePart", "as_mixture"]
