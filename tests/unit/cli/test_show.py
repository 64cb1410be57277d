from __future__ import annotations

import fcntl
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.show import show
from assay.errors import RunFolderError
from assay.evaluation import EvalRow, EvaluationFolder
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.render import load_renderer
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

ANSWER = "4 \x1b[31m[bold]"
"""Hostile: a colour code for the terminal and markup for the library that prints."""

app = typer.Typer()
app.command()(show)


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    folder = tmp_path / "runs" / "demo"
    folder.mkdir(parents=True)
    renderer = load_renderer(tiny_model)
    prompt = renderer.render([Message("user", "2+2?")])
    # Byte tokens: the letters of the answer, rendered as a message and cut out again.
    rendered = renderer.render([Message("user", "2+2?"), Message("assistant", ANSWER)])
    answer = rendered[len(prompt) : len(prompt) + len(ANSWER)]
    task = Task("arithmetic", (Message("user", "2+2?"),), "4", complexity=1, horizon=1)
    with RunStore(folder) as store:
        for step in range(3):
            turn = Turn(
                prompt,
                False,
                Completion(answer, (-0.5,) * len(answer), "stop", ((0, 0),)),
                Message("assistant", ANSWER),
            )
            rollouts = tuple(
                Rollout(task.task_id, step, i, (turn,), Ending(EndingKind.TRUNCATED, "length")) for i in range(2)
            )
            scores = (Score.solved(parts={"correct": 0.75, "form": 0.25}), Score.not_measured("timeout"))
            gaps = {(step, 0): [-0.25] * len(answer)}
            store.record_step(
                step, {"policy/entropy_nats": 2.0 - step, "odd/metric": math.nan, "reward/part/form": 0.25}
            )
            store.record_groups(step, [Group(step, task, rollouts, scores)], renderer.decode, gaps)
        store.record_evaluation(
            BEFORE_TRAINING,
            split="test",
            decoding="greedy",
            reading="strict",
            accuracy=0.125,
            low=0.1,
            high=0.15,
            num_tasks=99,
        )
        store.record_event(1, "level", "advanced to c2 \x07")
    summary = {
        "status": "finished",
        "gain": {"value": 0.5, "low": 0.25, "high": 0.75, "decoding": "greedy", "reading": "strict"},
        "model_folder": str(tiny_model),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def output(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    return result.output


@pytest.mark.parametrize("name", ["demo", "latest", "FOLDER"])
def test_the_overview_says_how_the_run_went(run: Path, name: str) -> None:
    text = output(str(run) if name == "FOLDER" else name)
    assert "finished" in text
    assert "+50.0 points [+25.0, +75.0] (greedy strict)" in text
    for title in ("Mean reward", "Policy entropy", "Sampler-trainer gap"):
        assert title in text
    assert "truncated (length)" in text
    assert "not measured" in text
    assert "12.5%" in text
    assert "step 2  level: advanced to c2 \\x07" in text


def test_rollouts_are_shown_with_their_masks_and_parts(run: Path) -> None:
    text = output("demo", "--step", "2", "--member", "0")
    assert "2+2?<|im_end|>" in text
    assert "[[4 \\x1b[31m[bold]]]" in text  # trained on: between brackets, hostile bytes visible, markup not read
    assert "1 (parts: correct 0.75, form 0.25)" in text
    assert "mean 2.5e-01, largest 2.5e-01" in text
    assert "-0.5000" in text
    assert "+2.5e-01" in text


def test_colour_marks_the_tokens_where_there_is_colour(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    result = CliRunner().invoke(app, ["demo", "--step", "2", "--member", "0"], catch_exceptions=False)
    assert "\x1b[1;32m4" in result.output  # a trained-on token
    assert "[[4" not in result.output
    assert "\x1b[31m" not in result.output  # the model's own colour code


def test_without_a_tokenizer_ids_are_shown(run: Path) -> None:
    (run / "summary.json").unlink()
    text = output("demo", "--rollouts", "--limit", "1")
    assert "no tokenizer at hand" in text
    assert "step 1, group 0, member 0" in text
    assert "response" in text
    assert "4 \\x1b[31m[bold]" in text
    assert "member 1" not in text


def test_metrics_are_explained(run: Path) -> None:
    entries = {entry["metric"]: entry for entry in json.loads(output("demo", "--metrics", "--json"))}
    assert entries["policy/entropy_nats"]["last"] == 0.0
    assert "ntropy" in entries["policy/entropy_nats"]["explanation"]
    assert entries["reward/part/form"]["last"] == 0.25
    assert entries["reward/part/form"]["explanation"].startswith("Mean of a named part of the reward")
    assert entries["odd/metric"] == {"metric": "odd/metric", "last": None, "explanation": ""}
    assert "time/tokens_per_second" in output("demo", "--metrics")


def test_curves_by_name(run: Path) -> None:
    text = output("demo", "--curves", "policy/entropy_nats")
    assert "█▅▁" in text
    assert json.loads(output("demo", "--curves", "policy/entropy_nats", "--json")) == {
        "policy/entropy_nats": [[1, 2.0], [2, 1.0], [3, 0.0]]
    }
    with pytest.raises(RunFolderError, match="did you mean policy/entropy_nats"):
        output("demo", "--curves", "policy/entropy")


def test_json_holds_what_is_shown(run: Path) -> None:
    data = json.loads(output("demo", "--json"))
    assert data["num_steps"] == 3
    assert data["summary"]["gain"]["value"] == 0.5
    assert data["solved_by_level"] == {"c1 h1": [[1, 1.0], [2, 1.0], [3, 1.0]]}
    assert [outcome["count"] for outcome in data["outcomes"]] == [3, 3]
    (rollout,) = json.loads(output("demo", "--step", "3", "--member", "1", "--json"))
    assert rollout["step"] == 3
    assert rollout["verdict"] == "not_measured"
    assert rollout["value"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "4"], r"the run has no rollouts of step 4; there are those of step 1 to 3$"),
        (["--group", "7"], r"the run has no rollouts of group 7; there are those of group 0 to 2$"),
        (["--member", "2"], r"the run has no rollouts of member 2; there are those of member 0 to 1$"),
        (["--step", "2", "--group", "0"], r"step 2 has no rollouts of group 0; there are those of group 1$"),
        (["--step", "2", "--group", "1", "--member", "5"], r"step 2, group 1 has no rollouts of member 5; "),
        (["--step", "4", "--json"], r"step 1 to 3$"),
    ],
)
def test_a_place_without_rollouts_is_an_error_that_says_which_have_some(
    run: Path, options: list[str], said: str
) -> None:
    with pytest.raises(RunFolderError, match=said):
        output("demo", *options)


