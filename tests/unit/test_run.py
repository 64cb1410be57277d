"""What happens around the steps of a run, and what bad input gets, with a tiny model."""

from __future__ import annotations

import asyncio
import io
import json
import math
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from assay.batching import pack
from assay.config import validate
from assay.engines import LocalEngine
from assay.environments import Episode, EpisodeStep
from assay.environments.arithmetic import Arithmetic
from assay.errors import ConfigError, DataError, ModelError, RunFolderError, TrainingStoppedError
from assay.launch import build_run, stop_on_interrupt
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.folder import find_run
from assay.observe.step_metrics import step_metrics
from assay.observe.store import RunStore
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.run import StepDone, TrainResult, wiring
from assay.run.services import LocalLearner
from assay.training import StepReport
from assay.types import CreditedSample, Group, Message, Task

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"


def config_of(source: Path, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 3,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 0},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path, **options: Any) -> TrainResult:
    run = build_run(config, folder, console=Console(stream=io.StringIO(), live=False), **options)
    return asyncio.run(train(run))


def test_a_run_leaves_what_its_folder_promises(tiny_model: Path, tmp_path: Path) -> None:
    result = run_to_end(
        config_of(tiny_model, evaluation={"every_steps": 2, "validation_tasks": 4, "test_tasks": 4}), tmp_path / "run"
    )
    assert result.status == "finished"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    for side in ("before", "after"):
        assert set(summary[side]) >= {"accuracy", "low", "high", "num_tasks"}
    assert set(summary["gain"]) >= {"value", "low", "high", "p_value"}
    assert summary["num_steps"] == 3
    assert summary["seconds"] > 0
    for name in (
        "config.json",
        "run.sqlite",
        "events",
        "checkpoints/step-000003/model/config.json",
        "model/config.json",
        "report/index.html",
    ):
        assert (tmp_path / "run" / name).exists(), name
    assert (tmp_path / "run" / "model").resolve() == Path(summary["model"])
    store = RunStore.open_readonly(tmp_path / "run")
    assert store.num_steps() == 3
    assert len(store.rollouts()) == 3 * 2 * 3
    assert all(record.trainer_logprobs for record in store.rollouts())


def test_the_same_loop_runs_at_staleness_two(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(
        tiny_model, num_steps=6, max_staleness=2, algorithm={"name": "grpo", "ratio_against": "sampling"}
    )
    run_to_end(config, tmp_path / "run")
    lags = [value for _, value in RunStore.open_readonly(tmp_path / "run").metrics()["rollout/max_staleness_versions"]]
    assert max(lag or 0 for lag in lags) == 2
    assert len(lags) == 6


@pytest.mark.parametrize("max_staleness", [0, 1])
def test_the_engine_holds_no_weights_during_updates_unless_it_samples_meanwhile(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_staleness: int
) -> None:
    held: list[bool] = []
    grpo = {"name": "grpo", "ratio_against": "sampling"}
    config = config_of(tiny_model, num_steps=2, max_staleness=max_staleness, algorithm=grpo)
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO()))
    assert isinstance(run.engine, LocalEngine)
    assert isinstance(run.learner, LocalLearner)
    view, update = run.engine._view, run.learner.trainer.update

    def watched(*arguments: Any) -> StepReport:
        held.append(view.version is not None)
        return update(*arguments)

    monkeypatch.setattr(run.learner.trainer, "update", watched)
    asyncio.run(train(run))
    assert held == [max_staleness > 0] * 2
    assert view.version == 2


@pytest.mark.parametrize(("max_memory", "times"), [(None, 0), (2.0, 2)])
def test_with_a_limit_freed_blocks_are_given_back_before_each_update(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_memory: float | None, times: int
) -> None:
    given_back: list[None] = []
    monkeypatch.setattr(wiring, "give_back_freed_memory", lambda: given_back.append(None))
    run_to_end(config_of(tiny_model, num_steps=2, max_memory=max_memory), tmp_path / "run")
    assert len(given_back) == times


