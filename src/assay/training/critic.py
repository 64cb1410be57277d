"""The critic's side of an update: only algorithms with values have one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from assay.policies.value import ValueModel
from assay.training.minibatch import batch_of
from assay.training.ranks import Ranks, share_out
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

    def learn(
        self,
        minibatches: Sequence[Sequence[Batch]],
        value_loss: Callable[[Tensor, Tensor, Tensor], Tensor],
        learning_rate: float,
        ranks: Ranks,
    ) -> list[float]:
        """Makes one update of the critic alone for each minibatch, and returns the loss of each that was made; one
        whose loss or gradient is not finite is left out.

        Args:
            value_loss: as `accumulate` takes it.
        """
        losses = []
        for minibatch in minibatches:
            num_tokens, own = sum(batch.num_predictions for batch in minibatch), 0.0
            self.begin_gradients()
            for turn in share_out(len(minibatch), ranks.rank, ranks.world):
                batch = batch_of(minibatch, turn.batch).to(self.model.device)
                if turn.batch is None:
                    (self.values(batch).sum() * 0.0).backward()
                else:
                    own += self.accumulate(batch, num_tokens, value_loss)
            loss = sum(ranks.gather(own))
            if not ranks.any([not (math.isfinite(loss) and math.isfinite(self.gradient_norm()))])[0]:
                self.step(learning_rate)
                losses.append(loss)
            self.drop_gradients()
        return losses

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
