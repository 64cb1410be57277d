"""The critic's side of an update: its model, its optimizer, its gradients. Only algorithms with values have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from assay.policies.value import ValueModel
from assay.training.optimizer import adamw, gradient_norm, missing_gradients_to_zero
from assay.types import Batch

MODEL = "model/"


class Critic:
    """Owns the optimizer of one value model; the trainer says when it moves."""

    def __init__(
        self,
        model: ValueModel,
        *,
        betas: tuple[float, float],
        epsilon: float,
        weight_decay: float,
        max_grad_norm: float,
    ) -> None:
        self.model = model
        self.max_grad_norm = max_grad_norm
        self._names = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._parameters = list(self._names.values())
        self._optimizer = adamw(self._parameters, betas=betas, epsilon=epsilon, weight_decay=weight_decay)
        self._gradient_norm = 0.0

    def values(self, batch: Batch) -> Tensor:
        """[N] of a batch on the model's device; differentiable."""
        return self.model(batch)

    def accumulate(
        self, batch: Batch, num_tokens: int, value_loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    ) -> float:
        """Adds the gradient of one micro-batch of a minibatch of `num_tokens`; returns its part of the loss.

        Args:
            value_loss: (values now, at the start of the step, returns) to the loss of each token, [N] each.
        """
        assert batch.values is not None
        assert batch.returns is not None
        loss = value_loss(self.values(batch), batch.values, batch.returns).sum() / num_tokens
        loss.backward()
        return float(loss.detach())

    def gradient_norm(self) -> float:
        """Of what was accumulated."""
        missing_gradients_to_zero(self._parameters)
        self._gradient_norm = gradient_norm(self._parameters)
        return self._gradient_norm

    def step(self, learning_rate: float) -> None:
        """One update from what was accumulated."""
        torch.nn.utils.clip_grads_with_norm_(self._parameters, self.max_grad_norm, torch.tensor(self._gradient_norm))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()

    def drop_gradients(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """What is trained and its moments, by name; shared, not copied."""
        tensors = {f"{MODEL}{name}": parameter.detach() for name, parameter in self._names.items()}
        for name, parameter in self._names.items():
            for key, value in sorted(self._optimizer.state.get(parameter, {}).items()):
                tensors[f"{key}/{name}"] = value
        return tensors

    def check_tensors(self, tensors: Mapping[str, Tensor], *, with_moments: bool) -> None:
        """Makes sure that `load_tensors` can take these.

        Raises:
            ValueError: a tensor is missing, left over, or of another shape.
        """
        keys = ("model", "step", "exp_avg", "exp_avg_sq") if with_moments else ("model",)
        wrong = {f"{key}/{name}" for key in keys for name in self._names} ^ set(tensors)
        if wrong:
            raise ValueError(f"the critic's state and the critic differ in {len(wrong)} tensors, first {min(wrong)}")
        for full_name, tensor in tensors.items():
            key, _, name = full_name.partition("/")
            if key != "step" and tensor.shape != self._names[name].shape:
                raise ValueError(f"critic {full_name} is {list(tensor.shape)}, not {list(self._names[name].shape)}")

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        self._optimizer.state.clear()
        with torch.no_grad():
            for full_name, tensor in tensors.items():
                key, _, name = full_name.partition("/")
                parameter = self._names[name]
                if f"{key}/" == MODEL:
                    parameter.copy_(tensor)
                else:
                    self._optimizer.state[parameter][key] = tensor.detach().to(parameter.device, copy=True)