def test_the_same_loop_runs_a_two_turn_environment(tiny_model: Path, tmp_path: Path) -> None:
    run_to_end(
        config_of(tiny_model, num_steps=2, sampling={"max_new_tokens": 40}, environment=Twice()),
        tmp_path / "run",
    )
    records = RunStore.open_readonly(tmp_path / "run").rollouts()
    two_turns = [record for record in records if record.num_turns == 2]
    assert two_turns
    for record in two_turns:
        # Prompt, sampled, environment, sampled: only what was sampled is trained on, end tokens included.
        runs = [value for i, value in enumerate(record.loss_mask) if i == 0 or record.loss_mask[i - 1] != value]
        assert runs == [False, True, False, True]
        assert sum(record.loss_mask) == record.num_tokens
        assert record.trainer_logprobs is not None
        assert record.trainer_logprobs == pytest.approx(record.token_logprobs, abs=1e-4)


class Twice(Arithmetic):
    """Sums that are asked about twice."""

    @property
    def max_turns(self) -> int:
        return 2

    def episode(self, task: Task) -> Episode:
        return AskTwice(task)


class AskTwice(Episode):
    """Asks for another answer once, whatever the first was."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.asked = False

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        if self.asked:
            return EpisodeStep(done=True)
        self.asked = True
        return EpisodeStep((Message("user", "Again."),))

    async def close(self) -> None:
        return None


def test_an_interrupt_finishes_the_step_and_leaves_a_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    class Interrupts:
        async def step_done(self, done: StepDone) -> None:
            if done.step == 1:
                signal.raise_signal(signal.SIGINT)

    folder = tmp_path / "run"
    run = build_run(
        config_of(tiny_model, num_steps=9),
        folder,
        console=Console(stream=io.StringIO(), live=False),
    )
    run.subscribers.insert(0, Interrupts())
    with stop_on_interrupt(run):
        result = asyncio.run(train(run))
    assert result.status == "interrupted"
    assert result.summary["num_steps"] == 2
    assert (folder / "checkpoints" / "step-000002").is_dir()
    assert "--resume" in result.summary["commands"]["go on"]
    done = run_to_end(config_of(tiny_model, num_steps=9), folder, resume=True)
    assert done.status == "finished"
    assert done.summary["num_steps"] == 9


def test_a_time_budget_ends_the_run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 70 s the end gets 15. Steps of 10 s begin until the next would not be over then."""
    now = [0.0]
    monkeypatch.setattr("assay.run.position.time", SimpleNamespace(monotonic=lambda: now[0]))
    sample = LocalEngine.generate

    async def first_of_a_step(self: LocalEngine, *arguments: Any, request_id: str, **options: Any) -> Any:
        now[0] += 10.0 if request_id.endswith("/0/0") and int(request_id.split("/")[1]) % 2 == 0 else 0.0
        return await sample(self, *arguments, request_id=request_id, **options)

    monkeypatch.setattr(LocalEngine, "generate", first_of_a_step)
    result = run_to_end(config_of(tiny_model, num_steps=10_000, max_seconds=70.0), tmp_path / "run")
    assert result.status == "finished"
    assert result.summary["num_steps"] == 5
    assert result.summary["seconds"] == 50.0


