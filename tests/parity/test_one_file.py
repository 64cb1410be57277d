"""The loop against recipes/reinforce_in_one_file.py: from the same seed both sample for themselves and agree."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from assay.config import validate
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig

ONE_FILE = Path(__file__).parents[2] / "recipes" / "reinforce_in_one_file.py"
STEPS, GROUPS, GROUP_SIZE, MAX_NEW_TOKENS, LEARNING_RATE, SEED = 10, 4, 4, 12, 3e-3, 7
EPSILON = 1e-4
"""AdamW's. At its usual 1e-8 a gradient that is 0 but for rounding moves a weight by a whole learning rate."""
REWARD = Path(__file__).parent / "rewards.py"


@pytest.fixture(scope="module")
def one_file() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reinforce_in_one_file", ONE_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their own module up by name.
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_losses_agree_for_ten_steps(
    tiny_model: Path, tmp_path: Path, one_file: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = validate(
        RunConfig,
        {
            "seed": SEED,
            "num_steps": STEPS,
            "groups_per_step": GROUPS,
            "group_size": GROUP_SIZE,
            "num_threads": 1,
            "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
            "verifier": {"name": "python", "function": f"{REWARD}:share_of_letters", "gold_format": ""},
            "sampling": {"max_new_tokens": MAX_NEW_TOKENS},
            "algorithm": {"name": "rloo", "normaliser": "tokens"},
            "trainer": {"learning_rate": LEARNING_RATE, "epsilon": EPSILON},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
        },
    )
    run = build_run(config, tmp_path / "run", console=Console(live=False))
    asyncio.run(train(run))
    store = RunStore.open_readonly(tmp_path / "run")
    losses = [value for _, value in store.metrics()["loss/policy"]]
    sampled = [record.token_ids for record in store.rollouts()]

    spec = importlib.util.spec_from_file_location("rewards", REWARD)
    assert spec is not None
    assert spec.loader is not None
    rewards = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rewards)
    monkeypatch.setattr(one_file, "reward", rewards.share_of_letters)
    tokens_of_one_file: list[tuple[int, ...]] = []
    sample_group = one_file.sample_group

    def recording(model: object, prompt_ids: list[int], *rest: object) -> list[list[int]]:
        completions = sample_group(model, prompt_ids, *rest)
        tokens_of_one_file.extend(tuple(prompt_ids) + tuple(completion) for completion in completions)
        return completions

    monkeypatch.setattr(one_file, "sample_group", recording)
    history = one_file.train(
        tiny_model,
        _same_tasks(one_file, config),
        one_file.Settings(
            steps=STEPS,
            groups=GROUPS,
            group_size=GROUP_SIZE,
            max_new_tokens=MAX_NEW_TOKENS,
            learning_rate=LEARNING_RATE,
            epsilon=EPSILON,
            seed=SEED,
            held_out=0,
        ),
        say=lambda line: None,
    )

    assert sampled == tokens_of_one_file
    assert losses == pytest.approx(history.losses, abs=1e-5)
    # The test would pass on nothing if nothing were learned from.
    assert len({round(loss or 0.0, 4) for loss in losses}) == STEPS


def _same_tasks(one_file: ModuleType, config: RunConfig) -> Iterator[object]:
    """The tasks that the loop's curriculum hands out: what to ask is not what this test is about."""

    curriculum = config.curriculum.begin(config.environment, config.seed)
    for group_id in itertools.count():
        task = curriculum.next_task(group_id)
        yield one_file.Question(task.prompt[0].content, task.answer)
