"""The critic beside the policy: passes of its own, steps in which it alone learns, and what it explains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from assay.algorithms import PPO, Needs
from assay.config import validate
from assay.errors import ConfigError
from assay.models import open_model
from assay.policies.value import ValueModel
from assay.recipe import RunConfig
from assay.training import Trainer, TrainerSettings
from assay.types import CreditedSample


def trainer_of(model: Path, num_steps: int = 9, **settings: Any) -> Trainer:
    policy, value = open_model(model).policy(), ValueModel(open_model(model).policy())
    made = TrainerSettings(learning_rate=1e-3, critic_learning_rate=1e-2, **settings)
    return Trainer(policy, made, temperature=1.0, tokens_per_microbatch=64, critic=value, num_steps=num_steps)


def earned(first: int = 0, num: int = 8) -> list[CreditedSample]:
    """Samples whose return is 1 after the token 7 and 0 after the token 9, which stands where the response begins."""
    made = []
    for i in range(first, first + num):
        tokens = torch.tensor([1 + i % 5, 2, 7 if i % 2 else 9, 4, 5])
        mask = torch.tensor([False, False, False, True, True])
        returns = (i % 2) * mask.float()
        made.append(
            CreditedSample(i, 0, tokens, mask, -5.0 * mask, advantages=(2 * returns - 1) * mask, returns=returns)
        )
    return made


def step(trainer: Trainer, algorithm: PPO, first: int = 0) -> dict[str, float]:
    annotated = trainer.annotate(earned(first), Needs(values=True))
    return trainer.update(trainer.pack(annotated), algorithm).metrics


def weights(module: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


def test_the_critic_alone_learns_in_its_warm_up(tiny_model: Path) -> None:
    trainer = trainer_of(tiny_model, critic_warmup_steps=2)
    policy, critic = weights(trainer.policy), weights(trainer.critic.model)  # pyright: ignore[reportOptionalMemberAccess]
    metrics = step(trainer, PPO())
    assert torch.equal(weights(trainer.policy), policy)
    assert not torch.equal(weights(trainer.critic.model), critic)  # pyright: ignore[reportOptionalMemberAccess]
    assert (metrics["train/num_updates"], trainer.num_updates, trainer.num_critic_updates) == (0, 0, 1)
    assert metrics["loss/value"] > 0
    assert "loss/policy" not in metrics, "nothing was measured of it"
    kept = trainer.state_dict()
    step(trainer, PPO())
    step(trainer, PPO())
    assert not torch.equal(weights(trainer.policy), policy)
    assert (trainer.num_updates, trainer.num_critic_updates) == (1, 2)
    again = trainer_of(tiny_model, critic_warmup_steps=2)
    again.load_state_dict(kept)
    step(again, PPO())
    assert again.num_updates == 0, "a resumed run knows how much of the warm-up is left"


def test_more_passes_explain_more(tiny_model: Path) -> None:
    """The return can be told from the token before the response: a critic that learns explains nearly all of it."""
    explained = {}
    for passes in (None, 8):
        trainer = trainer_of(tiny_model, critic_epochs_per_step=passes)
        algorithm = PPO(value_clip=10.0)
        for number in range(3):
            metrics = step(trainer, algorithm, first=8 * number)
        explained[passes] = metrics["loss/value_explained_share"]
        assert trainer.num_updates == 3
        assert trainer.num_critic_updates == (0 if passes is None else 3 * 7)
    assert explained[8] > 0.8
    assert explained[8] > explained[None]


def test_a_critic_whose_loss_is_not_finite_stays_as_it_was(tiny_model: Path) -> None:
    class Infinite(PPO):
        def value_loss(self, values_N: Any, old_values_N: Any, returns_N: Any) -> Any:
            return values_N * float("inf")

    trainer = trainer_of(tiny_model, critic_warmup_steps=1)
    critic = weights(trainer.critic.model)  # pyright: ignore[reportOptionalMemberAccess]
    assert "loss/value" not in step(trainer, Infinite())
    assert torch.equal(weights(trainer.critic.model), critic)  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"epochs_per_step": 3, "critic_epochs_per_step": 2}, "less than epochs_per_step"),
        ({"critic_warmup_steps": 1}, r"trainer.critic_warmup_steps has no effect with grpo"),
        ({"critic_epochs_per_step": 2}, r"trainer.critic_epochs_per_step has no effect with grpo"),
    ],
)
def test_settings_of_a_critic_that_cannot_be_meant(trainer: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, {"trainer": trainer})


def test_a_warm_up_as_long_as_the_run_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="leaves the policy none of the 2 steps"):
        trainer_of(tiny_model, num_steps=2, critic_warmup_steps=2)
