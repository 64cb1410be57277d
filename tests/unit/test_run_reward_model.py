"""A reward model from a file of comparisons, with a tiny model: fitted, saved, opened by transformers, and a reward."""

from __future__ import annotations

import asyncio
import io
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import RewardModelFit
from assay.algorithms.preference import PAIR_ACCURACY, Responses
from assay.batching import pack, scored, to_samples
from assay.config import validate
from assay.errors import CheckpointError, ConfigError, DataError, ModelError
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.held_out_pairs import length_coefficient
from assay.evaluation.row import EvalRow
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.models.reward import open_reward_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies.reward import RewardModel
from assay.policies.tiny import write_tiny_causal_lm
from assay.recipe import RunConfig
from assay.rollout.given_responses import given_group
from assay.types import Group, Message, Score, Task, Verdict
from assay.verifiers import RewardModelScore, as_rollout, score_group


def pairs_file(path: Path, num: int = 60, **more: Any) -> Path:
    """Comparisons in which the response of e's is preferred to that of o's; every tenth is a tie."""
    rows = [{"prompt": f"number {i}", "chosen": f"ee{i % 7}e", "rejected": f"oo{i % 5}", **more} for i in range(num)]
    ties = [
        {"prompt": f"n {i}", "response_a": "ee", "response_b": "eee", "winner": "tie", **more} for i in range(num // 10)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *ties]))
    return path


def config_of(source: Path, pairs: Path, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 8,
        "groups_per_step": 6,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "environment": {"name": "pairs", "path": str(pairs), "ties": "keep"},
        "algorithm": {"name": "reward_model"},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 6},
        "checkpoint": {"every_steps": 0},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path, **options: Any) -> dict[str, Any]:
    run = build_run(config, folder, console=Console(config.num_steps, stream=io.StringIO(), live=False), **options)
    return dict(asyncio.run(train(run)).summary)


@pytest.fixture(scope="module")
def fitted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that fitted a reward model."""
    folder = tmp_path_factory.mktemp("fitted")
    run_to_end(config_of(tiny_model, pairs_file(folder / "pairs.jsonl")), folder / "run")
    return folder / "run"


def group_of(model: Path) -> Group:
    said = [("eeee", 1.0), ("o", 0.0)]
    responses = [{"messages": [Message("assistant", text).to_record()], "value": value} for text, value in said]
    task = Task("pairs", (Message("user", "number 3"),), "eeee", metadata={"responses": responses})
    return given_group(task, open_model(model).renderer(), 512, group_id=0)


def test_it_learns_and_its_held_out_accuracy_and_calibration_are_told(fitted: Path) -> None:
    summary = json.loads((fitted / "summary.json").read_text())
    tested = summary["comparisons"]
    assert tested["accuracy"]["value"] == 1.0
    assert tested["calibration"]["log_loss"] < math.log(2)
    metrics = RunStore.open_readonly(fitted).metrics()
    assert metrics[PAIR_ACCURACY][-1][1] > 0.8
    # There is no distribution of tokens, and nobody sampled.
    assert "policy/entropy_nats" not in metrics
    assert "gap/mean_nats" not in metrics
    assert "train by it" in summary["commands"]


def test_transformers_opens_it_and_gives_the_same_rewards(tiny_model: Path, fitted: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = fitted / "model"
    module = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    assert module.config.num_labels == 1
    scorer, renderer = open_reward_model(fitted)
    texts = [sample.token_ids for sample in to_samples([group_of(tiny_model)])]
    rewards = torch.tensor(scorer.rewards([text.tolist() for text in texts]))
    assert rewards[0] > rewards[1]
    # In a batch, padded: the last token that is no padding is the end of the response, not the one before it.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id == module.config.pad_token_id
    assert module.config.pad_token_id not in renderer.stop_token_ids
    length = max(map(len, texts))
    padded = torch.stack(
        [torch.nn.functional.pad(t, (0, length - len(t)), value=tokenizer.pad_token_id) for t in texts]
    )
    mask = torch.stack([(torch.arange(length) < len(text)).long() for text in texts])
    with torch.no_grad():
        found = module(input_ids=padded, attention_mask=mask).logits[:, 0]
    assert_close(found, rewards, atol=1e-5, rtol=1e-5)


def test_what_transformers_saved_comes_back(fitted: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "again"
    shutil.copytree((fitted / "model").resolve(), folder)
    (folder / "model.safetensors").unlink()
    AutoModelForSequenceClassification.from_pretrained(fitted / "model").save_pretrained(folder)
    text = [5, 6, 7, 8]
    assert open_reward_model(folder)[0].rewards([text])[0] == pytest.approx(
        open_reward_model(fitted)[0].rewards([text])[0], abs=1e-6
    )


def test_it_rewards_a_policy_and_says_no_verdict(tiny_model: Path, fitted: Path, tmp_path: Path) -> None:
    verifier = RewardModelScore(source=str(fitted))
    task = Task("pairs", (Message("user", "number 3"),), "eeee")
    good, bad = (asyncio.run(verifier(as_rollout(text, task), task)) for text in ("eeee", "oo"))
    assert good.verdict is Verdict.GRADED
    assert good.value is not None
    assert bad.value is not None
    assert good.value > bad.value
    level = (good.value + bad.value) / 2
    assert asyncio.run(RewardModelScore(source=str(fitted), solved_at=level)(as_rollout("oo", task), task)).value == (
        bad.value
    )
    assert not asyncio.run(verifier(as_rollout("e" * 600, task), task)).measured
    config = config_of(
        tiny_model,
        fitted,
        num_steps=2,
        algorithm={"name": "rloo"},
        environment={"name": "arithmetic"},
        verifier={"name": "reward_model", "source": str(fitted)},
        sampling={"max_new_tokens": 6},
        evaluation={"every_steps": 0, "test_tasks": 0},
    )
    run_to_end(config, tmp_path / "run")
    rewards = [value for _, value in RunStore.open_readonly(tmp_path / "run").metrics()["reward/mean"]]
    assert all(value is not None and math.isfinite(value) for value in rewards)


def test_a_resumed_fit_is_the_unbroken_one(tiny_model: Path, fitted: Path, tmp_path: Path) -> None:
    pairs = fitted.parent / "pairs.jsonl"
    evaluation = {"every_steps": 0, "test_tasks": 0}
    run_to_end(config_of(tiny_model, pairs, num_steps=4, evaluation=evaluation), tmp_path / "run")
    run_to_end(config_of(tiny_model, pairs, num_steps=8, evaluation=evaluation), tmp_path / "run", resume=True)
    text = [5, 6, 7, 8]
    assert open_reward_model(tmp_path / "run")[0].rewards([text])[0] == open_reward_model(fitted)[0].rewards([text])[0]


def test_an_adapter_is_fitted_saved_merged_and_resumed(tiny_model: Path, fitted: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    pairs = fitted.parent / "pairs.jsonl"
    lora = {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32", "lora": {"rank": 4}}

    def fit(folder: Path, num_steps: int, **options: Any) -> dict[str, Any]:
        changes = {"num_steps": num_steps, "model": lora, "trainer": {"learning_rate": 3e-2}}
        return run_to_end(config_of(tiny_model, pairs, **changes), folder, **options)

    summary = fit(tmp_path / "whole", 12)
    base, model = open_model(tiny_model).policy(), (tmp_path / "whole" / "model").resolve()
    assert summary["comparisons"]["accuracy"]["value"] == 1.0
    assert summary["num_trained_parameters"] < summary["num_parameters"] / 2
    (scorer, _), text = open_reward_model(tmp_path / "whole"), [5, 6, 7, 8]
    assert isinstance(scorer, RewardModel)
    kept, changed = (f"model.layers.0.{part}.weight" for part in ("input_layernorm", "mlp.up_proj"))
    weights = dict(scorer.trunk.named_parameters())
    assert torch.equal(weights[kept], base.get_parameter(kept))
    assert not torch.equal(weights[changed], base.get_parameter(changed))
    module = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad():
        found = module(input_ids=torch.tensor([text])).logits
    assert float(found) == pytest.approx(scorer.rewards([text])[0], abs=1e-5)
    assert [path.name for path in model.glob("*.safetensors")] == ["model.safetensors"], "what others read is whole"

    fit(tmp_path / "broken", 4)
    fit(tmp_path / "broken", 12, resume=True)
    assert open_reward_model(tmp_path / "broken")[0].rewards([text]) == scorer.rewards([text])


def test_an_adapter_goes_on_only_from_the_base_that_it_was_fitted_on(tiny_model: Path, tmp_path: Path) -> None:
    source, pairs = tmp_path / "base", pairs_file(tmp_path / "pairs.jsonl")
    shutil.copytree(tiny_model, source)
    lora = {"source": str(source), "device": "cpu", "compute_dtype": "fp32", "lora": {"rank": 2}}
    run_to_end(config_of(source, pairs, num_steps=2, model=lora), tmp_path / "run")
    other = open_model(source).policy()
    with torch.no_grad():
        other.get_parameter("model.layers.0.mlp.up_proj.weight").mul_(2)
    other.save(source)
    with pytest.raises(CheckpointError, match="the base has changed"):
        run_to_end(config_of(source, pairs, num_steps=4, model=lora), tmp_path / "run", resume=True)


def test_what_is_no_reward_model_is_told(tiny_model: Path, fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no reward model"):
        open_reward_model(tiny_model)
    pairs = fitted.parent / "pairs.jsonl"
    other = write_tiny_causal_lm(tmp_path / "gpt2")
    with pytest.raises(ConfigError, match="fitted on our own decoder"):
        run_to_end(config_of(other, pairs), tmp_path / "run")
    with pytest.raises(ConfigError):
        config_of(tiny_model, pairs, algorithm={"name": "reward_model", "online": True})
    with pytest.raises(DataError, match="states no margin"):
        run_to_end(config_of(tiny_model, pairs, algorithm={"name": "reward_model", "margins": "add"}), tmp_path / "m")


def test_marks_carry_ties_and_margins_into_the_loss(tiny_model: Path) -> None:
    group = group_of(tiny_model)
    task = Task("pairs", group.task.prompt, "", metadata={**group.task.metadata, "margin": 2.0})
    with_margin = Group(0, task, group.rollouts, group.scores)
    samples = scored(to_samples([with_margin]))
    marks = [float(s.advantages.sum()) for s in RewardModelFit(margins="add").credit([with_margin], samples)]
    assert marks == [3.0, -1.0]
    one = torch.ones(1)
    zero, first = torch.zeros(1), Responses(one * 0, one, torch.tensor([3.0]), None)
    loss = RewardModelFit(margins="add", centring=0.0).pair_loss(first, Responses(zero, one, one, None))
    assert_close(loss, torch.tensor([2.0]).exp().add(1).log())
    tie = RewardModelFit(centring=0.0).pair_loss(
        Responses(one, one, one / 2, None), Responses(zero, one, one / 2, None)
    )
    assert_close(tie, (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2 * one)


def test_who_judged_weighs_as_much_as_is_known_of_them(tiny_model: Path, tmp_path: Path) -> None:
    """A fit that is told that its only annotator is right in 60 % of judgements goes less far than one that is not."""
    pairs = pairs_file(tmp_path / "pairs.jsonl", annotator="eve")
    margins = {}
    for name, reliability in (("told", {"eve": 0.6}), ("not told", {}), ("of another", {"ada": 0.6})):
        algorithm = {"name": "reward_model", "reliability": reliability}
        run_to_end(config_of(tiny_model, pairs, algorithm=algorithm), tmp_path / name)
        margins[name] = [value for _, value in RunStore.open_readonly(tmp_path / name).metrics()["loss/pair_margin"]]
    assert margins["of another"] == margins["not told"]
    assert margins["told"][0] == margins["not told"][0]
    assert 0 < margins["told"][-1] < margins["not told"][-1]


def test_who_judged_must_be_known(tiny_model: Path, tmp_path: Path) -> None:
    algorithm = {"name": "reward_model", "reliability": {"eve": 0.6}}
    config = config_of(tiny_model, pairs_file(tmp_path / "pairs.jsonl"), algorithm=algorithm)
    with pytest.raises(DataError, match="does not say who judged it"):
        run_to_end(config, tmp_path / "run")
    with pytest.raises(ConfigError, match="exclude each other"):
        validate(RunConfig, {"algorithm": {**algorithm, "margins": "add"}})
    with pytest.raises(ConfigError, match="reliability"):
        validate(RunConfig, {"algorithm": {**algorithm, "reliability": {"eve": 0.4}}})


def test_a_reward_model_reads_by_its_own_tokenizer(fitted: Path, tmp_path: Path) -> None:
    """The same weights with the ids of e and o exchanged: another tokenizer than that of whoever wrote the response."""
    folder = tmp_path / "other"
    shutil.copytree((fitted / "model").resolve(), folder)
    written = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = written["model"]["vocab"]
    vocabulary["e"], vocabulary["o"] = vocabulary["o"], vocabulary["e"]
    (folder / "tokenizer.json").write_text(json.dumps(written))
    task = Task("pairs", (Message("user", "3"),), "")
    own, other = (RewardModelScore(source=str(source)) for source in (fitted, folder))
    found = {text: asyncio.run(other(as_rollout(text, task), task)).value for text in ("eeee", "oooo")}
    scorer, renderer = open_reward_model(folder)
    tokens = (*renderer.render(task.prompt), *renderer.encode_answer("eeee"))
    assert found["eeee"] == pytest.approx(scorer.rewards([tokens])[0])
    theirs = {text: asyncio.run(own(as_rollout(text, task), task)).value for text in ("eeee", "oooo")}
    assert (found["eeee"] < found["oooo"]) != (theirs["eeee"] < theirs["oooo"]), "to it an e is an o"


def test_the_body_learns_from_the_first_step_and_the_seed_draws_the_head(tiny_model: Path) -> None:
    heads = [RewardModel(open_model(tiny_model).policy(), seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(heads[0].head, heads[1].head)
    assert not torch.equal(heads[0].head, heads[2].head)
    ((batch,),) = pack(scored(to_samples([group_of(tiny_model)])), 1000)
    heads[0].forward(batch).logprobs.diff().sum().backward()
    gradients = [parameter.grad for name, parameter in heads[0].named_parameters() if "layers" in name]
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize("num_alike", [0, 3, 5])
def test_what_texts_begin_with_changes_no_reward(fitted: Path, num_alike: int) -> None:
    """Of different lengths, one of them the beginning of another."""
    scorer, _ = open_reward_model(fitted)
    texts = [[9, 8, 7, 6, 5][:num_alike] + rest for rest in ([1], [1, 2], [3, 4, 5, 6], [2])]
    alone = [reward for text in texts for reward in scorer.rewards([text])]
    assert len(set(alone)) == 4
    assert scorer.rewards(texts) == pytest.approx(alone, abs=1e-5)


class Fixed:
    """A reward model that gives each text the reward at its first token."""

    max_context = 100

    def __init__(self, *rewards: float) -> None:
        self._rewards = rewards

    def rewards(self, texts: Sequence[Sequence[int]]) -> list[float]:
        return [self._rewards[text[0]] for text in texts]

    def encode_answer(self, text: str) -> tuple[int, ...]:
        return (int(text[0]), 0)

    def render(self, messages: object) -> tuple[int, ...]:
        return ()


def several(*models: Fixed, **options: Any) -> RewardModelScore:
    verifier = validate(RewardModelScore, {"sources": [str(i) for i in range(len(models))], **options})
    vars(verifier)["_models"] = [(model, model) for model in models]
    return verifier


def values_of(verifier: RewardModelScore, *texts: str) -> list[float | None]:
    task = Task("pairs", (Message("user", "?"),), "")
    scores = asyncio.run(score_group(verifier, [as_rollout(text, task) for text in texts], task))
    return [score.value for score in scores]


def test_several_reward_models_as_worked_by_hand_on_the_page() -> None:
    models = Fixed(1.0, 3.0), Fixed(10.0, 14.0)
    assert values_of(several(*models), "0", "1") == pytest.approx([5.5, 8.5])
    half = math.sqrt(0.5)
    assert values_of(several(*models, combine="lower"), "0", "1") == pytest.approx([5.5 - half, 8.5 - half])
    twice = several(*models, combine="lower", deviations=2.0)
    assert values_of(twice, "0", "1") == pytest.approx([5.5 - 2 * half, 8.5 - 2 * half])
    assert values_of(several(*models, combine="least"), "0", "1") == pytest.approx([5.0, 8.0])
    assert twice.compares
    assert values_of(several(Fixed(1.0, math.inf), Fixed(2.0, 2.0)), "0", "1") == [1.5, None], "not measured, never 0"


def test_a_response_without_an_end_is_penalised() -> None:
    verifier = several(Fixed(4.0), Fixed(4.0), missing_end_penalty=1.5)
    task = Task("pairs", (Message("user", "?"),), "")
    rollouts = [as_rollout("0", task), as_rollout("0", task, finish_reason="length")]
    assert [score.value for score in asyncio.run(verifier.score_group(rollouts, task))] == [4.0, 2.5]


def test_length_is_taken_off_a_reward() -> None:
    """log2(1 + 3) = 2 and log2(1 + 1) = 1, at 0.5 each."""
    alike = Fixed(4.0), Fixed(4.0)
    assert values_of(several(*alike, remove_length=0.5), "000", "0") == pytest.approx([3.0, 3.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give source, one reward model, or sources"),
        ({"source": "a", "sources": ["a", "b"]}, "give source, one reward model, or sources"),
        ({"sources": ["a"]}, "two reward models or more"),
        ({"sources": ["a", "a"]}, "each once"),
        ({"source": "a", "combine": "least"}, "has no effect with one reward model"),
        ({"sources": ["a", "b"], "deviations": 2.0}, "deviations has no effect"),
        ({"source": "a", "remove_length": 0.0}, "has no effect"),
    ],
)
def test_reward_models_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(RewardModelScore, options)


def test_the_length_coefficient_is_a_slope_through_0() -> None:
    """Differences of 2, -1 and 4 at length differences of 1, -1 and 2: (2 + 1 + 8) / (1 + 1 + 4)."""
    task = Task("pairs", (Message("user", "?"),), "")

    def row(place: int, margin: float, length: float | None) -> EvalRow:
        parts = {"margin": margin} | ({} if length is None else {"length": length})
        return EvalRow.of(task, place, as_rollout("x", task), {"strict": Score.solved(parts=parts)})

    rows = [row(i, *each) for i, each in enumerate([(2.0, 1.0), (-1.0, -1.0), (4.0, 2.0), (9.0, None)])]
    found = length_coefficient(Evaluation(tuple(rows)))
    assert found is not None
    assert found.value == pytest.approx(11 / 6)
    assert found.low < 11 / 6 < found.high
    assert length_coefficient(Evaluation((row(0, 1.0, 0.0), row(1, 2.0, 0.0)))) is None