def test_a_token_budget_ends_the_run_with_the_step_that_reaches_it(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # Answers of two tokens often earn the same: such groups are dropped, and paid for all the same.
    dapo = {"num_steps": 50, "algorithm": {"name": "dapo"}, "sampling": {"max_new_tokens": 2}}
    config = config_of(tiny_model, **dapo, max_sampled_tokens=70)
    result = run_to_end(config, folder)
    with RunStore.open_readonly(folder) as store:
        totals = [value for _, value in store.metrics()["rollout/total_sampled_tokens"]]
        sampled = [rollout.num_tokens for rollout in store.rollouts()]
        events = store.events()
    assert totals[-1] == result.summary["sampled_tokens"] == sum(sampled)
    assert totals[-1] >= 70
    assert all(total < 70 for total in totals[:-1])
    assert result.summary["trained_tokens"] <= result.summary["sampled_tokens"]
    assert any("dropped" in event.text for event in events)
    further = config_of(tiny_model, **dapo, max_sampled_tokens=140)
    assert run_to_end(further, folder, resume=True).summary["sampled_tokens"] >= 140


def test_a_run_folder_that_exists_is_not_touched(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already"):
        run_to_end(config_of(tiny_model), folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_start_that_fails_removes_nothing_that_was_there(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / ".git").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="exists already"):
        run_to_end(config_of(tiny_model), folder)
    assert (folder / ".git").is_dir()
    empty = tmp_path / "empty"
    empty.mkdir()
    other = write_tiny_model(tmp_path / "other", vocab_size=300)
    teacher = {"algorithm": {"name": "distillation", "teacher": str(other)}}
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {piece + "x": index for piece, index in tokenizer["model"]["vocab"].items()}
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError):
        run_to_end(config_of(tiny_model, **teacher), empty)
    assert list(empty.iterdir()) == []


def test_a_resume_with_other_settings_says_which(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to_end(config_of(tiny_model, num_steps=1), folder)
    with pytest.raises(ConfigError, match=r"trainer.learning_rate: began with 0.01, now 0.5"):
        run_to_end(config_of(tiny_model, num_steps=1, trainer={"learning_rate": 0.5}), folder, resume=True)
    # How far it goes may change.
    assert run_to_end(config_of(tiny_model, num_steps=2), folder, resume=True).summary["num_steps"] == 2


def test_a_folder_that_is_no_run_cannot_be_resumed(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        run_to_end(config_of(tiny_model), tmp_path, resume=True)


def test_a_gold_answer_its_verifier_rejects_stops_before_the_first_step(tiny_model: Path, tmp_path: Path) -> None:
    verifier = {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "{answer}"}
    with pytest.raises(DataError, match="rejects the gold answer"):
        run_to_end(config_of(tiny_model, verifier=verifier), tmp_path / "run")


@pytest.mark.parametrize("function", ["raises", "not_a_number"])
def test_a_reward_that_fails_is_never_a_zero(tiny_model: Path, tmp_path: Path, function: str) -> None:
    reward = tmp_path / "reward.py"
    reward.write_text(
        "def raises(response, answer):\n    raise OSError('the service is down')\n"
        "def not_a_number(response, answer):\n    return float('nan')\n"
    )
    verifier = {"name": "python", "function": f"{reward}:{function}", "gold_format": ""}
    with pytest.raises(TrainingStoppedError, match=r"18 rollouts of one step were left out(.|\n)*18 x verifier: "):
        run_to_end(config_of(tiny_model, verifier=verifier, rollout_retries=0), tmp_path / "run")


def test_a_prompt_longer_than_the_context_names_the_task(tiny_model: Path, tmp_path: Path) -> None:
    domain = {"name": "arithmetic", "instruction": "Answer. " * 100}
    with pytest.raises(Exception, match="context"):
        run_to_end(config_of(tiny_model, environment=domain), tmp_path / "run")


def test_an_unknown_device_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(tiny_model, model={"source": str(tiny_model), "device": "cuda:77", "compute_dtype": "fp32"})
    with pytest.raises(ConfigError, match="cuda:77"):
        run_to_end(config, tmp_path / "run")


def test_a_model_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        run_to_end(config_of(tmp_path / "nowhere"), tmp_path / "run")


def test_nothing_measured_is_nan_not_zero() -> None:
    assert math.isnan(step_metrics([])["reward/mean"])


def test_a_folder_in_use_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = config_of(tiny_model, num_steps=1)
    run = build_run(config, folder, console=Console(stream=io.StringIO(), live=False))
    with pytest.raises(RunFolderError, match="another process is running"):
        build_run(config, folder, resume=True)
    asyncio.run(train(run))
    assert run_to_end(config_of(tiny_model, num_steps=2), folder, resume=True).summary["num_steps"] == 2


def test_a_start_that_fails_leaves_no_folder(tiny_model: Path, tmp_path: Path) -> None:
    settings = {"schedule": "linear", "warmup_steps": 10}
    with pytest.raises(ConfigError, match="warmup_steps 10 leaves nothing"):
        run_to_end(config_of(tiny_model, num_steps=3, trainer=settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("existed", [False, True], ids=["new folder", "empty folder"])
@pytest.mark.parametrize(
    "refused",
    [
        {"verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": "{answer}"}},
        {"environment": {"name": "rows", "path": "nowhere.jsonl"}},
        {"environment": {"name": "rows", "path": "few.jsonl"}},
        {"environment": {"name": "rows", "path": "wrong.jsonl"}},
        {"curriculum": {"levels": [{"complexity": 99}]}},
    ],
    ids=["gold answer", "no file", "empty split", "column", "level"],
)
def test_a_refused_run_leaves_no_folder(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: dict[str, Any], existed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.jsonl").write_text('{"prompt": "1 + 1?", "answer": "2"}\n')
    Path("wrong.jsonl").write_text('{"question": "1 + 1?"}\n' * 9)
    folder = tmp_path / "run"
    if existed:
        folder.mkdir()
    with pytest.raises((ConfigError, DataError)):
        run_to_end(config_of(tiny_model, **refused), folder)
    assert folder.exists() is existed
    assert not existed or not list(folder.iterdir())
    assert run_to_end(config_of(tiny_model, num_steps=1), folder).status == "finished"


def test_a_failure_keeps_the_steps_made_before_it(tiny_model: Path, tmp_path: Path) -> None:
    class Fails:
        async def step_done(self, done: StepDone) -> None:
            if done.step == 2:
                vars(run.sampler)["next_groups"] = _fails

    async def _fails(num_groups: int) -> list[Group]:
        raise DataError("a task that cannot be used")

    run = build_run(
        config_of(tiny_model, num_steps=9),
        tmp_path / "run",
        console=Console(stream=io.StringIO(), live=False),
    )
    run.subscribers.append(Fails())
    with pytest.raises(DataError):
        asyncio.run(train(run))
    assert run.keeping.newest_step() == 3


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "dapo"},
        {"name": "gspo"},
        {"name": "cispo", "correction": {"kind": "truncate"}},
        {"name": "reinforce_pp", "baseline": "group_mean"},
        {"name": "expert_iteration"},
        {"name": "ppo"},
        {"name": "rloo", "kl_coefficient": 0.1},
        {"name": "rloo", "kl_coefficient": 0.1, "kl_in": "reward", "entropy_coefficient": 0.01},
    ],
    ids=str,
)
def test_every_algorithm_runs_the_loop(tiny_model: Path, tmp_path: Path, algorithm: dict) -> None:
    config = config_of(
        tiny_model,
        num_steps=2,
        algorithm=algorithm,
        minibatches_per_step=2,
        verifier={"name": "python", "function": f"{REWARDS}:some_letters", "gold_format": ""},
    )
    run_to_end(config, tmp_path / "run")
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    assert all(math.isfinite(value or math.nan) for _, value in metrics["train/grad_norm"])
    assert sum(value or 0 for _, value in metrics["train/num_updates"]) >= 2
    assert ("loss/reference_kl_nats" in metrics) == ("kl_coefficient" in algorithm)
    assert ("loss/correction_mean" in metrics) == ("correction" in algorithm)


def test_supervised_fine_tuning_makes_its_demonstrations_likelier(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(
        tiny_model,
        num_steps=8,
        group_size=1,
        groups_per_step=8,
        algorithm={"name": "sft"},
        verifier={"name": "numeric"},
        evaluation={"every_steps": 4, "validation_tasks": 2, "test_tasks": 2},
    )
    result = run_to_end(config, tmp_path / "run")
    assert result.status == "finished"
    store = RunStore.open_readonly(tmp_path / "run")
    metrics = {name: [value for _, value in points] for name, points in store.metrics().items()}
    assert metrics["reward/mean"] == [1.0] * 8, "the demonstrations are right"
    assert metrics["loss/policy"][-1] < 0.8 * metrics["loss/policy"][0]
    assert "gap/mean_nats" not in metrics, "there was no sampler"
    with pytest.raises(ConfigError, match="group_size=3 has no effect with sft"):
        config_of(tiny_model, algorithm={"name": "sft"})


def test_a_teacher_draws_the_policy_to_itself(tiny_model: Path, tmp_path: Path) -> None:
    teacher = write_tiny_model(tmp_path / "teacher", seed=7)
    config = config_of(
        tiny_model,
        num_steps=12,
        groups_per_step=8,
        algorithm={"name": "distillation", "teacher": str(teacher)},
        sampling={"max_new_tokens": 12},
    )
    run_to_end(config, tmp_path / "run")
    losses = [value for _, value in RunStore.open_readonly(tmp_path / "run").metrics()["loss/policy"]]
    assert len(losses) == 12
    before, after = (
        _divergence(folder, teacher) for folder in (tiny_model, tmp_path / "run/checkpoints/step-000012/model")
    )
    assert after < 0.9 * before


def _divergence(model: Path, teacher: Path) -> float:
    """Mean KL(model || teacher) of the next token over random contexts, summed over the whole vocabulary."""
    tokens = torch.randint(0, 256, (400,), generator=torch.Generator().manual_seed(0))
    samples = [
        CreditedSample(
            0, i, tokens[20 * i : 20 * i + 20], torch.arange(20) > 0, torch.zeros(20), advantages=torch.zeros(20)
        )
        for i in range(20)
    ]
    [[batch]] = pack(samples, 10_000)
    logits = []
    for folder in (model, teacher):
        policy = open_model(folder).policy()
        words = torch.stack(
            [
                policy.forward(replace(batch, target_ids=torch.full_like(batch.target_ids, w))).logprobs
                for w in range(258)
            ],
            1,
        )
        logits.append(words.detach())
    now, target = logits
    return float((now.exp() * (now - target)).sum(1).mean())


def test_a_teacher_of_another_vocabulary_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    teacher = write_tiny_model(tmp_path / "teacher")
    tokenizer = json.loads((teacher / "tokenizer.json").read_text())
    tokens = tokenizer["model"]["vocab"]
    first, second = list(tokens)[:2]
    tokens[first], tokens[second] = tokens[second], tokens[first]
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = config_of(tiny_model, algorithm={"name": "distillation", "teacher": str(teacher)})
    with pytest.raises(ModelError, match="another vocabulary"):
        run_to_end(config, tmp_path / "run")


@pytest.mark.parametrize("algorithm", [{"name": "rloo", "kl_coefficient": 0.1}, {"name": "ppo"}], ids=str)
def test_a_resumed_run_with_a_second_model_goes_on_as_the_unbroken_one(
    tiny_model: Path, tmp_path: Path, algorithm: dict
) -> None:
    settings: dict[str, Any] = {
        "algorithm": algorithm,
        "checkpoint": {"every_steps": 2},
        "minibatches_per_step": 2,
        "trainer": {"learning_rate": 1e-3, "epochs_per_step": 2},
    }
    whole = config_of(tiny_model, num_steps=4, **settings)
    run_to_end(whole, tmp_path / "whole")
    run_to_end(config_of(tiny_model, num_steps=2, **settings), tmp_path / "part")
    run_to_end(whole, tmp_path / "part", resume=True)
    names = ("whole", "part")
    first, second = (RunStore.open_readonly(tmp_path / name).comparable_metrics() for name in names)
    assert first == second
    weights = [
        sorted(path for path in (tmp_path / name / "checkpoints" / "step-000004").rglob("*.safetensors"))
        for name in names
    ]
    assert len(weights[0]) == len(weights[1]) >= 2
    for a, b in zip(*weights, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_the_critic_learns_what_to_expect(tiny_model: Path, tmp_path: Path) -> None:
    """Every response earns 1: the values rise from 0 toward 1, and the policy's advantages vanish."""
    config = config_of(
        tiny_model,
        num_steps=25,
        algorithm={"name": "ppo", "whiten": False, "value_clip": 10.0, "decay": 1.0},
        trainer={"learning_rate": 1e-4, "critic_learning_rate": 1e-2},
        verifier={"name": "python", "function": f"{REWARDS}:one", "gold_format": ""},
    )
    run_to_end(config, tmp_path / "run")
    losses = [value or 0.0 for _, value in RunStore.open_readonly(tmp_path / "run").metrics()["loss/value"]]
    assert losses[0] == pytest.approx(0.5 * 1.0, rel=0.05), "values of 0 for returns near 1"
    assert losses[-1] < 0.1 * losses[0]
    with pytest.raises(ConfigError, match="critic_learning_rate has no effect with grpo"):
        config_of(tiny_model, trainer={"critic_learning_rate": 1e-2})


def test_a_run_that_was_killed_as_it_began_can_be_resumed_and_started_again(tiny_model: Path, tmp_path: Path) -> None:
    config = config_of(tiny_model, num_steps=1)
    run_to_end(config, tmp_path / "whole")
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "run.lock").touch()
    (begun / ".config.json.tmp").write_text('{"settings"')
    run_to_end(config, begun)
    shutil.copytree(begun, tmp_path / "settings-only", ignore=lambda folder, names: set(names) - {"config.json"})
    assert find_run(tmp_path / "settings-only", tmp_path) == tmp_path / "settings-only"
    run_to_end(config, tmp_path / "settings-only", resume=True)
    metrics = [
        RunStore.open_readonly(tmp_path / name).comparable_metrics() for name in ("whole", "begun", "settings-only")
    ]
    assert metrics[0] == metrics[1] == metrics[2]


def test_rewards_of_others_see_how_far_training_has_come_and_what_they_log_is_a_metric(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "theirs.py").write_text(
        "def reward(completions, trainer_state, log_metric, log_extra, **kwargs):\n"
        "    log_metric('step', trainer_state.global_step)\n"
        "    log_metric('share', trainer_state.global_step / trainer_state.max_steps)\n"
        "    log_extra('step', [trainer_state.global_step] * len(completions))\n"
        "    return [float(i) for i in range(len(completions))]\n"
    )
    reward = {"name": "trl", "function": f"{tmp_path / 'theirs.py'}:reward"}
    evaluation = {"every_steps": 0, "test_tasks": 4}
    config = config_of(tiny_model, num_steps=2, verifier=reward, evaluation=evaluation)
    summary = run_to_end(config, tmp_path / "run").summary
    # Numbers without a verdict: the reading of the reward has mean rewards, that of the environment beside it shares.
    (strict, *_) = [entry for entry in summary["readings"] if entry["reading"] == "strict"]
    assert (strict["after"]["accuracy"], strict["after"]["mean_reward"]["value"]) == (None, 0.0)
    assert (summary["reward_gain"]["unit"], summary["gain"]["reading"]) == ("reward", "lenient")
    with RunStore.open_readonly(tmp_path / "run") as store:
        assert {(e.accuracy, e.mean_reward) for e in store.evaluations() if e.reading == "strict"} == {(None, 0.0)}
        assert {record.verdict for record in store.rollouts()} == {"graded"}
        assert store.metrics()["reward/solved_share"] == [(0, None), (1, None)]
    with RunStore.open_readonly(tmp_path / "run") as store:
        assert store.metrics()["reward/logged/step"] == [(0, 0.0), (1, 1.0)]
        assert store.metrics()["reward/logged/share"] == [(0, 0.0), (1, 0.5)]
        assert {(record.step, record.evidence) for record in store.rollouts()} == {(0, "step: 0"), (1, "step: 1")}


def test_a_file_with_levels_is_trained_on_without_naming_them(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"{i}?", "answer": str(i), "level": f"Level {1 + i % 3}"} for i in range(80)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = {"name": "rows", "path": str(tmp_path / "a.jsonl"), "complexity": "level"}
    evaluation = {"every_steps": 1, "validation_tasks": 4, "test_tasks": 250}
    said = io.StringIO()
    config = config_of(tiny_model, environment=environment, evaluation=evaluation, num_steps=2)
    run = build_run(config, tmp_path / "run", console=Console(stream=said, live=False))
    result = asyncio.run(train(run))
    assert result.summary["level"] == "c- h-"
    assert sum(result.summary["groups_by_level"].values()) == 4
    assert "validation: mean reward 0." in said.getvalue()
    assert result.summary["before"]["is_graded"]
    assert set(result.summary["after"]["mean_reward"]) == {"value", "low", "high"}
    assert re.search(r"rows: \d+ train, \d+ validation, \d+ test tasks from", said.getvalue())
    assert re.search(r"held out: 4 validation tasks, \d+ of 250 test tasks", said.getvalue())


def test_steps_without_a_signal_are_cautioned_about(tiny_model: Path, tmp_path: Path) -> None:
    reward = tmp_path / "reward.py"
    reward.write_text("def same(response, answer):\n    return 0.5\n")
    verifier = {"name": "python", "function": f"{reward}:same", "gold_format": ""}
    run_to_end(config_of(tiny_model, num_steps=4, verifier=verifier), tmp_path / "run")
    (event,) = [event for event in RunStore.open_readonly(tmp_path / "run").events() if event.kind == "signal"]
    assert event.step == 2
    assert event.text.startswith("caution, step 3: in 3 steps in a row every group's members all earned the same")
    run_to_end(config_of(tiny_model, num_steps=4), tmp_path / "other")
    assert "signal" not in {event.kind for event in RunStore.open_readonly(tmp_path / "other").events()}
