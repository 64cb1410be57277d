"""Answers in prose: what is read from a response without a box, and what is not."""

from __future__ import annotations

import pytest
from tests.unit.verifiers.test_math import score

from assay.verifiers.mathematics.prose import prose_answer

ROWS: list[tuple[str, str, bool]] = [
    # (gold, response, whether it is right)
    ("34", "The final answer is $34$.", True),
    ("3/4", "Answer: 3/4", True),
    ("12", "... #### 12", True),
    ("5", "**Answer:** 5", True),
    ("5", "**Answer**: 5", True),
    ("5", "Answer: **5**", True),
    ("5", "**Answer: 5**", True),
    ("5", "The answer is 5.", True),
    ("5", "the answer is: 5", True),
    ("5", "So the answer would be 5", True),
    ("5", "Therefore, the final answer is \\(5\\).", True),
    ("5", "Final Answer: 5", True),
    ("5", "## Final Answer\n\n5", True),
    ("5", "### Answer\n$$5$$", True),
    ("5", "**Final Answer**\n\n\\[ 5 \\]\n", True),
    ("5", "Answer:\n\\[\n5\n\\]", True),
    ("5", "The answer is $x = 5$.", True),
    ("5", "x = 5", True),
    ("5", "Hence, x = 5.", True),
    ("82", "37 + 45 = 82", True),
    ("82", "37 + 45 = 82.", True),
    ("82", "So 37 + 45 is 82.", True),
    ("18", "She makes $18 every day at the market.", True),
    ("18", "She makes $9 * 2 = $18 every day.", True),
    ("1800", "The total cost is $1,800.", True),
    ("1800", "The total cost is **$1,800**.", True),
    ("1800", "It costs 1,800 dollars in total.", True),
    ("28", "It is 28%.", True),
    ("28\\%", "28 percent", True),
    ("28\\%", "About $28$ %", True),
    ("12", "The train travels 12 miles in 3 hours.", False),
    ("3", "There are 3 apples and 4 oranges.", False),
    ("3", "The answer is 3 or 4.", False),
    ("4", "The answer is 3 or 4.", False),
    ("3, 4", "The answer is 3 or 4.", True),
    ("3, 4", "The solutions are $3$ and $4$.", True),
    ("3", "The answers are $3$ and $4$.", False),
    ("5", "\\boxed{5} is what we wanted. The answer is 6.", True),
    ("6", "\\boxed{5} is what we wanted. The answer is 6.", False),
    ("5", "The answer is 5. I hope it is correct.", True),
    ("5", "The answer is 5. Let me know if you have 3 more questions.", True),
    ("5", "First I thought the answer is 4. But the answer is 5.", True),
    ("4", "First I thought the answer is 4. But the answer is 5.", False),
    ("\\frac{1}{2}", "The probability is $\\frac{1}{2}$.", True),
    ("\\frac{1}{2}", "The probability is 1/2.", True),
    ("\\frac{1}{2}", "The probability is 0.5.", True),
    ("x \\geq 5", "Therefore $x \\geq 5$ is the solution.", True),
    ("x \\geq 5", "Therefore x >= 5", True),
    ("x \\geq 5", "Therefore x ≥ 5.", True),
    ("x\\geq 5", "Therefore x > 5.", False),
    ("(3,4)", "The point is $(3, 4)$.", True),
    ("(3,4)", "The point is (3, 4).", True),
    ("(3,4)", "The point is (4, 3).", False),
    ("x^2+1", "So the polynomial is $x^2+1$.", True),
    ("x^2+1", "So the polynomial is x^2 + 1.", True),
    ("2\\sqrt{3}", "The length is $2\\sqrt{3}$ cm.", True),
    ("42", "I don't know.", False),
    ("42", "", False),
    ("42", "42", True),
    ("42", "It is 42!", True),
    ("42", "(42)", True),
    ("42", "42.0", True),
    ("42", "43 - 1", True),
    ("42", "We have 42 as the product.\nNow check: 6*7 = 42.", True),
    ("42", "Step 1: 6*7=42\nStep 2: done", True),
    ("Evelyn", "The answer is Evelyn.", True),
    ("\\text{Evelyn}", "Answer: Evelyn", True),
    ("Evelyn", "The answer is Angela.", False),
    ("B", "The answer is B.", True),
    ("12", "The answer is 12 cm.", True),
    ("12 \\text{ cm}", "The answer is 12 m.", False),
    ("540", "He runs 540 meters a week.", True),
    ("540", "So he runs 9 × 60 = 540 meters", True),
    ("64", "Kylar needs to pay $64.00 for the glasses.", True),
    ("-3", "The value is -3.", True),
    ("3", "The value is -3.", False),
    ("7", "The answer is 7, because 3 + 4 = 7.", True),
    ("2.5", "It takes 2.5 hours.", True),
    ("2", "It takes 2.5 hours.", False),
    ("1/3", "The answer is $\\dfrac{1}{3}$ of the cake.", True),
    ("5", "Answer: 5 apples", True),
    ("5", "The answer to the question is 5.", True),
    ("5", "The correct answer is therefore 5.", True),
    ("10", "The answer is ten.", False),
    ("5", "#### 5", True),
    ("5", "#### 5\n", True),
    ("5", "#### $5", True),
    ("5", "So 5 it is. #### 6", False),
    ("100", "The answer is 100 (one hundred).", True),
    ("5", "Answer: 6", False),
    ("1000000", "The population is 1,000,000 people.", True),
    ("3:2", "The ratio is 3:2.", True),
    ("90^\\circ", "The angle is $90^\\circ$.", True),
    ("90", "The angle is 90°.", True),
    ("12", "The answer is\n12", True),
    ("12", "The answer is:\n\n12", True),
    ("5", "$$x = 5$$", True),
    ("5", "\\begin{align*} x &= 2+3 \\\\ &= 5 \\end{align*}", True),
    ("5", "Thus\n\\begin{align*}\nx &= 2+3 \\\\\n&= 5.\n\\end{align*}", True),
    ("72", "Natalia sold 48/2 = 24 clips in May. Altogether she sold 48+24 = 72 clips.", True),
    ("10", "Weng earned 0.2 x 50 = $10.", True),
    ("5", "Betty needs $5 more to buy the wallet.", True),
    ("5", "A: 5", True),
    ("17", "17 is the answer.", True),
    ("5", "The answer is not 5.", False),
    ("42", "Answer: 41 or 42", False),
    ("42", "**42**", True),
    ("42", "The result is therefore **42**.", True),
    ("\\frac{3}{4}", "= 3/4", True),
    ("8", "2^3 = 8", True),
    ("2^{10}", "The number is 2^10.", True),
    ("4", "The answer is 4 because it's even.", True),
    ("0", "There are 0 solutions.", True),
    ("34", "The answer isn't 34.", False),
    ("34", "It cannot be 34.", False),
    ("34", "34 is wrong.", False),
    ("34", "No, 34 is not the answer.", False),
    ("34", "There are 34 numbers that are not prime.", True),
    ("34", "Since 35 is not prime, the result is 34.", True),
    ("34", "The answer is more than 34.", False),
    ("34", "The answer is at least 34.", False),
    ("34", "The answer is 34, not 35.", True),
    ("35", "The answer is 34, not 35.", False),
    ("34", "Answer: 34 (or 35)", False),
    ("34", "Step 34: done", False),
    ("34", "See equation (34).", False),
    ("34", "The result is 34 (see step 2).", True),
    ("34", "答案是34。", True),
    ("34", "答案：34", True),
    ("34", "≈34", True),
    ("\\text{no solution}", "There is no solution.", True),
    ("3", "There is no solution.", False),
]


