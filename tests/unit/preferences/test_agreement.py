"""Agreement of judges with people: numbers worked by hand, and the file that a rubric's judge is used with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError, ConfigError, DataError
from assay.preferences import Pair, write_pairs
from assay.preferences.agreement import AgreementReport, JudgedByBoth, labelled_pairs, reward_model_agreement
from assay.statistics import clustered_proportion
from assay.types import Message
from assay.verifiers import RewardModelScore, RubricJudge
from chat_server import Answer, ChatServer, completion


def pair(first: str, second: str, preference: float, prompt: str) -> Pair:
    return Pair((Message("user", prompt),), (Message("assistant", first),), (Message("assistant", second),), preference)


def test_agreement_is_the_mean_over_prompts_and_a_tie_is_half() -> None:
    said = [("p", 1.0, 1.0), ("p", 1.0, 0.0), ("q", 0.0, 0.5), ("r", 0.0, 0.0), ("s", 1.0, None)]
    report = AgreementReport([JudgedByBoth("f", cluster, people, judge, "why") for cluster, people, judge in said])
    # Prompt p: (1 + 0) / 2; q: 1/2; r: 1. Mean 2/3, of four judgements.
    assert report.agreement == clustered_proportion([0.5, 0.5, 1.0], 4)
    assert report.to_dict()["agreement"]["value"] == pytest.approx(2 / 3)
    data = report.to_dict()
    assert (data["num"], data["num_measured"], data["problems"]) == (5, 4, {"why": 1})
    # Krippendorff, interval: pairs of values (1,1), (1,0), (0,.5), (0,0). D_o = (0 + 1 + .25 + 0) / 4 = .3125.
    # Eight values, sum 3.5, squares 3.25: D_e = 2 (8 * 3.25 - 3.5^2) / (8 * 7) = 27.5 / 56; alpha = 1 - D_o / D_e.
    assert report.alpha.alpha.value == pytest.approx(1 - 0.3125 * 56 / 27.5)


def test_the_order_of_a_file_says_nothing(tmp_path: Path) -> None:
    # The preferred response always stands first, as in HH-RLHF; the judge is right throughout.
    write_pairs(tmp_path / "pairs.jsonl", [pair(f"good {i}", f"bad {i}", 0.0, f"q{i}") for i in range(12)])
    model = RewardModelScore(source="none")
    report = asyncio.run(reward_model_agreement(by_words(model), labelled_pairs([str(tmp_path / "pairs.jsonl")], None)))
    assert report.agreement is not None
    assert report.agreement.value == 1.0
    assert len({each.people for each in report.judgements}) == 2
    assert report.alpha.alpha.value == 1.0


def by_words(model: RewardModelScore, max_context: int = 100) -> RewardModelScore:
    """A reward of 1 for a text with "good" in it."""
    scorer = SimpleNamespace(max_context=max_context, rewards=lambda texts: [float(1 in text) for text in texts])
    renderer = SimpleNamespace(
        render=lambda messages: [0], encode_answer=lambda text: [int(word == "good") for word in text.split()]
    )
    vars(model)["_models"] = [(scorer, renderer)]
    return model


def test_a_reward_model_has_ties_and_may_not_know(tmp_path: Path) -> None:
    pairs = [pair("good", "good too", 0.0, "a"), pair("good", "word " * 200, 0.0, "b"), pair("good", "x", 1.0, "c")]
    report = asyncio.run(reward_model_agreement(by_words(RewardModelScore(source="none")), {"f": pairs}))
    assert [each.agrees for each in report.judgements] == [0.5, None, 0.0]
    assert "too long for the reward model" in report.judgements[1].problem


def test_going_by_length_alone_is_told_beside_the_judge() -> None:
    # People prefer the shorter one in three of four; one pair is as long on both sides. (1 + 1 + 1 + 0 + 1/2) / 5.
    pairs = [pair("good", "long" * 9, 0.0, p) for p in "abc"] + [
        pair("x", "good x", 1.0, "d"),
        pair("good", "evil", 0.0, "e"),
    ]
    report = asyncio.run(reward_model_agreement(by_words(RewardModelScore(source="none")), {"f": pairs}))
    assert report.length_rule == ("shorter", clustered_proportion([1.0, 1.0, 1.0, 0.0, 0.5], 5))
    assert report.to_dict()["length_rule"]["value"] == pytest.approx(0.7)
    assert "the shorter response, whatever it says: 70.0 %" in "\n".join(report.lines())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    write_pairs(paths[0], [pair("4", "5", 0.0, f"one {number}") for number in range(6)])
    write_pairs(paths[1], [pair("4", "5", 1.0, f"two {number}") for number in range(2)])
    return paths


def run(judge: str, labels: list[Path], out: Path, *more: str) -> str:
    arguments = ["prefer", "agreement", judge, *(part for file in labels for part in ("--labels", str(file)))]
    result = CliRunner().invoke(app, [*arguments, "--output", str(out), *more])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.exception or result.output
    return " ".join(result.output.split())


def shown(body: dict[str, Any], part: str) -> str:
    return body["messages"][1]["content"].split(f"[{part} ")[1].split("\n")[1]


def prefers_4(body: dict[str, Any], number: int) -> Answer:
    return completion(f"VERDICT: {'A' if shown(body, 'response A') == '4' else 'B'}")


def test_the_command_writes_the_file_that_the_judge_is_used_with(
    files: list[Path], chat_server: ChatServer, tmp_path: Path
) -> None:
    chat_server.answer = prefers_4
    out = tmp_path / "agreement.json"
    said = run("openai:m", files, out, "--base-url", chat_server.url)
    assert len(chat_server.bodies) == 16, "both orders of eight pairs"
    assert "8 of 8 judgements have a verdict of the judge" in said
    assert "agrees with people: 75.0 %" in said
    assert "the same verdict in both orders: 100.0 %" in said
    assert "one.jsonl: 100.0 %" in said
    data = json.loads(out.read_text())
    assert (data["form"], data["agreement"]["value"], data["by_file"]["two.jsonl"]["agreement"]["value"]) == (
        "pairs",
        0.75,
        0.0,
    )
    assert [each["num"] for each in data["labels"]] == [6, 2]
    options: dict[str, Any] = {"model": "m", "base_url": chat_server.url, "judge_agreement": str(out)}
    with pytest.raises(ConfigError, match="not above least_agreement"):
        RubricJudge(**options).require_agreement()  # 75 % of eight: the lower end is below a half
    assert RubricJudge(**options, least_agreement=0.3).require_agreement().num == 8
    run("openai:m", files, out, "--base-url", chat_server.url)
    assert len(chat_server.bodies) == 16, "nothing is paid for twice"


def test_a_judge_who_goes_by_the_place_is_at_chance(files: list[Path], chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = lambda body, number: completion("VERDICT: A")
    said = run("openai:m", files, tmp_path / "out.json", "--base-url", chat_server.url)
    assert "agrees with people: 50.0 %" in said
    assert "for the response shown first: 100.0 %" in said


def test_a_judge_that_answers_nonsense_has_no_agreement(
    files: list[Path], chat_server: ChatServer, tmp_path: Path
) -> None:
    chat_server.answer = lambda body, number: completion("Both are nice.")
    with pytest.raises(DataError, match="gave no verdict on 8 judgements; nothing is written"):
        run("openai:m", files, tmp_path / "out.json", "--base-url", chat_server.url)
    assert not (tmp_path / "out.json").exists()


def labelled(path: Path, *met: dict[str, Any]) -> Path:
    criteria = [
        {"name": "sum", "criterion": "Says 4.", "weight": 2},
        {"name": "wrong", "criterion": "Lies.", "weight": -1},
    ]
    rows = [{"prompt": f"{i} + 1?", "criteria": criteria, "response": "4", "met": each} for i, each in enumerate(met)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_labels_by_criterion_measure_the_judge_as_it_is_used(
    files: list[Path], chat_server: ChatServer, tmp_path: Path
) -> None:
    chat_server.answer = lambda body, number: completion(
        f"MET: {'yes' if shown(body, 'criterion') == 'Says 4.' else 'no'}"
    )
    blank = {"sum": None, "wrong": None}
    path = labelled(tmp_path / "people.jsonl", {"sum": True, "wrong": False}, {"sum": True, "wrong": True}, blank)
    said = run("openai:m", [path], tmp_path / "out.json", "--base-url", chat_server.url)
    assert len(chat_server.bodies) == 4
    assert "agrees with people: 75.0 %" in said  # of four criteria, one is judged otherwise
    data = json.loads((tmp_path / "out.json").read_text())
    assert (data["form"], data["num"]) == ("criteria", 4)
    judge = RubricJudge(
        model="m", base_url=chat_server.url, judge_agreement=str(tmp_path / "out.json"), below="caution"
    )
    assert judge.require_agreement().num_measured == 4


def test_what_does_not_go_together_is_refused(files: list[Path], chat_server: ChatServer, tmp_path: Path) -> None:
    people = labelled(tmp_path / "people.jsonl", {"sum": True, "wrong": False})
    at = ("--base-url", chat_server.url)
    with pytest.raises(ConfigError, match="cannot be pooled"):
        run("openai:m", [*files, people], tmp_path / "out.json", *at)
    with pytest.raises(ConfigError, match="--criterion has no effect"):
        run("openai:m", [people], tmp_path / "out.json", *at, "--criterion", "better")
    ties = tmp_path / "ties.jsonl"
    write_pairs(ties, [pair("4", "5", 0.5, "q")])
    with pytest.raises(DataError, match="no pair of which people prefer one response"):
        run("openai:m", [ties], tmp_path / "out.json", *at)
    with pytest.raises(DataError, match="has no label yet"):
        run("openai:m", [labelled(tmp_path / "blank.jsonl", {"sum": None})], tmp_path / "out.json", *at)
