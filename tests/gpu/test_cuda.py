"""The same code on a CUDA device: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import GRPO
from assay.batching import pack
from assay.config import validate
from assay.engines import LocalEngine, check_engine
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies import DecoderConfig
from assay.policies.folder import read_weights
from assay.recipe import RunConfig
from assay.training import Trainer, TrainerSettings
from assay.types import CreditedSample

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"


def samples() -> list[CreditedSample]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for group_id in range(3):
        prompt = torch.randint(256, (9,), generator=generator)
        for index in range(4):
            tokens = torch.cat([prompt, torch.randint(256, (5 + index,), generator=generator)])
            mask = torch.arange(len(tokens)) >= len(prompt)
            found.append(
                CreditedSample(
                    group_id, index, tokens, mask, -5.5 * mask, advantages=(1.0 if index % 2 else -1.0) * mask
                )
            )
    return found


def test_an_update_is_that_of_the_cpu(tiny_model: Path) -> None:
    weights = []
    for device in ("cpu", "cuda"):
        policy = open_model(tiny_model).policy(device=device)
        trainer = Trainer(policy, TrainerSettings(learning_rate=1e-3, epsilon=1e-4), temperature=1.0)
        report = trainer.update(pack(samples(), 60), GRPO())
        norm = torch.tensor(report.metrics["train/grad_norm"])
        weights.append({"norm": norm, **{name: tensor.cpu() for name, tensor in policy.weights()}})
    for name, tensor in weights[0].items():
        assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_the_engine_keeps_its_contract(tiny_model: Path) -> None:
    config = DecoderConfig.from_folder(tiny_model)
    weights = read_weights(tiny_model, config)
    stops = tuple(range(0, config.vocab_size, 9))
    engine = LocalEngine(
        config, weights.items(), stop_token_ids=stops, decode=str, dtype=torch.float32, device="cuda", max_context=48
    )
    prompts = [(1, 2, 3), (1, 2, 3, 4), tuple(range(20))]
    asyncio.run(check_engine(engine, prompts, stop_token_ids=stops, weights=weights.items(), max_context=48))


def test_a_run_learns_on_cuda(tiny_model: Path, tmp_path: Path) -> None:
    config = validate(
        RunConfig,
        {
            "num_steps": 30,
            "groups_per_step": 4,
            "group_size": 8,
            "model": {"source": str(tiny_model), "device": "cuda", "compute_dtype": "bf16"},
            "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
            "sampling": {"max_new_tokens": 8},
            "trainer": {"learning_rate": 1e-2},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
        },
    )
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    asyncio.run(train(run))
    rewards = [value or 0.0 for _, value in RunStore.open_readonly(tmp_path / "run").metrics()["reward/mean"]]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1
