from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.environments.reasoning_gym import ReasoningGym, ReasoningGymScorer
from assay.environments.reasoning_gym.worker import JUNK
from assay.errors import ConfigError, DataError, VerifierError
from assay.types import FinishReason, Message, Score, Task, Verdict
from assay.verifiers import as_rollout, check_gold

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed"
)


def tasks_of(family: str, num_tasks: int = 3, **options: Any) -> list[Task]:
    return list(itertools.islice(ReasoningGym(family=family, options=options).tasks("train"), num_tasks))


def judge(response: str, task: Task, finish_reason: FinishReason = "stop", **options: Any) -> Score:
    scorer = validate(ReasoningGymScorer, options)
    return asyncio.run(scorer(as_rollout(response, task, finish_reason=finish_reason), task))


def test_gold_wrong_and_other_spellings_as_the_family_says() -> None:
    (task, *_) = tasks_of("chain_sum")
    assert judge(task.answer, task).verdict is Verdict.SOLVED
    assert judge(f"  {task.answer}\n", task).verdict is Verdict.SOLVED
    assert judge(f"{task.answer}.00", task).verdict is Verdict.SOLVED
    assert judge(f"{task.answer}7", task).verdict is Verdict.FAILED
    assert judge("", task).reason == "empty"


def test_where_the_answer_stands() -> None:
    (task, *_) = tasks_of("chain_sum")
    gold = task.answer
    tagged = f"It is <answer>1</answer>, no: <answer> {gold} </answer>."
    assert judge(tagged, task).verdict is Verdict.SOLVED
    assert judge(tagged, task, answer_form="tags").verdict is Verdict.SOLVED
    assert judge(gold, task, answer_form="tags").reason == "no answer"
    assert judge(f"<answer>{gold}", task).reason == "no answer"
    assert judge(f"so \\boxed{{{gold}}}", task, answer_form="box").verdict is Verdict.SOLVED
    assert judge(f"Answer: {gold}", task, answer_form="after", marker="Answer:").verdict is Verdict.SOLVED
    assert judge(gold, task, answer_form="after", marker="Answer:").reason == "no answer"
    assert judge(f"<think><answer>{gold}</answer>", task).verdict is Verdict.FAILED
    assert judge(gold, task, "length").reason == "cut off"
    assert judge(f"<answer>{gold}</answer> and", task, "length").verdict is Verdict.SOLVED
    with pytest.raises(ConfigError, match="marker is needed"):
        validate(ReasoningGymScorer, {"answer_form": "after"})
    with pytest.raises(ConfigError, match="marker has no effect"):
        validate(ReasoningGymScorer, {"marker": "="})


@pytest.mark.parametrize("form", ["bare", "tags", "box", "after"])
def test_gold_responses_pass_in_every_form(form: str) -> None:
    options = {"answer_form": form} | ({"marker": "Answer:"} if form == "after" else {})
    asyncio.run(check_gold(validate(ReasoningGymScorer, options), tasks_of("chain_sum")))


def test_a_scorer_that_accepts_anything_is_not_believed() -> None:
    # Its scorer gives any text 1.0: only the gold answer itself counts.
    for task in tasks_of("game_of_life_halting", 4):
        assert judge(task.answer, task).verdict is Verdict.SOLVED
        other = "False" if task.answer == "True" else "True"
        for response in (other, "xyzzy", f"{task.answer} or {other}"):
            assert judge(response, task, partial_credit=True).value == 0.0


def test_a_scorer_that_raises_on_junk_has_said_wrong() -> None:
    (task, *_) = tasks_of("prime_factorization")
    assert judge(task.answer, task).verdict is Verdict.SOLVED
    assert judge("I do not know", task).reason == "unreadable"


@pytest.mark.parametrize("family", ["spell_backward", "tower_of_hanoi", "figlet_font", "power_function"])
def test_partial_credit_is_off_and_never_for_junk(family: str) -> None:
    (task, *_) = tasks_of(family, 1)
    for junk in JUNK:
        assert judge(junk, task).value == 0.0
        assert judge(junk, task, partial_credit=True).value == 0.0


def test_partial_credit_above_what_junk_gets() -> None:
    (task, *_) = tasks_of("sentence_reordering", 1)
    words = task.answer.split()
    nearly = " ".join([*words[:-2], words[-1], words[-2]])
    score = judge(nearly, task, partial_credit=True)
    assert score.verdict is Verdict.FAILED
    assert score.value is not None
    assert 0.05 < score.value < 1.0
    assert judge(nearly, task).value == 0.0


