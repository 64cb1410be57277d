"""The trainer's settings, apart from the trainer, so that they are read without torch."""

from __future__ import annotations

from typing import Self

import pydantic

from assay.config import Settings
from assay.training.schedule import Schedule


class TrainerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), its learning rate over time, and passes over each step."""

    learning_rate: float = pydantic.Field(default=1e-5, gt=0.0, le=1.0, allow_inf_nan=False)
    """The peak: reached after warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moment, each in [0, 1)."""
    epsilon: float = pydantic.Field(default=1e-8, gt=0.0, le=1.0, allow_inf_nan=False)
    """AdamW's epsilon, added to the root of the second moment."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0.0, le=1.0, allow_inf_nan=False)
    """Decoupled; of matrices only, not of norms and biases."""
    max_grad_norm: float = pydantic.Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Gradients with a larger Euclidean norm are scaled down to it."""
    warmup_steps: int = pydantic.Field(default=0, ge=0)
    """Updates over which the learning rate rises from 0."""
    schedule: Schedule = "constant"
    """Course of the learning rate after warm-up: it stays, or falls to 0 at the end of the run, be it the last step or
    the end of its budget."""
    epochs_per_step: int = pydantic.Field(default=1, ge=1, le=100)
    """Passes over each step's samples."""
    critic_learning_rate: float | None = pydantic.Field(default=None, gt=0.0, le=1.0, allow_inf_nan=False)
    """The critic's peak, for algorithms that have one; None for the policy's."""
    critic_epochs_per_step: int | None = pydantic.Field(default=None, ge=1, le=100)
    """The critic's passes over each step's samples, at least as many as the policy's; None for as many."""
    critic_warmup_steps: int = pydantic.Field(default=0, ge=0)
    """Steps at the beginning in which the critic learns and the policy stays as it is."""
    max_skipped_in_a_row: int = pydantic.Field(default=5, ge=1)
    """Updates left out one after the other at which training stops."""

    @pydantic.field_validator("betas")
    @classmethod
    def _in_unit_interval(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError("both betas must be at least 0 and below 1")
        return betas

    @pydantic.model_validator(mode="after")
    def _critic_keeps_up(self) -> Self:
        if self.critic_epochs_per_step is not None and self.critic_epochs_per_step < self.epochs_per_step:
            raise ValueError(
                f"critic_epochs_per_step={self.critic_epochs_per_step} is less than epochs_per_step="
                f"{self.epochs_per_step}: the critic learns in each of the policy's passes"
            )
        return self
