"""Runs over worlds whose actions are tool calls, with a tiny model: what an expert calls is what is trained on."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.render import load_renderer


def run(model: Path, folder: Path, **settings: Any) -> RunStore:
    config = validate(
        RunConfig,
        {
            "num_steps": 1,
            "groups_per_step": 2,
            "group_size": 1,
            "num_threads": 1,
            "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32"},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
            "checkpoint": {"every_steps": 0},
            **settings,
        },
    )
    asyncio.run(train(build_run(config, folder, console=Console(stream=io.StringIO(), live=False))))
    return RunStore.open_readonly(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with room for descriptions of tools, which a byte tokenizer makes long."""
    return write_tiny_model(tmp_path_factory.mktemp("tools") / "model", max_position_embeddings=4096)


@pytest.mark.parametrize(
    ("name", "calls", "last"),
    [
        ("database", ['"SELECT team_id FROM person WHERE name = ', '"SELECT name FROM team WHERE id = '], None),
        ("files", ['"path": "', '"path": "answer.txt", "text": '], "done"),
    ],
)
def test_an_experts_calls_are_carried_out_and_trained_on(
    model: Path, tmp_path: Path, name: str, calls: list[str], last: str | None
) -> None:
    store = run(
        model,
        tmp_path / "run",
        environment={"name": name},
        curriculum={"levels": [{"complexity": 1, "horizon": 1}]},
        algorithm={"name": "sft"},
    )
    decode = load_renderer(model).decode
    rollouts = store.rollouts()
    assert len(rollouts) == 2
    for rollout in rollouts:
        # The world is judged by its own state, so the calls were carried out.
        assert (rollout.verdict, rollout.num_turns) == ("solved", 3)
        said = decode([token for token, own in zip(rollout.token_ids, rollout.loss_mask, strict=True) if own])
        *called, answer, rest = said.split("<|im_end|>")
        assert (len(called), rest) == (2, "")
        for text, call in zip(called, calls, strict=True):
            assert text.startswith("<tool_call>")
            assert text.endswith("</tool_call>")
            assert call in text
        assert answer == (last or rollout.answer)
        assert "tool_response" in rollout.response
        assert "tool_response" not in said
    trained = sum(rollout.num_tokens for rollout in rollouts)
    assert store.metrics()["train/num_tokens"] == [(0, float(trained))]
    assert store.metrics()["train/grad_norm"][0][1]


def test_what_a_model_says_that_is_no_call_is_an_answer_and_fails(model: Path, tmp_path: Path) -> None:
    store = run(
        model,
        tmp_path / "run",
        group_size=2,
        environment={"name": "database"},
        curriculum={"levels": [{"complexity": 1, "horizon": 1}]},
        sampling={"max_new_tokens": 16},
    )
    assert {rollout.verdict for rollout in store.rollouts()} == {"failed"}
