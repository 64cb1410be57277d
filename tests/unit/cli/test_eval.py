from __future__ import annotations

import asyncio
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from assay.cli.engine import EngineOptions
from assay.cli.eval import _ks, _print_turns, evaluate
from assay.engines import Sampling
from assay.environments.arithmetic import Arithmetic
from assay.environments.chain import Chain
from assay.errors import AssayError, ConfigError, DataError, ModelError, RunFolderError
from assay.evaluation import EvalRow, Evaluation
from assay.models import open_model
from assay.policies.tiny import write_tiny_model
from assay.render.tool_calls import write_call
from assay.rollout.runner import run_rollout
from assay.types import Tool
from assay.verifiers import EpisodeScore

app = typer.Typer()
app.command()(evaluate)

QUICK = ("--complexity", "1,2", "--horizon", "1", "--num-tasks", "3", "--max-new-tokens", "6")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def scores(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


def rows(folder: Path) -> list[EvalRow]:
    return [EvalRow.from_dict(json.loads(line)) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_measures_and_keeps_everything(tiny_model: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = (*QUICK, "--samples", 4, "--k", "1,2", "--seed", 3, "--output", out)
    printed = run(tiny_model, *options)
    assert "c1 h1" in printed
    assert "c2 h1" in printed
    assert str(out / "scores.json") in printed
    kept = scores(out)
    assert (kept["num_tasks"], kept["num_samples"]) == (6, 24)
    for reading in ("strict", "lenient"):
        assert set(kept["readings"][reading]["by_level"]) == {"c1 h1", "c2 h1"}
        assert set(kept["readings"][reading]["pass_at_k"]) == {"1", "2"}
        accuracy = kept["readings"][reading]["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"] < 1
    assert kept["settings"]["sampling"]["temperature"] == 1.0, "the default for several samples"
    assert {"python", "torch"} <= set(kept["provenance"]["versions"])
    assert kept["provenance"]["model_folder"] == str(tiny_model)
    found = rows(out)
    assert len({row.key for row in found}) == 24
    first = next(Arithmetic().tasks("test", complexity=1, horizon=1, seed=3))
    assert any(row.task_id == first.task_id for row in found)
    assert all(row.num_tokens <= 6 for row in found)


def test_continues_after_a_kill(tiny_model: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = (*QUICK, "--temperature", 1, "--samples", 2, "--output", out)
    run(tiny_model, *options)
    whole, whole_scores = {row.key: row for row in rows(out)}, scores(out)
    lines = (out / "rows.jsonl").read_text().splitlines(keepends=True)
    (out / "rows.jsonl").write_text("".join(lines[:5]) + lines[5][:30])
    (out / "scores.json").unlink()
    assert "5 of 12 samples were there before" in run(tiny_model, *options)
    assert len(rows(out)) == 12, "nothing was sampled twice"
    assert {row.key: row for row in rows(out)} == whole
    assert scores(out)["readings"] == whole_scores["readings"]


def test_changed_settings_are_refused(tiny_model: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(tiny_model, *QUICK, "--output", out)
    with pytest.raises(RunFolderError, match="seed: 0 there, 1 now; tasks: "):
        run(tiny_model, *QUICK, "--output", out, "--seed", 1)


def test_other_weights_under_the_same_name_are_another_evaluation(tmp_path: Path):
    model, out = tmp_path / "model", tmp_path / "out"
    write_tiny_model(model, seed=0)
    run(model, *QUICK, "--output", out)
    shutil.rmtree(model)
    write_tiny_model(model, seed=1)
    with pytest.raises(RunFolderError, match="weights: "):
        run(model, *QUICK, "--output", out)


def test_default_folder_is_outside_the_work_tree_and_found_again(tiny_model: Path, home: Path):
    run(tiny_model, *QUICK)
    assert "6 of 6 samples were there before" in run(tiny_model, *QUICK)
    run(tiny_model, *QUICK, "--seed", 1)
    assert len(list((home / "evals").iterdir())) == 2


def test_levels_follow_the_dials(tiny_model: Path, tmp_path: Path):
    quick = ("--num-tasks", 1, "--max-new-tokens", 2, "--verifier", "exact")
    run(tiny_model, *quick, "--output", tmp_path / "all")
    assert len(scores(tmp_path / "all")["settings"]["levels"]) == len(Arithmetic().levels())
    run(tiny_model, *quick, "--complexity", 2, "--output", tmp_path / "listed")
    expected = [list(level) for level in Arithmetic().levels() if level[0] == 2]
    assert scores(tmp_path / "listed")["settings"]["levels"] == expected
    run(tiny_model, *quick, "--horizon", 3, "--output", tmp_path / "unlisted")
    assert list(scores(tmp_path / "unlisted")["readings"]["exact"]["by_level"]) == ["c2 h3"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--samples", 2, "--temperature", 0), ConfigError, "no effect at --temperature 0"),
        (("--top-p", 0.9), ConfigError, "--top-p 0.9 has no effect"),
        (("--top-p", 1.5, "--temperature", 1), ConfigError, "top_p"),
        (("--k", "4"), ConfigError, "from 1 to --samples, which is 1"),
        (("--k", "0.5"), ConfigError, "whole number"),
        (("--complexity", "two"), ConfigError, "--complexity two: expected numbers"),
        (("--complexity", "inf"), ConfigError, "expected numbers"),
        (("--complexity", "77", "--horizon", "1"), DataError, "complexity"),
        (("--verifier", "oracle"), ConfigError, "unknown verifier 'oracle'"),
        (("--verifier", ","), ConfigError, "expected names"),
        (("--environment", "chess"), ConfigError, "unknown environment 'chess'"),
        (("--call-forms", "yaml"), ConfigError, "'yaml' is no form of tool calls; give one or more of tagged, "),
        (("--call-forms", ""), ConfigError, "'' is no form of tool calls"),
        (("--device", "cuda:77"), ConfigError, "--device cuda:77 cannot be used"),
        (("--device", "abacus"), ConfigError, "--device abacus cannot be used"),
    ],
)
def test_rejects(
    tiny_model: Path, home: Path, options: tuple[object, ...], error: type[AssayError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tiny_model, "--num-tasks", 1, *options)
    assert not list(home.glob("evals/*/scores.json"))


def test_forms_of_calls_are_a_setting_of_the_evaluation(tiny_model: Path, tmp_path: Path):
    for place, forms in (("one", "xml, json"), ("two", "json,xml")):
        run(tiny_model, *QUICK, "--call-forms", forms, "--output", tmp_path / place)
        assert scores(tmp_path / place)["settings"]["call_forms"] == "json,xml"
    with pytest.raises(RunFolderError, match="call_forms"):
        run(tiny_model, *QUICK, "--output", tmp_path / "one")
    renderer = EngineOptions(call_forms="json").renderer(open_model(str(tiny_model)))
    tools = [Tool("now", "")]
    said = [renderer.parse(renderer.encode_answer(text), tools) for text in ('{"name": "now"}', write_call("now", {}))]
    assert [len(message.calls) for message in said] == [1, 0]


def test_no_such_model(tmp_path: Path):
    with pytest.raises(ModelError, match="no model"):
        run(tmp_path / "gone", *QUICK)


def test_a_recipe_gives_the_domain_the_levels_and_both_readings(tiny_model: Path, tmp_path: Path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'environment = { name = "arithmetic", example = true, instruction = "" }\n'
        "curriculum = { levels = [{ complexity = 1 }, { complexity = 4 }] }\n"
        'evaluation = { strict = { name = "exact", after = "=" } }\n'
    )
    out = tmp_path / "out"
    run(tiny_model, "--recipe", recipe, "--num-tasks", 2, "--max-new-tokens", 4, "--output", out)
    kept = scores(out)
    assert set(kept["readings"]) == {"strict", "lenient"}
    assert set(kept["readings"]["strict"]["by_level"]) == {"c1 h1", "c4 h1"}
    assert kept["settings"]["verifiers"]["strict"]["after"] == "="
    assert all("3 + 4 = 7" in row.prompt for row in rows(out))
    with pytest.raises(ConfigError, match="no effect with --recipe"):
        run(tiny_model, "--recipe", recipe, "--environment", "arithmetic")


def test_a_domain_with_options(tiny_model: Path, tmp_path: Path):
    data = [{"question": f"What is {i} + 1?", "answer": f"It is #### {i + 1}"} for i in range(60)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    options = ["path=" + str(tmp_path / "data.jsonl"), "prompt={question}", "answer_after=####"]
    settings = [part for option in options for part in ("--set", option)]
    out = tmp_path / "out"
    run(tiny_model, "--environment", "rows", *settings, "--num-tasks", 2, "--max-new-tokens", 4, "--output", out)
    assert scores(out)["num_tasks"] == 2
    assert rows(out)[0].prompt.startswith("user: What is ")
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        run(tiny_model, "--environment", "rows", "--set", "pth=x")
    with pytest.raises(ConfigError, match="expected key=value"):
        run(tiny_model, "--environment", "rows", "--set", "path")


def test_all_of_a_file_that_is_given_is_measured(tiny_model: Path, tmp_path: Path):
    data = [{"prompt": f"{i}?", "answer": i, **({"level": i % 2} if i < 50 else {"level": None})} for i in range(60)]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    quick = (tiny_model, "--environment", "rows", "--set", f"path={path}", "--max-new-tokens", 2)
    printed = run(*quick, "--output", tmp_path / "whole")
    assert scores(tmp_path / "whole")["num_tasks"] == 60
    assert "rows: 60 test tasks from" in printed
    assert "measured: 60 tasks of the test split" in printed
    printed = run(*quick, "--set", "test_only=false", "--output", tmp_path / "hashed")
    hashed = scores(tmp_path / "hashed")["num_tasks"]
    assert 0 < hashed < 20
    assert f"validation, {hashed} test tasks from" in printed
    run(*quick, "--num-tasks", 7, "--output", tmp_path / "few")
    assert scores(tmp_path / "few")["num_tasks"] == 7
    run(*quick, "--split", "train", "--num-tasks", 100, "--output", tmp_path / "train")
    assert 30 < scores(tmp_path / "train")["num_tasks"] < 60


def test_many_measures_stand_below_each_other(tiny_model: Path, tmp_path: Path):
    printed = run(tiny_model, *QUICK, "--samples", 4, "--k", "1,2,3,4", "--output", tmp_path / "out")
    lines = [line for line in printed.splitlines() if "pass@" in line]
    assert len(lines) == 3 * 2 * 3, "two levels and both together, two readings, three k"
    assert all("%" in line for line in lines)


@pytest.mark.parametrize(
    ("samples", "ks"),
    [
        (1, (1,)),
        (3, (1,)),
        (8, (1, 4, 8)),
        (16, (1, 4, 8, 16)),
        (64, (1, 4, 8, 16, 32, 64)),
        (100, (1, 4, 8, 16, 32, 64)),
    ],
)
def test_pass_at_k_goes_up_to_the_samples(samples: int, ks: tuple[int, ...]) -> None:
    assert _ks(None, samples) == ks


def test_how_episodes_went_is_printed():
    """An expert, and one whose second rollout a limit of one turn ended, at two horizons of `chain`."""
    chain = Chain()

    async def played(horizon: int, sample: int, max_turns: int) -> EvalRow:
        task = next(iter(chain.tasks("test", complexity=1, horizon=horizon)))
        expert = chain.expert(task)
        assert expert is not None
        rollout = await run_rollout(
            task, chain.episode, expert, None, Sampling(), run_seed=0, group_id=0, member=sample, max_turns=max_turns
        )
        return EvalRow.of(task, horizon, rollout, {"strict": await EpisodeScore()(rollout, task)})

    kept = [asyncio.run(played(*each)) for each in ((2, 0, 9), (4, 0, 9), (4, 1, 1))]
    assert [(row.num_turns, len(row.turns)) for row in kept] == [(2, 2), (4, 4), (1, 1)]
    assert kept[0].turns[0].env_messages
    printed = io.StringIO()
    _print_turns(Evaluation(tuple(kept)), Console(file=printed, width=200, highlight=False))
    assert printed.getvalue().splitlines() == [
        "turns: 2.3 on average; ended: finished 2, truncated: turns 1",
        "parts of the score, strict, c1 h2: reports_right 1, steps_right 1",
        "parts of the score, strict, c1 h4: reports_right 1, steps_right 1",
    ]


def test_answers_of_one_turn_have_no_line_about_turns():
    printed = io.StringIO()
    _print_turns(Evaluation(()), Console(file=printed))
    assert printed.getvalue() == ""


def test_stops_when_the_question_is_decided(tiny_model: Path, tmp_path: Path):
    """A model of random weights is below one half after one batch of 32 tasks, of 96 that there are."""
    options = ("--complexity", 2, "--horizon", 1, "--num-tasks", 96, "--max-new-tokens", 2)
    printed = run(tiny_model, *options, "--until", "strict>50", "--output", tmp_path / "out")
    assert "below 50 %, after 32 tasks" in printed
    kept = scores(tmp_path / "out")
    assert (kept["num_tasks"], kept["until"]["decided"]) == (32, True)
    assert kept["pace"]["samples"] == 32
    again = run(tiny_model, *options, "--until", "strict>50", "--output", tmp_path / "out")
    assert "32 of 96 samples were there before" in again
    assert len(rows(tmp_path / "out")) == 32
    with pytest.raises(ConfigError, match="--against has no effect without --until"):
        run(tiny_model, *options, "--against", tmp_path / "out")
