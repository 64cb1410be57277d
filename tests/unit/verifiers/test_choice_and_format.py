from __future__ import annotations

import asyncio

import pytest

from assay.errors import DataError
from assay.types import FinishReason, Message, Task
from assay.verifiers import Choice, Format, as_rollout


def outcome(verifier: Choice | Format, response: str, answer: str = "B", finish_reason: FinishReason = "stop") -> str:
    task = Task("test", (Message("user", "?"),), answer)
    score = asyncio.run(verifier(as_rollout(response, task, finish_reason=finish_reason), task))
    return score.reason or score.verdict.value


@pytest.mark.parametrize(
    ("response", "reason"),
    [("A", "wrong"), ("A or B", "no answer"), ("The answer is Z", "no answer"), ("", "no answer"), ("B", "solved")],
)
def test_the_reason_says_why(response: str, reason: str) -> None:
    assert outcome(Choice(), response) == reason


def test_a_choice_that_was_cut_off_may_have_gone_on() -> None:
    assert outcome(Choice(), "The answer is B", finish_reason="length") == "cut off"
    assert outcome(Choice(), "\\boxed{B} because", finish_reason="length") == "solved"


def test_a_gold_answer_that_is_no_option_is_an_error() -> None:
    with pytest.raises(DataError, match="none of A, B, C, D, E"):
        outcome(Choice(), "B", answer="G")
    assert outcome(Choice(options="ABCDEFG"), "G", answer="G") == "solved"


def test_a_shape_that_was_cut_off_or_is_endless() -> None:
    assert outcome(Format(), "\\boxed{1}", finish_reason="length") == "cut off"
    assert outcome(Format(), "x" * 20_000 + "\\boxed{1}") == "too long"
    assert outcome(Format(), "1") == "shape"


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        ("\\boxed{E: a polygenic score}", "E", True),
        ("\\boxed{\\textbf{(E) }12}", "E", True),
        ("\\boxed{E. 12}", "E", True),
        ("\\boxed{(E)\\ 12}", "E", True),
        ("\\boxed{E) 12}", "E", True),
        ("\\boxed{\\text{E. twelve}}", "E", True),
        ("\\boxed{\\mathbf{(E)}\\ 12}", "E", True),
        ("\\boxed{\\textbf{(E)}~12}", "E", True),
        ("\\boxed{\\text{(E) } 12}", "E", True),
        ("\\boxed{\\textbf{E}}", "E", True),
        ("\\boxed{\\mathrm{E}}", "E", True),
        ("\\boxed{E}", "E", True),
        ("\\boxed{(E)}", "E", True),
        ("\\boxed{e}", "E", True),
        ("\\boxed{**E**}", "E", True),
        ("\\boxed{Option E}", "E", True),
        ("\\boxed{\\textbf{(E)}\\ \\frac{1}{2}}", "E", True),
        ("\\boxed{\\textbf{(E)} \\; 3\\sqrt{2}}", "E", True),
        ("\\boxed{A: none of B and C}", "A", False),
        ("\\boxed{A. The cat is on a mat}", "A", True),
        ("\\boxed{(A) 12 (B) 13}", "A", False),
        ("\\boxed{A, B}", "A", False),
        ("\\boxed{A or B}", "A", False),
        ("\\boxed{A and B}", "A", False),
        ("\\boxed{A: B}", "A", False),
        ("\\boxed{A bird}", "A", False),
        ("\\boxed{A vitamin}", "A", False),
        ("\\boxed{B: A}", "A", False),
        ("\\boxed{A. 12}", "B", False),
        ("\\boxed{\\textbf{(D) }12}", "E", False),
        ("\\boxed{C: 3:2}", "C", True),
        ("\\boxed{C. x = 5}", "C", True),
        ("\\boxed{\\text{C: Vitamin C}}", "C", True),
        ("\\boxed{B. }", "B", True),
        ("\\boxed{\\boxed{D}}", "D", True),
        ("The answer is **D**", "D", True),
        ("The answer is (D) 12", "D", False),
        ("**Answer: D**", "D", True),
        ("Answer: D.", "D", True),
        ("\\boxed D", "D", True),
        ("\\boxed{D: 5, 6}", "D", True),
        ("\\boxed{A. 5 or 6}", "A", True),
    ],
)
def test_a_label_with_the_text_of_its_option(response: str, answer: str, right: bool) -> None:
    assert (outcome(Choice(), response, answer) == "solved") == right


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("**Answer:** D", True),
        ("**Answer**: **D**", True),
        ("Answer: D\n\nBecause it is 12.", True),
        ("Answer: D because", False),
        ("The correct option is D.", True),
        ("One option is D.", False),
        ("The answer is \\(D\\).", True),
        ("The answer is $D$.", True),
        ("答案：D", True),
        ("答案是D。", True),
        ("The answer is D or A.", False),
        ("The answer is (D) or (A).", False),
        ("Answer: D/A", False),
        ("The answer isn't D.", False),
    ],
)
def test_stated_in_markdown_on_a_line_of_its_own_and_in_other_words(response: str, right: bool) -> None:
    assert (outcome(Choice(), response, "D") == "solved") == right
