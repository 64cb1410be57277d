"""`assay verify` killed and interrupted, as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

KILLED_AT = ("300", "700")
REWARD = f"""
import asyncio, os, pathlib, signal

FOLDER = pathlib.Path(__file__).parent

async def reward(response, answer):
    if response in {KILLED_AT} and not (FOLDER / response).exists():
        (FOLDER / response).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if response == "slow" and not (FOLDER / "700").exists():
        await asyncio.sleep(600)
    with (FOLDER / "scored").open("a") as file:
        print(response, file=file)
    return response == answer
"""
REWARD_THAT_FAILS_AT_FIRST = """
import os, pathlib, signal

FOLDER = pathlib.Path(__file__).parent

def reward(response, answer):
    if not (FOLDER / "up").exists():
        raise OSError("the server is down")
    if response == "4" and not (FOLDER / "killed").exists():
        (FOLDER / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (FOLDER / "scored").open("a") as file:
        print(response, file=file)
    return 1.0
"""
REWARD_THAT_BLOCKS = """
import time

def reward(response, answer):
    time.sleep(600 if response == "3" else 0)
    return 1.0
"""
INTEGRAL = "\\int_0^\\infty \\frac{x^{99} \\sin(x^7) \\ln(1+x^{13})}{e^{x^3}+\\cos^{31} x} dx"


def start(folder: Path, verifier: str, responses: list[str], *arguments: str, answer: Any = "42") -> subprocess.Popen:
    rows = [{"id": number, "response": response, "answer": answer} for number, response in enumerate(responses)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ("--input", str(folder / "rows.jsonl"), "--output", str(folder / "out.jsonl"))
    command = [sys.executable, "-m", "assay.cli.main", "verify", verifier, *files, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_python(folder: Path, reward: str, responses: list[str]) -> subprocess.Popen:
    (folder / "reward.py").write_text(reward)
    return start(folder, "python", responses, "--set", f"function={folder}/reward.py:reward", "--set", "gold_format=")


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("first", ["slow", "0"])
def test_a_kill_loses_no_row_and_none_is_scored_twice(tmp_path: Path, first: str) -> None:
    responses = [first, *map(str, range(1, 1000))]
    for killed_at in KILLED_AT:
        process = start_python(tmp_path, REWARD, responses)
        _, said = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, said
        # Behind a slow row there is no row in its turn; all of them wait on disk.
        assert ids(tmp_path / "out.jsonl") == ([] if first == "slow" else list(range(int(killed_at))))
    process = start_python(tmp_path, REWARD, responses)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"{699 if first == 'slow' else 700} of 1000 rows were there before, 0 of them not measured" in said
    assert ids(tmp_path / "out.jsonl") == list(range(1000))
    assert Counter((tmp_path / "scored").read_text().split()) == Counter(responses)
    assert not (tmp_path / "out.jsonl.part").exists()


def test_a_kill_loses_no_row_that_was_scored_again(tmp_path: Path) -> None:
    responses = list("01234567")
    process = start_python(tmp_path, REWARD_THAT_FAILS_AT_FIRST, responses)
    assert "8 not_measured" in process.communicate(timeout=60)[0]
    (tmp_path / "up").touch()
    process = start_python(tmp_path, REWARD_THAT_FAILS_AT_FIRST, responses)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    process = start_python(tmp_path, REWARD_THAT_FAILS_AT_FIRST, responses)
    output, said = process.communicate(timeout=60)
    assert "8 of 8 rows were there before, 4 of them not measured" in said
    assert "4 solved, 0 failed, 0 not_measured" in output
    assert ids(tmp_path / "out.jsonl") == list(range(8))
    assert Counter((tmp_path / "scored").read_text().split()) == Counter(responses)


@pytest.mark.parametrize("verifier", ["python", "math", "code"])
def test_an_interrupt_ends_it_at_once_and_says_how_to_go_on(tmp_path: Path, verifier: str) -> None:
    if verifier == "python":
        process = start_python(tmp_path, REWARD_THAT_BLOCKS, list("01234"))
        finished = 3
    elif verifier == "math":
        responses = ["\\boxed{40+2}", f"\\boxed{{{INTEGRAL}}}", "\\boxed{41+1}"]
        process = start(tmp_path, "math", responses, "--workers", "1", "--timeout-seconds", "600")
        finished = 1
    else:
        answer = json.dumps({"cases": [{"input": "", "output": "42"}]})
        responses = ["print(42)", "while True: pass", "print(42)"]
        process = start(tmp_path, "code", responses, "--workers", "1", "--timeout-seconds", "600", answer=answer)
        finished = 1
    deadline = time.monotonic() + 60
    while len(ids(tmp_path / "out.jsonl")) < finished and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # of the 600 s of the row that is under way
    assert "stopped; the same command continues" in said
    assert "Traceback" not in said
    assert ids(tmp_path / "out.jsonl") == list(range(finished))
    assert process.returncode not in (0, -signal.SIGKILL)
