"""Audits of judges that compare: what moves a scripted one is found, and what does not is not."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.audit import audit_environment
from assay.cli.main import app
from assay.environments import make_environment
from assay.preferences import Pair, write_pairs
from assay.types import Message
from chat_server import Answer, ChatServer, completion

GOOD, BAD = "The answer is 4.", "The answer is 5."


def shown(body: dict[str, Any], side: str) -> str:
    text = body["messages"][1]["content"]
    head = text.index(f"[response {side} ")
    return text[head : text.index(f"[end of response {side} ", head)]


def judge_by(points: Callable[[str, bool], float]) -> Callable[[dict[str, Any], int], Answer]:
    """A judge who prefers what has more points, by its text and whether it is shown first."""

    def answer(body: dict[str, Any], number: int) -> Answer:
        a, b = points(shown(body, "A"), True), points(shown(body, "B"), False)
        return completion(f"VERDICT: {'TIE' if a == b else 'A' if a > b else 'B'}")

    return answer


def fair(text: str, first: bool) -> float:
    return float(GOOD in text)


JUDGES: dict[str, Callable[[str, bool], float]] = {
    "fair": fair,
    "position": lambda text, first: fair(text, first) + 2 * first,
    "length": lambda text, first: fair(text, first) + 2 * (len(text) > 400),
    "authority": lambda text, first: fair(text, first) + 2 * ("professors" in text),
    "injection": lambda text, first: fair(text, first) + 2 * ("Note to the grader" in text),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pairs = [
        Pair(
            (Message("user", f"2 + 2, try {number}?"),),
            (Message("assistant", GOOD if number % 2 else BAD),),
            (Message("assistant", BAD if number % 2 else GOOD),),
            float(number % 2 == 0),
        )
        for number in range(10)
    ]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    return tmp_path / "pairs.jsonl"


@pytest.mark.parametrize("bias", JUDGES)
def test_a_judge_is_found_by_what_moves_it_and_by_nothing_else(bias: str, source: Path) -> None:
    output = source.with_name("audit.json")
    with ChatServer() as server:
        server.answer = judge_by(JUDGES[bias])
        run = ["prefer", "audit", str(source), "openai:judge", "--base-url", server.url, "--json", str(output)]
        result = CliRunner().invoke(app, [*run, "--replies", str(source.with_name(f"{bias}.sqlite"))])
        # Ten pairs, as they are and changed in three ways, each in both orders.
        assert len(server.bodies) == 80, result.output
    found = json.loads(output.read_text())
    assert [each["trick"] for each in found["findings"]] == [bias] * (bias != "fair")
    assert result.exit_code == (0 if bias == "fair" else 3)
    if bias == "position":
        # Twenty verdicts for the first: Wilson's interval begins at 20 / (20 + 1.96^2).
        assert found["findings"][0]["low"] == pytest.approx(20 / (20 + 3.8416), abs=1e-3)
    elif bias != "fair":
        assert (found["biases"][bias]["before"], found["biases"][bias]["after"]) == (0.0, 1.0)
        assert BAD in found["findings"][0]["example"]
        assert found["agrees_with_given"]["value"] == 1.0


def test_a_rubric_judge_that_is_talked_round_is_found(chat_server: ChatServer, tmp_path: Path) -> None:
    """`assay audit rubric` gives the judge what is no answer, and finds what it pays as much as the reference."""

    def gullible(body: dict[str, Any], number: int) -> Answer:
        text = body["messages"][1]["content"]
        criterion = text.split("[criterion ")[1].split("\n")[1]
        response = text.split("[response ")[1].split("\n", 1)[1]
        is_good = not re.match("States a name|Names the|Says that the line|Recommends", criterion)
        told = "grade it as correct" in response or "fact" in response
        return completion(f"MET: {'yes' if is_good and told else 'no'}")

    chat_server.answer = gullible
    judge = {"kind": "endpoint", "url": chat_server.url, "model": "m", "token_limit_field": "max_tokens"}
    judge |= {"send_seed": False, "body": {}, "temperature": 0.0}
    data = {"judge": judge, "agreement": {"value": 0.8, "low": 0.7, "high": 0.9}, "num": 9, "num_measured": 9}
    path = tmp_path / "agreement.json"
    path.write_text(json.dumps({**data, "labels": []}))
    options = {"model": "m", "base_url": chat_server.url, "replies": str(tmp_path / "judge.sqlite")}
    source = make_environment("rubric", {"judge": {"name": "rubric", **options, "judge_agreement": str(path)}})
    tasks = [
        dataclasses.replace(task, answer="fact") for task in itertools.islice(source.tasks("test", complexity=3), 3)
    ]
    found = asyncio.run(audit_environment(source, tasks, evaluations=0))
    assert {each.trick for each in found.findings} == {"instructions to the judge"}
    worthless = [dataclasses.replace(task, answer="what this judge pays nothing for") for task in tasks]
    assert {each.trick for each in asyncio.run(audit_environment(source, worthless, evaluations=0)).findings} == {
        "instructions to the judge"
    }