def test_steps_are_counted_as_the_console_counts_them(run: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--step", "0"])
    assert result.exit_code == 2
    assert "step 1, group 0" in output("demo", "--step", "1")


def test_an_empty_run_is_shown(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    assert "ended without a summary" in output(str(tmp_path))
    with pytest.raises(RunFolderError, match="the run has no rollouts yet"):
        output(str(tmp_path), "--rollouts")


@pytest.mark.parametrize("earlier", [None, "interrupted", "finished"])
def test_a_run_is_running_while_its_folder_is_locked(run: Path, earlier: str | None) -> None:
    """Another process holds the lock, as one that trains does; the summary is that of an earlier leg."""
    if earlier is None:
        (run / "summary.json").unlink()
    else:
        (run / "summary.json").write_text(json.dumps({"status": earlier, "num_steps": 3}))
    code = (
        "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    holds = [sys.executable, "-c", code, str(run / "run.lock")]
    with subprocess.Popen(holds, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        # Twice: looking takes no lock that is kept.
        for _ in range(2):
            assert re.search(r"status +running\n", re.sub(r" +\n", "\n", output("demo")))
            assert json.loads(output("demo", "--json"))["status"] == "running"
        holder.stdin.close()
    assert json.loads(output("demo", "--json"))["status"] == (earlier or "ended without a summary")
    with (run / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_resumed_run_that_was_killed_is_told_from_its_earlier_leg(run: Path) -> None:
    (run / "summary.json").write_text(json.dumps({"status": "finished", "num_steps": 2}))
    assert "finished, then resumed, and ended without a summary" in output("demo")


def test_a_missing_run_gets_the_nearest_names(run: Path) -> None:
    with pytest.raises(RunFolderError, match=r"'dmo' is no run; did you mean demo\?"):
        output("dmo")


def test_the_command_is_known_without_torch() -> None:
    code = "import sys, assay.cli.show; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def several_turns() -> Group:
    call = {"type": "function", "function": {"name": "ask", "arguments": {"number": 3}}}
    first = Turn(
        (1, 2),
        False,
        Completion((5, 6, 7), (-0.5,) * 3, "stop", ((0, 0),)),
        Message("assistant", "is it 3?", (call,), call_errors=("no such tool: asc\x1b[31m",)),
        (Message("tool", "Lower. \x1b[31m", name="ask"),),
        env_reward=0.25,
        state="0 to 9",
    )
    second = Turn((8,), False, Completion((9,), (-1.0,), "length", ((0, 0),)), Message("assistant", "2"))
    task = Task("guess", (Message("user", "Guess."),), "2")
    ending = Ending(EndingKind.BROKEN, "OSError", "environment")
    rollout = Rollout(task.task_id, 9, 0, (first, second), ending)
    return Group(9, task, (rollout,), (Score.not_measured("OSError"),))


def test_turns_are_told_one_by_one(run: Path) -> None:
    with RunStore(run) as store:
        store.record_groups(1, [several_turns()], lambda ids: "text")
    shown = output("demo", "--rollouts", "--group", "9")
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    first, second = lines.index("turn 1, state 0 to 9"), lines.index("turn 2, prompt rewritten: a new sample")
    told, after = lines[first:second], lines[second:]
    assert "call ask(number=3)" in told
    assert "call error no such tool: asc\\x1b[31m" in told
    assert "tool ask Lower. \\x1b[31m" in told
    assert "reward 0.25" in told
    assert "tokens 2 masked, 3 sampled" in told
    assert "reward -" in after, "the environment paid nothing, which is not 0"
    assert "tokens 1 masked, 1 sampled, ended by: length" in after
    assert "ended broken (OSError), at the boundary: environment" in lines
    (marked,) = [line for line in told if "[[" in line]
    assert (marked.count("[["), marked.count("]]")) == (1, 1), "what was sampled is marked, turn by turn"


def test_the_overview_says_at_which_boundary_rollouts_broke(run: Path) -> None:
    with RunStore(run) as store:
        store.record_groups(1, [several_turns()], lambda ids: "text")
    assert "broken (OSError, at the environment)" in output("demo")
    (found,) = [each for each in json.loads(output("demo", "--json"))["outcomes"] if each["ending"] == "broken"]
    assert (found["boundary"], found["count"]) == ("environment", 1)


def test_turns_are_told_without_a_tokenizer(run: Path) -> None:
    (run / "summary.json").write_text("{}")
    with RunStore(run) as store:
        store.record_groups(1, [several_turns()], lambda ids: "text")
    shown = output("demo", "--rollouts", "--group", "9")
    assert "1 2 [[5 6 7 ]]" in shown
    assert "8 [[9 ]]" in shown
    assert "is it 3?" in shown, "ids alone say nothing to people"


def test_turns_are_in_the_json(run: Path) -> None:
    with RunStore(run) as store:
        store.record_groups(1, [several_turns()], lambda ids: "text")
    (rollout,) = json.loads(output("demo", "--group", "9", "--json"))
    assert [turn["env_reward"] for turn in rollout["turns"]] == [0.25, None]
    assert rollout["turns"][0]["message"]["tool_calls"][0]["function"]["name"] == "ask"


def test_attempts_of_an_evaluation_are_told_turn_by_turn(tmp_path: Path) -> None:
    group = several_turns()
    score = Score.failed("wrong", parts={"reports_right": 0.5})
    with EvaluationFolder(tmp_path / "eval", {}, {}) as kept:
        for sample in (1, 0):
            rollout = replace(group.rollouts[0], member=sample)
            kept.append(EvalRow.of(group.task, 0, rollout, {"strict": score}))
    shown = output(str(tmp_path / "eval"), "--limit", "1")
    assert "sample 1" in shown
    assert "sample 2" not in shown
    assert "call: ask(number=3)" in shown
    assert "tool ask: Lower. \\x1b[31m" in shown
    assert "turn 2, prompt rewritten: a new sample" in shown
    assert "ended: broken: OSError, at the boundary: environment" in shown
    assert "score, strict: failed, wrong, value 0, reports_right 0.5" in shown
    (row,) = json.loads(output(str(tmp_path / "eval"), "--limit", "1", "--json"))
    assert (row["sample"], len(row["turns"])) == (0, 2)
    with pytest.raises(RunFolderError, match="leave out all but --limit and --json"):
        output(str(tmp_path / "eval"), "--step", "1")


def test_a_store_with_pages_lost_in_the_middle(run: Path) -> None:
    store = run / "run.sqlite"
    whole = store.read_bytes()
    size = int.from_bytes(whole[16:18], "big")
    store.write_bytes(whole[:size] + b"\xff" * (len(whole) - size))
    for arguments in ([], ["--metrics"], ["--step", "1", "--group", "0"]):
        found = CliRunner().invoke(app, [str(run), *arguments])
        assert isinstance(found.exception, RunFolderError), arguments
        assert re.search(r"run.sqlite cannot be read .*copy it once more", str(found.exception))
