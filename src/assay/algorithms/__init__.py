"""How rewards become a gradient: each algorithm is one small file of frozen settings with a credit and a loss."""

from __future__ import annotations

from typing import Annotated

import pydantic

from assay.algorithms.algorithm import Algorithm, LossInputs, LossOutput, Needs
from assay.algorithms.grpo import GRPO
from assay.algorithms.reinforce import Reinforce
from assay.algorithms.rloo import RLOO

AnyAlgorithm = Annotated[Reinforce | RLOO | GRPO, pydantic.Field(discriminator="name")]
"""Type of a settings field that holds an algorithm, chosen by its `name`."""

__all__ = ["GRPO", "RLOO", "Algorithm", "AnyAlgorithm", "LossInputs", "LossOutput", "Needs", "Reinforce"]
