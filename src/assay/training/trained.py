"""A module that is trained: its parameters by name, its optimizer, the clipping of its gradient, its named state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.policies.shards import copy_into, shard_like
from assay.training.optimizer import adamw, begin_gradients, begin_moments, gradient_norm, missing_gradients_to_zero

MODEL = "model/"
"""Prefix of the weights in the state of a module that keeps them there."""
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class OptimizerOptions:
    """Hyperparameters of AdamW for one module; the learning rate is given at each step."""

    betas: tuple[float, float]
    epsilon: float
    weight_decay: float
    max_grad_norm: float


class TrainedModule:
    """The policy, a critic, and whatever else is trained, alike.

    Args:
        what: its name in errors.
        keeps_weights: whether its weights are a part of its state; those of the policy are a model folder of their own.
    """

    def __init__(
        self,
        what: str,
        named_parameters: Iterable[tuple[str, torch.nn.Parameter]],
        options: OptimizerOptions,
        *,
        keeps_weights: bool,
    ) -> None:
        self._what = what
        self._names = {name: parameter for name, parameter in named_parameters if parameter.requires_grad}
        self._parameters = list(self._names.values())
        self._max_grad_norm = options.max_grad_norm
        self._keeps_weights = keeps_weights
        self._optimizer = adamw(
            self._parameters, betas=options.betas, epsilon=options.epsilon, weight_decay=options.weight_decay
        )
        self._gradient_norm = 0.0

    def begin_gradients(self) -> None:
        """Makes room for the gradients of a minibatch, before its first pass."""
        begin_gradients(self._parameters)

    def gradient_norm(self, loss_scale: float = 1.0) -> float:
        """The Euclidean norm of the gradient that was accumulated, before clipping.

        Args:
            loss_scale: what the loss was multiplied by, and the gradient is divided by here.
        """
        missing_gradients_to_zero(self._parameters)
        if loss_scale != 1.0:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(loss_scale)
        self._gradient_norm = gradient_norm(self._parameters)
        return self._gradient_norm

    def step(self, learning_rate: float) -> None:
        """Makes one update from the gradient whose norm was asked for last, clipped."""
        torch.nn.utils.clip_grads_with_norm_(self._parameters, self._max_grad_norm, torch.tensor(self._gradient_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        begin_moments(self._optimizer, self._parameters)
        self._optimizer.step()

    def drop_gradients(self) -> None:
        """Frees gradients rather than zeroing them: between steps the engine uses that memory."""
        self._optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """The state by name: "exp_avg/NAME", "exp_avg_sq/NAME" and "step/NAME" of each parameter, none before the first
        update, and "model/NAME" where weights are a part of it. Tensors are shared, not copied."""
        weights = {f"{MODEL}{name}": parameter.detach() for name, parameter in self._names.items()}
        moments = {
            f"{key}/{name}": value
            for name, parameter in self._names.items()
            for key, value in sorted(self._optimizer.state.get(parameter, {}).items())
        }
        return {**(weights if self._keeps_weights else {}), **moments}

    def check_tensors(self, tensors: Mapping[str, Tensor], *, with_moments: bool) -> None:
        """Makes sure that `load_tensors` can take a state.

        Raises:
            ValueError: a tensor is missing, left over, or of another shape.
        """
        keys = [*(["model"] if self._keeps_weights else []), *(_MOMENTS if with_moments else ())]
        wrong = {f"{key}/{name}" for key in keys for name in self._names} ^ set(tensors)
        if wrong:
            raise ValueError(
                f"the optimizer's state and the {self._what} differ in {len(wrong)} tensors, first {min(wrong)}"
            )
        for full_name, tensor in tensors.items():
            key, _, name = full_name.partition("/")
            if key != "step" and tensor.shape != self._names[name].shape:
                raise ValueError(
                    f"{self._what}: {full_name} is {list(tensor.shape)}, its parameter {list(self._names[name].shape)}"
                )

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        self._optimizer.state.clear()
        with torch.no_grad():
            for full_name, tensor in tensors.items():
                key, _, name = full_name.partition("/")
                parameter = self._names[name]
                if f"{key}/" == MODEL:
                    copy_into(parameter, tensor)
                elif key == "step":
                    # The fused kernel wants it on the parameter's device too.
                    self._optimizer.state[parameter][key] = tensor.detach().to(parameter.device, copy=True)
                else:
                    self._optimizer.state[parameter][key] = shard_like(
                        tensor.detach().to(parameter.device, copy=True), parameter
                    )