@pytest.mark.parametrize(("gold", "response", "right"), ROWS)
def test_prose(gold: str, response: str, right: bool) -> None:
    assert (score(response, gold, answer_form="prose").verdict.value == "solved") == right


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The final answer is $34$.", "34"),
        ("Answer: 3/4", "3/4"),
        ("3 + 4 = 7\n#### 12", "12"),
        ("**Answer:** $x = 5$", "x = 5"),
        ("The answer is 3 or 4.", "3 or 4"),
        ("The roots are $3$ and $5$.", "3, 5"),
        ("There are $500 + 1 = 501$ values of $k$.", "500 + 1 = 501"),
        ("So 3*4 = <<3*4=12>>12 apples. I hope it helps.", "3*4 = 12"),
        ("It costs $5 and not a cent more.", "$5"),
        ("The price is $7.78 for $x$ pounds.", "$7.78"),
    ],
)
def test_what_is_read(response: str, answer: str) -> None:
    found = prose_answer(response)
    assert found is not None
    assert found[0] == answer


@pytest.mark.parametrize("response", ["", "I do not know.", "The answer is not 5.", "No idea at all, sorry", "..."])
def test_nothing_to_read(response: str) -> None:
    assert prose_answer(response) is None


def test_a_number_that_the_limit_may_have_cut_is_no_answer() -> None:
    assert score("The answer is 4", "4", "length", answer_form="prose").reason == "cut off"
    assert score("The answer is 4. And", "4", "length", answer_form="prose").verdict.value == "solved"
    assert score("The answer is \\boxed{4", "4", "length", answer_form="prose").reason == "cut off"


def test_the_strict_reading_reads_no_prose() -> None:
    assert score("The answer is 4.", "4").reason == "no answer"


@pytest.mark.parametrize(
    "part", ["The answer is ", "$5 and ", "3, ", "answer: $x$ or ", "\\begin{align*} & ", "1 a ", "#### "]
)
def test_hostile_prose_takes_no_time(part: str) -> None:
    import time

    began = time.process_time()
    prose_answer((part * 20_000)[:20_000])
    assert time.process_time() - began < 2.0
