"""The critic's side of an update: only algorithms with values have one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from assay.policies.value import ValueModel
from assay.training.trained import OptimizerOptions, TrainedModule
from assay.types import Batch


class Critic(TrainedModule):
    """A value model that is trained beside the policy; the trainer says when it moves."""

    def __init__(self, model: ValueModel, options: OptimizerOptions) -> None:
        super().__init__("critic", model.named_parameters(), options, keeps_weights=True)
        self.model = model

    def values(self, batch: Batch) -> Tensor:
        """The value of the state before each trained-on token, [N], differentiable."""
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
