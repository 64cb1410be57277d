from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import re
import time
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.environments.reasoning_gym import ReasoningGym, ReasoningGymScorer
from assay.environments.reasoning_gym.exact import solves_exactly
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


@pytest.mark.parametrize(
    ("family", "options", "change"),
    [
        ("coin_flip", {}, lambda gold: "0"),
        ("coin_flip", {}, lambda gold: gold[: len(gold) // 2]),
        ("coin_flip", {"min_trials": 15, "max_trials": 15}, lambda gold: f"{float(gold):.4f}"),
        ("number_format", {}, lambda gold: f"{float(gold) + 0.004:.3f}"),
        ("number_format", {"max_delta": 1.0}, lambda gold: f"{float(gold) - 0.009:.3f}"),
        ("number_sorting", {}, lambda gold: re.sub(r"\.\d+", "", gold)),
        ("number_sorting", {}, lambda gold: gold[:-3] + "9']"),
        ("word_sorting", {}, lambda gold: f"{gold}, {gold}"),
        ("word_sorting", {}, lambda gold: f"{gold}, or not"),
        ("gsm_symbolic", {}, lambda gold: f"-{gold}"),
        ("gsm_symbolic", {}, lambda gold: f"{gold} or {gold}1"),
        ("complex_arithmetic", {}, lambda gold: "nan"),
        ("complex_arithmetic", {}, lambda gold: "NaN"),
        ("spell_backward", {"min_word_len": 9, "max_word_len": 9}, lambda gold: f"{gold} or not"),
        ("spell_backward", {"min_word_len": 9, "max_word_len": 9}, lambda gold: f"{gold}x"),
        ("figlet_font", {"static_word": "PARTICULARLY"}, lambda gold: f"{gold} or not"),
        ("letter_jumble", {"min_words": 2, "max_words": 2}, lambda gold: f"{gold} or not"),
        ("knights_knaves", {}, lambda gold: f"{gold} Or the other way round"),
        ("quantum_lock", {}, lambda gold: f"not {gold}"),
        ("kakurasu", {}, lambda gold: f"{gold} 7"),
        ("survo", {}, lambda gold: f"{gold} or not"),
        ("fraction_simplification", {"styles": ["latex_frac"]}, lambda gold: gold.replace("$", "") + " + 7"),
        ("time_intervals", {"task_types": ["date"]}, lambda gold: gold.replace("days", "weeks")),
        ("time_intervals", {"task_types": ["time"]}, lambda gold: f"{gold}:00:07"),
        ("polynomial_equations", {"min_degree": 1, "max_degree": 1}, lambda gold: f"{gold}, or not"),
        ("power_function", {"min_exponent": 2}, lambda gold: f"{float(gold) * 1.00001:.5e}"),
        ("game_of_life", {}, lambda gold: f"{gold[:-1]}, [7]]"),
        ("chain_sum", {"min_digits": 3}, lambda gold: gold[0] + ",".join(gold[1:])),
        ("products", {}, lambda gold: re.sub(r"(\d)(?=\d)", r"\1,", gold) + ","),
        ("decimal_arithmetic", {}, lambda gold: f"{float(gold):.4f}7"),
    ],
)
def test_what_only_the_familys_own_scorer_pays(family: str, options: dict[str, Any], change: Any) -> None:
    tasks = tasks_of(family, 6, **options)
    paid = 0
    for task in tasks:
        wrong = change(task.answer)
        (verdict,) = ReasoningGymScorer().compare(task, [wrong])
        paid += verdict[0]
        assert judge(wrong, task).verdict is Verdict.FAILED, (task.answer, wrong)
        assert judge(task.answer, task).verdict is Verdict.SOLVED
    assert paid, "the scorer of this version pays none of them: is the check still needed?"


def test_one_plan_for_every_board_is_no_solution() -> None:
    # Every agent tries every match, then moves every box on, there and back; the family skips what cannot be done.
    squares = ["0.5, 0.5", "0.5, 1.5", "1.5, 1.5", "1.5, 0.5"]
    colours = ("red", "blue", "green")

    def matches(colour: str) -> dict[str, str]:
        return {f"Agent[{square}]": f"move(box_{colour}, target_{colour})" for square in squares}

    plan = []
    for start in [*range(4), *range(4)]:
        here, there = squares[start], squares[(start + 1) % 4]
        for colour in colours:
            plan += [matches(colour), {f"Agent[{here}]": f"move(box_{colour}, square[{there}])"}, matches(colour)]
    sizes = dict.fromkeys(("min_row_num", "max_row_num", "min_column_num", "max_column_num"), 2)
    for task in tasks_of("boxnet", 12, **sizes):
        assert ReasoningGymScorer().compare(task, [json.dumps(plan)]) == [[True, False]]
        assert judge(json.dumps(plan), task).verdict is Verdict.FAILED


def test_cars_do_not_move_through_others() -> None:
    board = "oooBoo" + "oooBoo" + "AAoBoo" + "oooooo" * 3
    entry = {"question": "", "answer": None, "metadata": {"board_config": board}}
    for solution in ("B+3 A+4", "B+3, A+1 A+3", "B+1 B+2 A+4", "B+3 A+5", "A+1 B+3 A+3"):
        assert solves_exactly("rush_hour", entry, solution), solution
    for wrong in ("A+4", "A+4 B+3 A+4", "B+4 A+4", "B+3 A+3", "move B+3 and A+4", "B+3 A+4 7", "C+1 B+3 A+4", ""):
        assert not solves_exactly("rush_hour", entry, wrong), wrong


def test_a_family_that_cannot_be_scored_exactly_is_never_solved() -> None:
    tasks = tasks_of("propositional_logic", 8)
    paid = 0
    for task in tasks:
        premises = re.findall(r"(?m)^\.?\d+\. (.+)$", task.prompt[0].content)
        conjunction = " ∧ ".join(f"({premise})" for premise in premises)
        for response in (task.answer, conjunction, *premises):
            score = judge(response, task, partial_credit=True)
            assert score.verdict is not Verdict.SOLVED
            assert score.value is not None
            assert score.value < 1.0
        paid += ReasoningGymScorer().compare(task, [conjunction])[0][0]
    assert paid >= 4
    assert judge(tasks[0].answer, tasks[0]).reason == "not exactly scored"
    with pytest.raises(DataError, match=r"not exactly scored.*copy of the prompt.*choose another family"):
        asyncio.run(check_gold(ReasoningGymScorer(), tasks))


def test_gold_answers_that_are_wrong_are_left_out() -> None:
    # A millisecond is lost where a float is cut off; intermediate results are rounded.
    for task in tasks_of("time_intervals", 25, task_types=["time_ms"]):
        start, end = re.findall(r"(\d+):(\d+):(\d+)\.(\d+)", task.prompt[0].content)
        first, last = (
            (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1000 + int(milliseconds)
            for hours, minutes, seconds, milliseconds in (start, end)
        )
        hours, minutes, seconds = task.answer.split(":")
        assert last - first == (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)
    for task in tasks_of("decimal_arithmetic", 25, min_terms=6, max_terms=6):
        expression = task.prompt[0].content.splitlines()[1].removesuffix("= ?")
        with localcontext(prec=60):
            exact = eval(re.sub(r"\d+\.\d+", lambda found: f"Decimal('{found[0]}')", expression))
        with localcontext(prec=12, rounding=ROUND_HALF_UP):
            assert Decimal(task.answer) == +exact


def test_a_move_repeated_without_end_is_wrong_at_once() -> None:
    (task, *_) = tasks_of("rubiks_cube", 1)
    began = time.monotonic()
    assert judge("R9999999", task).reason == "wrong"
    (task, *_) = tasks_of("rush_hour", 1)
    assert judge("A+999999999", task).reason == "wrong"
    assert time.monotonic() - began < 5


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
