from __future__ import annotations

import asyncio
import threading

import pydantic
import pytest

from assay.errors import DataError, VerifierError
from assay.types import FinishReason, Message, Score, Task
from assay.verifiers import Math, as_rollout, check_verifier
from assay.verifiers.math_cases import math_cases


def score(response: str, answer: str, finish_reason: FinishReason = "stop", **options: object) -> Score:
    task = Task("test", (Message("user", "?"),), answer)
    verifier = Math.model_validate(options)
    return asyncio.run(verifier(as_rollout(response, task, finish_reason=finish_reason), task))


def test_every_case() -> None:
    """Slow only where an expression hangs: two tries of three seconds (generous, for a machine that is busy with other
    tests) and a fresh worker between them."""
    cases = math_cases()
    assert len(cases) >= 100
    assert len({case.case_id for case in cases}) == len(cases)
    asyncio.run(check_verifier(Math(timeout_seconds=3.0), slow_seconds=30.0, strict=True))
    asyncio.run(check_verifier(Math(answer_form="after", marker="Answer:"), slow_seconds=30.0, strict=True))


def test_the_reason_says_why() -> None:
    assert score("\\boxed{43}", "42").reason == "wrong"
    assert score("It is 42.", "42").reason == "no answer"
    assert score("\\boxed{ }", "42").reason == "empty"
    assert score("\\boxed{4", "42", "length").reason == "cut off"
    assert score("\\boxed{9^{9^{9}}}", "42").reason == "limit"
    assert score("\\boxed{42}", "42").evidence == "42"
    assert score("#### 42} \\boxed{43}", "43", answer_form="after", marker="####").reason == "unreadable"
    assert score("x} \\boxed{x", "x", answer_form="bare").reason == "no answer"
    assert score("x}", "x", answer_form="bare").reason == "unreadable"


def test_what_the_reader_fails_on_is_the_responses_fault_unless_it_is_the_golds() -> None:
    assert score("\\boxed{\\sum_{n=1}^{\\infty} n}", "\\infty", timeout_seconds=20.0).reason == "unreadable"
    with pytest.raises(VerifierError, match="Sum diverges"):
        score("\\boxed{\\sum_{n=1}^{\\infty} {n}}", "\\sum_{n=1}^{\\infty} n")


def test_a_hang_is_a_failure_and_leaves_the_verifier_working() -> None:
    hard = "\\int_0^\\infty \\frac{x^{99} \\sin(x^7) \\ln(1+x^{13})}{e^{x^3}+\\cos^{31} x} dx"
    assert score(f"\\boxed{{{hard}}}", "42", timeout_seconds=1.0) == Score.failed("limit", evidence=hard[:80])
    assert score("\\boxed{(x+1)^2}", "x^2+2x+1", timeout_seconds=1.0).verdict.value == "solved"


def test_it_works_off_the_main_thread() -> None:
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(score("\\boxed{b+a}", "a+b").verdict.value))
    thread.start()
    thread.join()
    assert results == ["solved"]


def test_other_forms_of_an_answer() -> None:
    assert score("12 + 30 = 42\n#### 42", "42", answer_form="after", marker="####").verdict.value == "solved"
    assert score("#### 42", "42", "length", answer_form="after", marker="####").reason == "cut off"
    assert score("#### 42\nand", "42", "length", answer_form="after", marker="####").verdict.value == "solved"
    assert score("x^2 + 1", "1+x^2", answer_form="bare").verdict.value == "solved"
    assert score("so \\boxed{42}", "42", answer_form="bare").verdict.value == "solved"
    assert score("42", "42", "length", answer_form="bare").reason == "cut off"


@pytest.mark.parametrize("answer", ["", "  ", "nan", "-inf", "\\boxed{}"])
def test_a_gold_answer_that_cannot_be_compared_with_is_an_error(answer: str) -> None:
    with pytest.raises(DataError, match="no answer to compare with"):
        score("\\boxed{1}", answer)


