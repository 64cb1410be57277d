from __future__ import annotations

import pytest

from assay.environments.reasoning_gym.misses import near_misses


@pytest.mark.parametrize(
    ("gold", "kind", "response"),
    [
        ("0.0390625", "a prefix", "0.03"),
        ("ant bee cat", "its first word", "ant"),
        ("ant, bee", "the answer and more", "ant, bee, or not"),
        ("ant, bee", "more and the answer", "not ant, bee"),
        ("12", "the sign turned", "-12"),
        ("-12", "the sign turned", "12"),
        ("200", "1 % off", "202"),
        ("7", "1 % off", "8"),
        ("1.50", "1 % off", "1.52"),
        ("1.501", "0.005 off", "1.506"),
        ("['1.5', '2.25']", "decimals cut off", "['1', '2']"),
        ("1234", "commas between the digits", "1,2,3,4"),
        ("(-1, -2)", "no signs", "(1, 2)"),
        ("12", "a number of the prompt", "31"),
        ("12", "a line of the prompt", "P implies Q"),
        ("", "a line of the prompt", "P implies Q"),
        ("12", "a guess", "nan"),
    ],
)
def test_kinds(gold: str, kind: str, response: str) -> None:
    assert (kind, response) in near_misses("Given 31 and 12:\n1. P implies Q.\n", gold)


@pytest.mark.parametrize(
    ("gold", "same"),
    [
        ("12", ["12", "12.0", "12."]),
        ("0", ["0", "-0", "0.0"]),
        ("False", ["False", "false"]),
        ("41.50°", ["41.50", "41.5"]),
        ("3432.8059999999996", ["3432.806", "3432.8060000"]),
        ("", ["", " "]),
    ],
)
def test_what_is_the_answer_itself_is_no_miss(gold: str, same: list[str]) -> None:
    responses = [response for _, response in near_misses(" ".join(same), gold)]
    # The prompt as a whole is another text where it has more than one of them.
    assert not set(same) & set(responses)
    assert len(responses) == len(set(responses))
    assert len(responses) >= 10


def test_long_answers_and_questions_have_few_misses() -> None:
    question = "\n".join(f"{number}: cell {number}" for number in range(2000))
    assert len(near_misses(question, " ".join(map(str, range(3000))))) < 200
