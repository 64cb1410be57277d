"""Runs on given responses, with a tiny model: DPO and its family from a file of comparisons to a tested model."""

from __future__ import annotations

import asyncio
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.algorithms.preference import CHOSEN_RATIO, PAIR_ACCURACY
from assay.config import validate
from assay.errors import ConfigError, ContextLengthError, DataError
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.held_out_pairs import calibration
from assay.evaluation.row import EvalRow
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.curves import level_curves, main_curves
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.rollout.collector import DROPPED_UNMEASURED
from assay.rollout.given_responses import given_group
from assay.run import TrainResult
from assay.types import Message, Score, Task


def pairs_file(path: Path, num: int = 60, **more: Any) -> Path:
    """Comparisons in which the response of e's is preferred to that of o's."""
    rows = [{"prompt": f"number {i}", "chosen": f"ee{i % 7}e", "rejected": f"oo{i % 5}", **more} for i in range(num)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs_file(tmp_path_factory.mktemp("pairs") / "pairs.jsonl")


def config_of(source: Path, pairs: Path, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 4,
        "groups_per_step": 6,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "environment": {"name": "pairs", "path": str(pairs)},
        "algorithm": {"name": "dpo"},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 2, "validation_tasks": 4, "test_tasks": 4},
        "checkpoint": {"every_steps": 0},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path, **options: Any) -> tuple[TrainResult, str]:
    told = io.StringIO()
    run = build_run(config, folder, console=Console(config.num_steps, stream=told, live=False), **options)
    return asyncio.run(train(run)), told.getvalue()


def metric(folder: Path, name: str) -> list[float | None]:
    return [value for _, value in RunStore.open_readonly(folder).metrics()[name]]


def test_dpo_learns_what_is_preferred_and_its_first_loss_is_that_of_a_coin(
    tiny_model: Path, pairs: Path, tmp_path: Path
) -> None:
    result, told = run_to_end(config_of(tiny_model, pairs, num_steps=6), tmp_path / "run")
    assert result.status == "finished"
    tested = result.summary["comparisons"]
    assert tested["accuracy"]["value"] == 1.0
    assert tested["calibration"]["log_loss"] < math.log(2)
    losses = metric(tmp_path / "run", "loss/policy")
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert metric(tmp_path / "run", CHOSEN_RATIO)[0] == pytest.approx(0.0, abs=1e-5)
    assert metric(tmp_path / "run", PAIR_ACCURACY)[-1] == pytest.approx(1.0)
    assert "accuracy" in told
    assert "margin" in told
    assert "validation: 100.0 %" in told
    assert "validation: " not in told.split("step 1/6")[0]
    assert "solved" not in told.split("step 1/6")[1].splitlines()[0]
    store = RunStore.open_readonly(tmp_path / "run")
    assert [curve.title for curve in main_curves(store)][:2] == ["Pairs in the right order", "Margin of a pair"]
    assert level_curves(store) == {}, "what the data gives is the same at every level and step"
    assert {(each.verdict, each.reason) for each in store.outcomes()} == {
        ("graded", "preferred"),
        ("graded", "rejected"),
    }
    assert open_model(result.model).policy() is not None


def test_a_resumed_run_is_the_unbroken_one_and_asks_the_reference_for_nothing_twice(
    tiny_model: Path, pairs: Path, tmp_path: Path
) -> None:
    run_to_end(config_of(tiny_model, pairs, num_steps=2), tmp_path / "broken")
    known = (tmp_path / "broken" / "reference.safetensors").stat().st_mtime_ns
    run_to_end(config_of(tiny_model, pairs, num_steps=2), tmp_path / "broken", resume=True)
    assert (tmp_path / "broken" / "reference.safetensors").stat().st_mtime_ns == known
    # Two steps more need comparisons that the reference was not asked of: the model that training began with is.
    run_to_end(config_of(tiny_model, pairs, num_steps=4), tmp_path / "broken", resume=True)
    run_to_end(config_of(tiny_model, pairs, num_steps=4), tmp_path / "whole")
    one, other = (
        dict(open_model(tmp_path / name / "checkpoints" / "step-000004").weights()) for name in ("broken", "whole")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_a_reference_nothing_is_kept_and_the_untrained_model_is_measured(
    tiny_model: Path, pairs: Path, tmp_path: Path
) -> None:
    config = config_of(tiny_model, pairs, num_steps=1, algorithm={"name": "simpo"})
    result, told = run_to_end(config, tmp_path / "run")
    assert not (tmp_path / "run" / "reference.safetensors").exists()
    assert "validation: " in told.split("step 1/1")[0]
    assert result.summary["comparisons"]["num_not_measured"] == 0
    assert all(math.isfinite(value or 0.0) for value in metric(tmp_path / "run", "loss/policy"))


def test_kto_learns_from_labels(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"n {i}", "completion": "eee" if i % 2 else "oo", "label": bool(i % 2)} for i in range(60)]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {"name": "pairs", "path": str(path), "of": "labels"}
    config = config_of(tiny_model, path, environment=environment, algorithm={"name": "kto"}, num_steps=6)
    result, _ = run_to_end(config, tmp_path / "run")
    assert result.summary["comparisons"]["accuracy"]["value"] == 1.0
    with pytest.raises(DataError, match="of responses that are labelled one by one kto learns"):
        run_to_end(config_of(tiny_model, path, environment=environment), tmp_path / "dpo")