def test_another_puzzles_24_is_not_this_ones() -> None:
    first, second = (task for task in tasks_of("puzzle24", 2))
    assert judge(first.answer, first).verdict is Verdict.SOLVED
    assert judge(second.answer, first).verdict is Verdict.FAILED


def test_24_is_exact_and_no_symbol_cancels() -> None:
    # 2 * 12 + 1 / 2 is cut off to 24 by the family's scorer, and any numbers beside (x - x) do.
    options = {"min_value": 1, "max_value": 6}
    judged = 0
    for task in tasks_of("puzzle24", 40, **options):
        numbers = [int(number) for number in re.findall(r"\d+", task.answer)]
        first, second, third, fourth = numbers
        cancelled = f"({'+'.join('x' * 4)})*({'+'.join('x' * 6)})/(x*x)+({first}+{second}+{third}+{fourth})*(x-x)"
        assert judge(cancelled, task).verdict is Verdict.FAILED
        for a, b, c, d in itertools.permutations(numbers):
            if a * b == 24 and 0 < c < d:
                assert judge(f"{a}*{b}+{c}/{d}", task).verdict is Verdict.FAILED
                judged += 1
                break
    assert judged
    (task, *_) = tasks_of("countdown", 1)
    assert judge(task.answer, task).verdict is Verdict.SOLVED
    numbers = re.findall(r"\d+", task.answer)
    target = re.findall(r"\d+", task.prompt[0].content)
    for number in set(target) - set(numbers):
        cancelled = f"({'+'.join('x' * int(number))})/x+({'+'.join(numbers)})*(x-x)"
        assert judge(cancelled, task).verdict is Verdict.FAILED


def test_a_task_whose_answer_is_empty_is_not_handed_out() -> None:
    assert all(task.answer for task in tasks_of("ab", 40, length=2))


@pytest.mark.parametrize("family", ["string_insertion", "spiral_matrix", "puzzle24", "simple_integration"])
def test_responses_are_not_run(family: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (task, *_) = tasks_of(family, 1)
    for attack in (
        f"open({str(canary)!r}, 'w').close()",
        f"__import__('os').system('touch {canary}')",
        f"[__import__('os').system('touch {canary}')]",
        f"().__class__.__base__.__subclasses__() or open({str(canary)!r}, 'w')",
    ):
        assert judge(attack, task).value == 0.0
        assert not canary.exists()


def test_restating_the_integral_is_no_solution() -> None:
    (task, *_) = tasks_of("simple_integration", 1)
    integrand = task.prompt[0].content
    assert judge(f"Integral({integrand}, x)", task).value == 0.0


def test_a_bomb_has_failed_within_its_limit() -> None:
    (task, *_) = tasks_of("simple_integration", 1)
    began = time.monotonic()
    assert judge("9**9**9**9", task, timeout_seconds=1.5).reason == "limit"
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("hostile", ["\x00\x1b[2J", "\u202e7", "\ud800", "[" * 9000, "9" * 9000, "\n" * 9000 + "?"])
def test_hostile_text_has_failed(hostile: str) -> None:
    for family in ("number_sorting", "game_of_life"):
        (task, *_) = tasks_of(family, 1)
        assert judge(hostile, task).verdict is Verdict.FAILED
    (task, *_) = tasks_of("number_sorting", 1)
    assert judge("7 " * 5_000_000, task).reason == "too long"


def test_a_family_without_a_gold_answer_has_only_its_scorer() -> None:
    (task, *_) = tasks_of("rush_hour", 1)
    assert task.answer == ""
    assert ReasoningGymScorer().gold_response(task) is None
    assert judge("xyzzy", task).verdict is Verdict.FAILED


def test_an_example_stands_in_for_a_gold_answer() -> None:
    (task, *_) = tasks_of("graph_color", 1)
    colours = json.loads(task.answer)
    assert judge(task.answer, task).verdict is Verdict.SOLVED
    swapped = {vertex: {1: 2, 2: 1}.get(colour, colour) for vertex, colour in colours.items()}
    assert judge(json.dumps(swapped), task).verdict is Verdict.SOLVED
    assert judge(json.dumps(dict.fromkeys(colours, 0)), task).verdict is Verdict.FAILED


def test_a_task_of_another_domain_or_version_is_refused() -> None:
    with pytest.raises(DataError, match="no task of reasoning_gym"):
        judge("7", Task("arithmetic", (Message("user", "3 + 4?"),), "7"))
    (task, *_) = tasks_of("chain_sum", 1)
    changed = Task(task.domain, task.prompt, task.answer, metadata={**task.metadata, "entry": "0" * 16})
    with pytest.raises(VerifierError, match="cannot be made again"):
        judge("7", changed)