def test_a_gold_answer_may_stand_in_a_box() -> None:
    assert score("\\boxed{1/2}", "The sum is $\\boxed{\\frac12}$.").verdict.value == "solved"


def test_a_marker_without_effect_is_an_error() -> None:
    with pytest.raises(pydantic.ValidationError, match="marker has no effect"):
        Math(marker="####")
    with pytest.raises(pydantic.ValidationError, match="marker is needed"):
        Math(answer_form="after")


@pytest.mark.parametrize(
    ("gold", "response", "options", "right"),
    [
        ("3.14", "\\pi", {"decimals": 2}, True),
        ("3.14", "3.141", {"decimals": 2}, True),
        ("3.14", "3.15", {"decimals": 2}, False),
        ("3.14", "\\pi", {}, False),
        ("100", "101", {"relative_tolerance": 0.01}, True),
        ("100", "101.5", {"relative_tolerance": 0.01}, False),
        ("2.236", "\\sqrt5", {"relative_tolerance": 0.001}, True),
        ("2.236", "\\sqrt6", {"relative_tolerance": 0.001}, False),
        ("-3.14", "3.14", {"relative_tolerance": 0.1}, False),
        ("0", "0.001", {"relative_tolerance": 0.1}, False),
        ("(1.41, 1.73)", "(\\sqrt2, \\sqrt3)", {"decimals": 2}, True),
        ("28\\%", "28.04 percent", {"decimals": 1}, True),
        ("x+1.5", "x+1.501", {"decimals": 2}, False),
    ],
)
def test_stated_tolerances(gold: str, response: str, options: dict[str, object], right: bool) -> None:
    assert (score(f"\\boxed{{{response}}}", gold, **options).verdict.value == "solved") == right


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is \\boxed{4",
        "So we get \\boxed",
        "We solve for x and find two roots. The larger one is what was asked for, since the other root is negative. "
        "Hence the sum of the two numbers is what we have found above, and nothing else can be.",
    ],
)
def test_a_solution_without_an_answer_is_an_error(answer: str) -> None:
    with pytest.raises(DataError, match="in no box"):
        score("\\boxed{4}", answer)


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("He has 12.\n#### 12", "12", "13"),
        ("#### 1,200", "1200", "1"),
        ("so $\\boxed 2$.", "2", "3"),
        ("so $\\boxed 42$.", "42", "4"),
        ("so $\\boxed\\frac12$.", "0.5", "12"),
        ("The roots are \\boxed{3} and \\boxed{5}.", "5, 3", "5"),
        ("$x = \\boxed{3}$ or $x = \\boxed{5}$", "3, 5", "3"),
        ("We get \\boxed{3}.\n\nAlternatively, \\boxed{3}.", "3", "3, 5"),
        ("This yields $\\boxed{x+11}$ or $\\boxed{11+x}$.", "x+11", "x-11"),
        ("The \\\\boxed{\\\\frac{1}{2}}", "0.5", "2"),
    ],
)
def test_gold_solutions(gold: str, right: str, wrong: str) -> None:
    assert score(f"\\boxed{{{right}}}", gold).verdict.value == "solved"
    assert score(f"\\boxed{{{wrong}}}", gold).reason == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "Final Answer: **73**",
        "**Final Answer: 73**",
        "**Final Answer:** 73",
        "**Final Answer**: 73",
        "*Final Answer: 73*",
        "Final Answer: `73`",
        "Final Answer: **$73$**",
        "Final Answer:\n\n**73**",
        "Final Answer:\n$$\n73\n$$",
        "Final Answer:\n\\[\n73\n\\]\nDone.",
        "## Final Answer:\n73",
    ],
)
def test_a_marker_with_markdown(text: str) -> None:
    options = {"answer_form": "after", "marker": "Final Answer:"}
    assert score(text, "73", **options).verdict.value == "solved"
    assert score(text.replace("73", "74"), "73", **options).reason == "wrong"
