"""Writes preference_numbers.json: what TRL's own loss functions make of the logits of preference_logits.py.

python -m venv venv && venv/bin/pip install trl==1.16.0 torch==2.13.0
venv/bin/python tests/parity/trl_preference.py > tests/parity/preference_numbers.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import trl

sys.path.insert(0, str(Path(__file__).parents[1]))
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

from parity import preference_logits as given

ACCELERATOR = SimpleNamespace(device="cpu", gather_for_metrics=lambda x: x, gather=lambda x: x)
SHAPE = (2 * given.NUM_PAIRS, given.NUM_TOKENS - 1)


def model(number: float, mismatched: float = 0.0) -> Any:
    """A model whose log-probabilities are known; those after other prompts where it is given the KL batch."""

    def forward(**inputs: Any) -> Any:
        kl = bool(inputs["input_ids"][0, 0] == -1)
        return SimpleNamespace(
            log_probs=given.logprobs(mismatched if kl else number),
            entropy=torch.zeros(SHAPE),
            mean_logits=torch.zeros(SHAPE),
            is_top1=torch.zeros(SHAPE, dtype=torch.bool),
        )

    return forward


def trainer(**options: Any) -> Any:
    common = {
        "model": SimpleNamespace(training=False),
        "accelerator": ACCELERATOR,
        "aux_loss_enabled": False,
        "ld_alpha": None,
        "precompute_ref_logps": False,
        "ref_model": model(1, 3),
        "f_divergence_type": "reverse_kl",
        "use_weighting": False,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "_total_train_tokens": 0,
        "_tp_size": 1,
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None, center_rewards_coefficient=None),
        "loss_weights": [1.0],
    }
    return SimpleNamespace(**{**common, **options})


def dpo(loss_type: str, **options: Any) -> float:
    owner = trainer(loss_types=[loss_type], **options)
    owner.model.gradient_checkpointing = False
    inputs = {
        "input_ids": given.token_ids(),
        "attention_mask": torch.ones_like(given.token_ids()),
        "completion_mask": given.response_mask().long(),
    }
    return float(DPOTrainer._compute_loss(owner, model(0), inputs, False))


def kto(**options: Any) -> float:
    owner = trainer(calculate_KL=True, loss_type="kto", **options)
    owner._compute_kl_logps = lambda model, batch: KTOTrainer._compute_kl_logps(owner, model, batch)
    inputs = {
        "input_ids": given.token_ids(),
        "attention_mask": torch.ones_like(given.token_ids()),
        "completion_mask": given.response_mask().long(),
        "KL_input_ids": torch.full_like(given.token_ids(), -1),
        "KL_attention_mask": torch.ones_like(given.token_ids()),
        "KL_completion_mask": given.response_mask().long(),
        "label": torch.tensor(given.IS_DESIRABLE),
    }
    return float(KTOTrainer._compute_loss(owner, model(0, 2), inputs, False))


def means() -> tuple[torch.Tensor, ...]:
    lengths = torch.tensor(given.LENGTHS)
    return (given.logprobs(0).sum(1) / lengths).chunk(2)


def simpo(**options: Any) -> float:
    owner = trainer(alpha=0.0, label_smoothing=0.0, loss_type="simpo", **options)
    return float(CPOTrainer.cpo_loss(owner, *means())[0].mean())


def odds_ratio(beta: float) -> float:
    return float(-ORPOTrainer.odds_ratio_loss(trainer(beta=beta), *means())[0].double().mean())


def reward(margin: bool, centring: float | None) -> float:
    owner = trainer(args=SimpleNamespace(center_rewards_coefficient=centring))
    rewards = torch.tensor([*given.CHOSEN_REWARDS, *given.REJECTED_REWARDS], dtype=torch.float64)
    inputs = {"attention_mask": torch.ones(1)}
    if margin:
        inputs["margin"] = torch.tensor(given.MARGINS, dtype=torch.float64)
    return float(RewardTrainer.compute_loss(owner, lambda **_: SimpleNamespace(logits=rewards[:, None]), inputs))


def numbers() -> dict[str, float]:
    trainers = sys.modules["trl.trainer.dpo_trainer"], sys.modules["trl.trainer.kto_trainer"]
    for module in trainers:
        # Nothing here is a module of torch.
        module.disable_gradient_checkpointing = lambda *_: torch.no_grad()
        module.is_peft_model = lambda _: False
    return {
        "dpo": dpo("sigmoid", beta=0.3, label_smoothing=0.0),
        "dpo, label_smoothing": dpo("sigmoid", beta=0.3, label_smoothing=0.1),
        "robust": dpo("robust", beta=0.3, label_smoothing=0.1),
        "length-normalised": dpo("sigmoid_norm", beta=5.0, label_smoothing=0.0),
        "ipo": dpo("ipo", beta=0.2, label_smoothing=0.0),
        "kto": kto(beta=0.3, desirable_weight=1.0, undesirable_weight=1.5),
        "simpo": simpo(beta=2.0, simpo_gamma=0.5),
        "odds ratio": odds_ratio(0.25),
        "reward model": reward(False, None),
        "reward model, margin and centring": reward(True, 0.01),
    }


if __name__ == "__main__":
    print(json.dumps({"trl": trl.__version__, "numbers": numbers()}, indent=1))
