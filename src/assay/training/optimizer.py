"""AdamW as the trainer and the critic use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def adamw(
    parameters: Sequence[torch.nn.Parameter], *, betas: tuple[float, float], epsilon: float, weight_decay: float
) -> torch.optim.AdamW:
    """Weight decay of matrices only; the learning rate is set at each step."""
    # Fused: one pass over memory. 135M parameters on two CPU cores: 0.05 s an update, where foreach takes 0.4 s.
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=betas, eps=epsilon, fused=fused)


def missing_gradients_to_zero(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Set missing gradients to zero. A parameter that no gradient flowed to then still has its moments and weight decay
    applied, which None would skip."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def gradient_norm(parameters: Sequence[torch.nn.Parameter]) -> float:
    """Euclidean norm of the whole gradient."""
    return float(torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
