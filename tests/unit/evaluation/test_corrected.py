"""A judge's mean corrected by people: numbers of the prediction-powered mean, and `assay eval` with labels."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError, ConfigError, DataError
from assay.evaluation import EvalRow, Evaluation
from assay.evaluation.corrected import corrected_mean, rows_to_label
from assay.statistics import clustered_proportion, prediction_powered_mean
from assay.types import Message, Score, Task
from chat_server import Answer, ChatServer, completion


def row(task: int, sample: int, judged: float | None) -> EvalRow:
    score = Score.not_measured("no") if judged is None else Score.graded(judged)
    return EvalRow(
        task_id=f"t{task}",
        task_index=task,
        sample=sample,
        domain="rubric",
        level="c2 h1",
        complexity=2,
        horizon=1,
        prompt="user: ?",
        answer="",
        response=f"{task} {sample}",
        ending="finished",
        num_tokens=1,
        scores={"strict": score},
    )


def people(labels: dict[str, float]) -> Any:
    return lambda row: Score.graded(labels[row.response]) if row.response in labels else None


def test_it_is_the_prediction_powered_mean_over_tasks() -> None:
    # Task 0 is labelled in one of two samples: its other sample counts for nothing. Task 5 was not measured.
    judged = {0: (1.0, 0.5), 1: (0.5, 0.5), 2: (1.0, 1.0), 3: (0.0, 1.0), 4: (0.25, 0.75), 5: (None, None)}
    rows = [row(task, sample, values[sample]) for task, values in judged.items() for sample in (0, 1)]
    labels = {"0 0": 0.5, "1 0": 0.5, "1 1": 0.0, "2 1": 1.0, "5 0": 1.0}
    found = corrected_mean(Evaluation(tuple(rows)), "strict", people(labels))
    expected = prediction_powered_mean([0.5, 0.25, 1.0], [1.0, 0.5, 1.0], [0.5, 0.5])
    assert found.interval == expected.interval
    assert (found.num_labels, found.num_labelled_tasks, found.num_tasks) == (4, 3, 5)
    assert found.judge_bias == pytest.approx((0.5 + 0.25 + 0.0) / 3)
    assert found.judge_mean == pytest.approx((1.0 + 0.5 + 1.0 + 0.5 + 0.5) / 5)
    assert "by 4 labels of 3 of 5 tasks; the judge alone says 0.7, its bias is +0.25" in found.told()


def test_a_judge_that_is_too_kind_is_corrected() -> None:
    rng = random.Random(0)
    truth = {f"{task} 0": float(rng.random() < 0.3) for task in range(300)}
    rows = [row(task, 0, 1.0 if rng.random() < 0.5 else truth[f"{task} 0"]) for task in range(300)]
    labels = dict(list(truth.items())[:60])
    found = corrected_mean(Evaluation(tuple(rows)), "strict", people(labels))
    mean = sum(truth.values()) / 300
    assert found.judge_mean > found.interval.high
    assert found.interval.low < mean < found.interval.high


def test_with_every_task_labelled_people_alone_count() -> None:
    rows = [row(task, 0, 1.0) for task in range(4)]
    found = corrected_mean(Evaluation(tuple(rows)), "strict", people({f"{task} 0": task % 2 for task in range(4)}))
    assert (found.interval, found.judge_weight) == (clustered_proportion([0, 1, 0, 1], 4), 0.0)


def test_too_few_labels_and_scores_beyond_the_range_are_refused() -> None:
    rows = tuple(row(task, 0, 0.5) for task in range(4))
    with pytest.raises(DataError, match=r"1 tasks of this evaluation have a label and a score under 'strict'; two"):
        corrected_mean(Evaluation(rows), "strict", people({"0 0": 1.0}))
    with pytest.raises(DataError, match=r"the judge scored 3 under 'strict'; labels correct scores from 0 to 1"):
        corrected_mean(Evaluation((row(0, 0, 3.0),)), "strict", people({}))


def test_what_is_to_be_labelled_comes_in_random_order_without_the_judges_word() -> None:
    criteria = [{"name": "a", "criterion": "A.", "weight": 1}]
    task = Task("rubric", (Message("user", "?"),), "ref", metadata={"world": {"criteria": criteria, "versions": 1}})
    rows = tuple(EvalRow(**{**vars(row(0, sample, 0.5)), "task_id": task.task_id}) for sample in range(30))
    found = list(rows_to_label(Evaluation(rows), [task]))
    assert {each["response"] for each in found} == {each.response for each in rows}
    assert [each["response"] for each in found] != [each.response for each in rows]
    assert found[0].keys() == {"task_id", "prompt", "reference", "criteria", "response", "met"}
    assert (found[0]["met"], found[0]["reference"], found[0]["prompt"]) == ({"a": None}, "ref", "?")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))


def model_and_judge(body: dict[str, Any], number: int) -> Answer:
    """Writes an answer, or finds every criterion met."""
    is_judge = body["messages"][0]["role"] == "system"
    return completion("I think so.\nMET: yes" if is_judge else "It was decided.")


def evaluated(server: ChatServer, tmp_path: Path, *more: str) -> str:
    judge = {"kind": "endpoint", "url": server.url, "model": "judge", "token_limit_field": "max_tokens"}
    judge |= {"send_seed": False, "body": {}, "temperature": 0.0}
    data = {"judge": judge, "agreement": {"value": 0.8, "low": 0.7, "high": 0.9}, "num": 50, "num_measured": 50}
    (tmp_path / "agreement.json").write_text(json.dumps({**data, "labels": [{"file": "llmbar.json"}]}))
    settings = {
        "judge.name": "rubric",
        "judge.model": "judge",
        "judge.base_url": server.url,
        "judge.judge_agreement": tmp_path / "agreement.json",
        "judge.replies": tmp_path / "judge.sqlite",
    }
    arguments = ["eval", "openai:writer", "--base-url", server.url, "--environment", "rubric", "--output"]
    arguments += [str(tmp_path / "out"), "--num-tasks", "4", "--complexity", "2", "--horizon", "1"]
    arguments += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    result = CliRunner().invoke(app, [*arguments, *more])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.exception or result.output
    return " ".join(result.output.split())


def test_an_evaluation_is_corrected_by_the_labels_that_it_asked_for(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = model_and_judge
    said = evaluated(chat_server, tmp_path)
    assert "the judge rubric agrees with people on 80.0 % [70.0, 90.0] of 50 judgements (llmbar.json)" in said
    assert "parts of the score, strict" in said
    to_label = tmp_path / "out" / "to_label.jsonl"
    rows = [json.loads(line) for line in to_label.read_text().splitlines()]
    assert len(rows) == 4
    for each in rows[:2]:
        each["met"] = {"fact 1": False, "wrong": False}
    to_label.write_text("".join(json.dumps(each) + "\n" for each in rows))
    num_asked = len(chat_server.bodies)
    said = evaluated(chat_server, tmp_path, "--labels", str(to_label))
    assert len(chat_server.bodies) == num_asked, "nothing is sampled or judged again"
    # The judge finds the good criterion met and the bad one too: (2 - 2) / 2 = 0, which is what people say.
    assert "corrected by people, strict: 0 [0, " in said
    assert "by 2 labels of 2 of 4 tasks; the judge alone says 0, its bias is +0" in said
    corrected = json.loads((tmp_path / "out" / "scores.json").read_text())["corrected"]["strict"]
    assert (corrected["num_labels"], corrected["interval"]["value"]) == (2, 0.0)
    assert json.loads(to_label.read_text().splitlines()[0])["met"]["wrong"] is False, "what was filled in stays"


def test_labels_are_read_before_anything_is_sampled(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = model_and_judge
    with pytest.raises(DataError, match=r"nowhere\.jsonl cannot be read"):
        evaluated(chat_server, tmp_path, "--labels", str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(ConfigError, match="about another judge: model is 'judge' there and 'other' here"):
        evaluated(chat_server, tmp_path, "--set", "judge.model=other")
    assert not chat_server.bodies