def test_online_dpo_compares_what_it_samples(tiny_model: Path, pairs: Path, tmp_path: Path) -> None:
    rewards = Path(__file__).parents[1] / "parity" / "rewards.py"
    config = config_of(
        tiny_model,
        pairs,
        num_steps=2,
        group_size=4,
        algorithm={"name": "dpo", "online": True},
        environment={"name": "arithmetic"},
        verifier={"name": "python", "function": f"{rewards}:share_of_letters", "gold_format": ""},
        sampling={"max_new_tokens": 6},
        evaluation={"every_steps": 0, "test_tasks": 0},
    )
    run_to_end(config, tmp_path / "run")
    assert all(math.isfinite(value or 0.0) for value in metric(tmp_path / "run", "loss/policy"))


def test_what_is_longer_than_the_context_is_left_out_and_counted(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"n {i}", "chosen": "e" * (300 if i % 3 == 0 else 3), "rejected": "oo"} for i in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result, _ = run_to_end(config_of(tiny_model, path, limits={"max_context": 128}, num_steps=2), tmp_path / "run")
    dropped = metric(tmp_path / "run", DROPPED_UNMEASURED)
    assert sum(value or 0 for value in dropped) > 0
    assert result.summary["comparisons"]["num_comparisons"] == 4
    with pytest.raises(ContextLengthError, match=r"raise limits\.max_context"):
        run_to_end(config_of(tiny_model, path, limits={"max_context": 8}, num_steps=2), tmp_path / "short")


def test_identical_and_empty_sides_and_contradictions_are_told(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    bad = [
        {"prompt": "a", "chosen": "same", "rejected": "same"},
        {"prompt": "b", "chosen": "", "rejected": "x"},
        {"prompt": "number 1", "chosen": "oo1", "rejected": "ee1e"},
    ]
    pairs_file(path)
    path.write_text(path.read_text() + "".join(json.dumps(row) + "\n" for row in bad))
    _, told = run_to_end(config_of(tiny_model, path, num_steps=1), tmp_path / "run")
    assert told.count("left out: 1") == 2
    assert "contradictory: 1 pairs" in told
    path.write_text(json.dumps(bad[0]) + "\n")
    with pytest.raises(DataError, match="holds none of the pairs"):
        run_to_end(config_of(tiny_model, path), tmp_path / "none")


@pytest.mark.parametrize(
    "wrong",
    [
        {"environment": {"name": "arithmetic"}},
        {"group_size": 8},
        {"verifier": {"name": "exact"}},
        {"max_sampled_tokens": 100},
        {"sampling": {"temperature": 0.5}},
        {"evaluation": {"probe_samples": 2}},
        {"evaluation": {"also": ["units"]}},
        {"scaffold": {"name": "react"}},
        {"algorithm": {"name": "dpo", "online": True}, "max_staleness": 1},
    ],
)
def test_what_has_no_effect_is_an_error(tiny_model: Path, pairs: Path, wrong: dict) -> None:
    with pytest.raises(ConfigError):
        config_of(tiny_model, pairs, **wrong)


def test_several_turns_of_a_response_are_trained_on_and_what_others_say_is_not(tiny_model: Path) -> None:
    said = [Message("assistant", "a"), Message("user", "b"), Message("assistant", "c")]
    responses = [{"messages": [message.to_record() for message in said], "value": 1.0}]
    task = Task("pairs", (Message("user", "q"),), "", metadata={"responses": responses})
    renderer = open_model(tiny_model).renderer()
    group = given_group(task, renderer, 512, group_id=0)
    first, second = group.rollouts[0].turns
    assert second.extends_previous
    assert renderer.decode(second.new_token_ids).count("b") == 1
    assert [renderer.decode(turn.completion.token_ids)[0] for turn in (first, second)] == ["a", "c"]
    ends_with_user = [{"messages": [said[0].to_record(), said[1].to_record()], "value": 1.0}]
    with pytest.raises(DataError, match="must end with a message of the assistant"):
        given_group(Task("pairs", task.prompt, "", metadata={"responses": ends_with_user}), renderer, 512, group_id=0)


def test_calibration_by_hand() -> None:
    # Rewards log 3 apart are 75 % sure: of four comparisons three are right, and so the error is 0.
    margins = [math.log(3)] * 3 + [-math.log(3)]
    task = Task("pairs", (Message("user", "q"),), "")
    rows = []
    for place, margin in enumerate(margins):
        score = Score.solved(parts={"margin": margin}) if margin > 0 else Score.failed(parts={"margin": margin})
        rows.append(
            EvalRow(task.task_id, place, 0, "pairs", "c- h-", None, None, "", "", "", "finished", 1, {"strict": score})
        )
    found = calibration(Evaluation(tuple(rows)))
    assert found is not None
    assert found.calibration_error == pytest.approx(0.0)
    assert found.mean_confidence == pytest.approx(0.75)
    assert found.log_loss == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
