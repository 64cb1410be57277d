"""`assay eval openai:MODEL` and `assay demonstrate`, as a user runs them, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import load
from assay.endpoints import Replies
from assay.errors import AssayError, ConfigError, ContractError, DataError, EndpointError
from assay.launch import build_run
from assay.loop import train
from assay.recipe import RunConfig
from chat_server import Answer, ChatServer, completion, failure

KEY = "sk-abcdefghijklmnop0123456789"
QUICK = ("--complexity", "1,2", "--horizon", "1", "--num-tasks", "6")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def answer_right(body: dict[str, Any], number: int) -> Answer:
    """Works the sum out."""
    question = body["messages"][-1]["content"]
    expression = "".join(c for c in question.replace("×", "*") if c in "0123456789+-*() ").strip()
    return completion(str(eval(expression, {"__builtins__": {}})))


def scores(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def evaluate(server: ChatServer, out: Path, *options: object) -> str:
    return run("eval", "openai:org/m", "--base-url", server.url, *QUICK, "--output", out, *options)


def test_measures_a_model_at_an_endpoint(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", chat_server.url)
    chat_server.answer = answer_right
    out = tmp_path / "out"
    printed = run("eval", "openai:m", *QUICK, "--output", out, "--input-price", 1000, "--output-price", 2000)
    kept = scores(out)
    assert kept["readings"]["strict"]["accuracy"]["value"] == 1.0
    assert kept["asked"]["replies"] == kept["num_samples"] == len(chat_server.bodies)
    assert kept["asked"]["cost"] == pytest.approx(len(chat_server.bodies) * (10 * 1000 + 5 * 2000) / 1e6)
    assert kept["mean_tokens"] == 5
    assert kept["settings"]["endpoint"]["url"] == chat_server.url
    assert "a second" in printed
    assert f"{kept['asked']['cost']:.4f}" in printed
    assert chat_server.headers[0]["Authorization"] == f"Bearer {KEY}"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in printed


def test_a_sample_that_cannot_be_had_is_not_measured_and_tried_again_later(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: failure(500, "hm") if number == 2 else answer_right(body, number)
    out = tmp_path / "out"
    options = ("--max-retries", 0, "--in-flight", 1)
    printed = evaluate(chat_server, out, *options)
    assert "1 of 12 samples were not measured under strict" in printed.replace("\n", " ")
    assert scores(out)["readings"]["strict"]["accuracy"]["value"] == 1.0, "an unknown is no failure"
    chat_server.answer = answer_right
    assert "11 of 12 samples were there before" in evaluate(chat_server, out, *options)
    assert len(chat_server.bodies) == 13
    assert scores(out)["readings"]["strict"]["num_not_measured"] == 0


def test_every_odd_answer_is_a_counted_outcome(chat_server: ChatServer, tmp_path: Path):
    odd = [
        completion("half", finish_reason="content_filter"),
        completion("", message={"content": None, "refusal": "I will not"}),
        completion("", message={"content": None, "tool_calls": [{}]}),
        completion(None),
        completion("4", finish_reason="length", usage={"prompt_tokens": 1, "completion_tokens": 256}),
        completion("4", usage=None),
    ]
    chat_server.answer = lambda body, number: odd[number] if number < len(odd) else answer_right(body, number)
    evaluate(chat_server, tmp_path / "out")
    kept = scores(tmp_path / "out")
    assert kept["endings"] == {
        "finished": 7,
        "truncated: content_filter": 1,
        "finished: refusal": 1,
        "finished: tool_calls": 1,
        "finished: empty": 1,
        "truncated: length": 1,
    }
    assert kept["asked"]["without_usage"] == 1
    assert {row["num_tokens"] for row in rows(tmp_path / "out")} == {5, 256, None}


def test_a_refusal_stops_with_the_remedy(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: failure(401, "Incorrect API key provided")
    with pytest.raises(EndpointError, match="401: Incorrect API key provided; check the key"):
        evaluate(chat_server, tmp_path / "out")


def test_the_cost_stays_below_its_limit_over_all_legs(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = answer_right
    out = tmp_path / "out"
    prices = ("--input-price", 1e6, "--output-price", 1e6, "--max-new-tokens", 5, "--in-flight", 2)
    for _ in range(2):  # the second leg finds nothing left to spend
        with pytest.raises(EndpointError, match=r"over max_cost, 150\."):
            evaluate(chat_server, out, *prices, "--max-cost", 150)
    num_paid = len(chat_server.bodies)
    assert 0 < num_paid * 15 <= 150
    evaluate(chat_server, out, *prices, "--max-cost", 1500)
    assert len(chat_server.bodies) == 12, "nothing was paid for twice"


def test_replies_without_usage_and_failed_tries_count_in_later_legs(chat_server: ChatServer, tmp_path: Path):
    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion("half", finish_reason="abort") if number == 1 else completion("7", usage=None)

    chat_server.answer = answer
    prices = ("--input-price", 1e6, "--output-price", 1e6, "--max-new-tokens", 5, "--in-flight", 1)
    for _ in range(2):
        with pytest.raises(EndpointError, match=r"over max_cost, 400\."):
            evaluate(chat_server, tmp_path / "out", *prices, "--max-cost", 400)
        most = [sum(len(m["content"]) + 16 for m in body["messages"]) + 5 for body in chat_server.bodies]
        assert len(most) >= 2
        assert sum(most) <= 400


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from assay.cli.main import main; main()", *map(str, arguments)]


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """The command, heeding interrupts: a shell's background jobs, and what they start, ignore them."""
    return subprocess.Popen(
        command(*arguments),
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_evaluation_pays_for_no_reply_twice(chat_server: ChatServer, tmp_path: Path, number: signal.Signals):
    def answer(body: dict[str, Any], index: int) -> Answer:
        good = answer_right(body, index)
        # Slow once it is time to stop: a busy machine must not be done before the signal is there.
        good.seconds = 0.05 if index < 10 or sent.is_set() else 1.0
        return good

    sent = threading.Event()
    chat_server.answer = answer
    arguments = ("eval", "openai:m", "--base-url", chat_server.url, *QUICK, "--num-tasks", 20, "--in-flight", 3)
    arguments = (*arguments, "--output", tmp_path / "out")
    process = start(*arguments)
    deadline = time.monotonic() + 120
    while sum(chat_server.num_answered.values()) < 8 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    process.wait(60)
    while chat_server.num_at_once and time.monotonic() < deadline:
        time.sleep(0.005)
    sent.set()
    before = dict(chat_server.num_answered)
    assert 8 <= sum(before.values()) < 26
    run(*arguments)
    total = scores(tmp_path / "out")["num_samples"]
    assert len(chat_server.num_answered) == total
    twice = sum(chat_server.num_answered.values()) - total
    # Killed, at most what was in flight is lost; interrupted, what is in flight is taken in.
    assert twice <= (3 if number is signal.SIGKILL else 0)
    assert scores(tmp_path / "out")["readings"]["strict"]["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (("default", "--base-url", "http://x/v1"), ConfigError, "--base-url has no effect with default"),
        (("default", "--max-retries", 0), ConfigError, "--max-retries has no effect"),
        (("openai:m", "--base-url", "http://u:p@x/v1"), ConfigError, "no user, password or query"),
        (("openai:m", "--base-url", "localhost:8000"), ConfigError, "no address"),
        (("openai:m", "--base-url", "http://x/v1/chat/completions"), ConfigError, "leave /chat/completions out"),
        (("openai:", "--base-url", "http://x/v1"), ConfigError, "model"),
        (("openai:m",), ConfigError, "set the environment variable OPENAI_API_KEY"),
        (("openai:m", "--base-url", "http://x/v1", "--max-cost", 1), ConfigError, "no effect without prices"),
        (("openai:m", "--base-url", "http://x/v1", "--input-price", 1), ConfigError, "go together"),
        (("openai:m", "--base-url", "http://x/v1", "--body", "n=2"), ConfigError, "n is not a further field"),
        (("openai:m", "--base-url", "http://x/v1", "--device", "cpu"), ConfigError, "--device and --dtype"),
        (("openai:m", "--base-url", "http://x/v1", "--in-flight", 0), ConfigError, "max_concurrent"),
        (("openai:m", "--base-url", "http://x/v1", "--tools", "text"), ConfigError, "--tools has no effect with"),
        (("openai:m", "--base-url", "http://x/v1", "--call-forms", "xml"), ConfigError, "--call-forms has no effect"),
    ],
)
def test_rejects(
    options: tuple[Any, ...], error: type[AssayError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(error, match=says):
        run("eval", *options, *QUICK, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_endpoint_is_not_trained(tmp_path: Path):
    config = load(RunConfig, {}, ["model.source=openai:gpt"])
    with pytest.raises(ConfigError, match="its weights are not here"):
        build_run(config, tmp_path / "run")


# ---- demonstrate ----


def demonstrate(server: ChatServer, out: Path, *options: object) -> str:
    return run("demonstrate", "openai:m", "--base-url", server.url, *QUICK, "--output", out, *options)


def test_keeps_what_the_verifier_accepts(chat_server: ChatServer, tmp_path: Path):
    asked: dict[str, int] = {}

    def answer(body: dict[str, Any], number: int) -> Answer:
        question = body["messages"][-1]["content"]
        asked[question] = asked.get(question, 0) + 1
        right = answer_right(body, number)
        kind = sorted(asked).index(question) % 3
        return right if kind == 0 or (kind == 1 and asked[question] == 2) else completion("no idea")

    chat_server.answer = answer
    out = tmp_path / "demos.jsonl"
    printed = demonstrate(chat_server, out, "--tries", 2, "--in-flight", 1)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    first = [line for line in lines if line["try"] == 1]
    second = [line for line in lines if line["try"] == 2]
    assert first
    assert second
    assert len(chat_server.bodies) == 12 + (12 - len(first)), "only tasks still open are tried again"
    assert f"{len(lines)} of 12 tasks have a demonstration" in printed
    assert {body["temperature"] for body in chat_server.bodies[12:]} == {1.0}
    assert all(line["demonstration"].strip() == line["answer"] for line in lines)
    num_sent = len(chat_server.bodies)
    demonstrate(chat_server, out, "--tries", 2, "--in-flight", 1)
    assert len(chat_server.bodies) == num_sent, "a second time costs nothing"
    assert [json.loads(line) for line in out.read_text().splitlines()] == lines


def test_tries_go_on_after_an_answer_that_could_not_be_had(chat_server: ChatServer, tmp_path: Path):
    asked: list[str] = []

    def answer(body: dict[str, Any], number: int) -> Answer:
        if not number:
            return failure(500)
        warm = body["temperature"] > 0
        asked.append(body["messages"][-1]["content"])
        # Three tasks are solved at the second try only, two never.
        if asked.index(asked[-1]) in (3, 5, 7) and warm:
            return answer_right(body, number)
        return completion("no idea") if asked.index(asked[-1]) in (3, 5, 7, 8, 9) else answer_right(body, number)

    chat_server.answer = answer
    out = tmp_path / "demos.jsonl"
    options = ("--tries", 2, "--in-flight", 1, "--max-retries", 0)
    demonstrate(chat_server, out, *options)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert (len(lines), len(chat_server.bodies)) == (10, 12 + 6)
    demonstrate(chat_server, out, *options)
    assert len(chat_server.bodies) == 12 + 6 + 1, "the one that could not be had, and nothing else"
    again = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["task_id"] for line in again] == [line["task_id"] for line in lines]
    assert sum(line["try"] == 2 for line in again) == 3


def test_what_is_cut_off_is_not_kept(chat_server: ChatServer, tmp_path: Path):
    def answer(body: dict[str, Any], number: int) -> Answer:
        text = json.loads(answer_right(body, number).content)["choices"][0]["message"]["content"]
        return completion(f"{text} is the answer, and", finish_reason="stop" if number else "length")

    chat_server.answer = answer
    printed = demonstrate(chat_server, tmp_path / "demos.jsonl", "--in-flight", 1)
    assert "1 accepted, but truncated" in printed
    assert len((tmp_path / "demos.jsonl").read_text().splitlines()) == 11


def test_nothing_accepted_is_an_error_that_says_where_to_look(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: completion("no idea")
    with pytest.raises(DataError, match=r"none of 12 answers .*demos.jsonl.work"):
        demonstrate(chat_server, tmp_path / "demos.jsonl")
    assert not (tmp_path / "demos.jsonl").exists()


def test_the_demonstrations_can_be_imitated_by_the_recipe_that_is_printed(
    chat_server: ChatServer, tmp_path: Path, tiny_model: Path
):
    chat_server.answer = answer_right
    out = tmp_path / "demos.jsonl"
    printed = demonstrate(chat_server, out, "--complexity", 2, "--num-tasks", 60)
    recipe = tmp_path / "recipe.toml"
    quick = "num_steps = 2\ngroups_per_step = 4\nnum_threads = 1\ncurriculum = { levels = [{ complexity = 2 }] }\n"
    quick += f'model = {{ source = "{tiny_model}", compute_dtype = "fp32" }}\n'
    quick += "evaluation = { validation_tasks = 2, test_tasks = 2, test_max_new_tokens = 4 }\n"
    recipe.write_text(quick + printed.partition("assay train:")[2])
    result = asyncio.run(train(build_run(load(RunConfig, recipe), tmp_path / "run")))
    assert result.status == "finished"


def test_a_run_that_ends_takes_in_the_verdicts_under_way(chat_server: ChatServer, tmp_path: Path, tiny_model: Path):
    refused = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Answer:
        material = re.compile(r"\[(?:reference answer|response) \w+\]\n(.*?)\n\[end", re.DOTALL)
        gold, response = material.findall(body["messages"][1]["content"])
        if gold == response:
            return completion("VERDICT: correct")
        if not refused.is_set():
            refused.set()
            return Answer(failure(401, "revoked").content, 401, seconds=0.2)
        return completion("VERDICT: incorrect", seconds=0.6)

    chat_server.answer = answer
    replies = tmp_path / "judge.sqlite"
    judge = {"name": "judge", "model": "m", "base_url": chat_server.url, "replies": str(replies)}
    settings: dict[str, Any] = {
        "num_steps": 1,
        "num_threads": 1,
        "groups_per_step": 2,
        "group_size": 4,
        "sampling": {"max_new_tokens": 8},
        "verifier": judge,
        "model": {"source": str(tiny_model), "compute_dtype": "fp32"},
        "evaluation": {"validation_tasks": 2, "test_tasks": 2, "test_max_new_tokens": 4},
    }
    with pytest.raises(EndpointError, match="revoked"):
        asyncio.run(train(build_run(load(RunConfig, settings), tmp_path / "run")))
    assert refused.is_set()
    assert len(Replies(replies)) == len(chat_server.bodies) - 1, "all but the one that was refused"


def test_a_judge_is_checked_and_scores_files(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: completion("VERDICT: incorrect")
    judge = ("--set", "model=m", "--set", f"base_url={chat_server.url}", "--set", f"replies={tmp_path / 'judge'}")
    with pytest.raises(ContractError, match="14 verdicts are wrong"):  # the right answers, seven of them respelt
        run("check", "verifiers", "judge", *judge)
    rows_file = tmp_path / "rows.jsonl"
    rows_file.write_text('{"id": 1, "question": "3 + 4?", "response": "7", "answer": "7"}\n')
    run("verify", "judge", "--input", rows_file, "--output", tmp_path / "scored.jsonl", *judge)
    assert json.loads((tmp_path / "scored.jsonl").read_text())["outcome"] == "failed"
    assert "3 + 4?" in chat_server.bodies[-1]["messages"][1]["content"]


def verify(server: ChatServer, folder: Path, responses: list[str], *options: object) -> tuple[Any, ...]:
    """Arguments of a judge's work over responses, one at a time."""
    rows_file = folder / "rows.jsonl"
    rows_file.write_text("".join(json.dumps({"id": r, "response": r, "answer": "7"}) + "\n" for r in responses))
    settings = ("model=m", f"base_url={server.url}", f"replies={folder / 'judge'}", "max_retries=0", *options)
    chosen = [argument for setting in settings for argument in ("--set", setting)]
    return ("verify", "judge", "--input", rows_file, "--output", folder / "scored.jsonl", *chosen)


def test_rows_that_were_not_measured_are_scored_again_in_their_places(chat_server: ChatServer, tmp_path: Path):
    def answer(body: dict[str, Any], number: int) -> Answer:
        return (
            failure(500) if "two" in body["messages"][1]["content"] and number < 3 else completion("VERDICT: correct")
        )

    chat_server.answer = answer
    arguments = verify(chat_server, tmp_path, ["one", "two", "three"], "max_concurrent=1")
    outcomes = []
    for _ in range(2):
        run(*arguments)
        lines = (tmp_path / "scored.jsonl").read_text().splitlines()
        outcomes.append([(json.loads(line)["id"], json.loads(line)["outcome"]) for line in lines])
    assert outcomes[0] == [("one", "solved"), ("two", "not_measured"), ("three", "solved")]
    assert outcomes[1] == [("one", "solved"), ("two", "solved"), ("three", "solved")]
    assert len(chat_server.bodies) == 4


def test_a_file_goes_on_at_a_higher_limit(chat_server: ChatServer, tmp_path: Path):
    chat_server.answer = lambda body, number: completion("VERDICT: correct")
    prices = ("input_price=1.0", "output_price=1.0", "max_concurrent=1")
    responses = ["one", "two", "three"]
    with pytest.raises(EndpointError, match="with a higher limit goes on"):
        run(*verify(chat_server, tmp_path, responses, *prices, "max_cost=0.000001"))
    run(*verify(chat_server, tmp_path, responses, *prices, "max_cost=1.0"))
    assert len((tmp_path / "scored.jsonl").read_text().splitlines()) == 3


def test_an_interrupted_judge_pays_for_no_verdict_twice(chat_server: ChatServer, tmp_path: Path):
    sent = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Answer:
        if number >= 5:
            sent.wait(120)
        return completion("VERDICT: correct", seconds=0.3)

    chat_server.answer = answer
    arguments = verify(chat_server, tmp_path, [f"response {i}" for i in range(12)], "max_concurrent=3")
    process = start(*arguments)
    deadline = time.monotonic() + 120
    while len(chat_server.bodies) < 6 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    sent.set()
    process.wait(60)
    assert 6 <= len(chat_server.bodies) < 12
    run(*arguments)
    assert len(chat_server.bodies) == 12, "what was under way was taken in"
