from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest

from assay.environments import check_environment, check_episode, make_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.arithmetic.scripts import terms_in
from assay.environments.chained import Chained
from assay.environments.chained.links import Link, first_number, link_of, restored
from assay.environments.second_try import SecondTry
from assay.environments.splits import SPLITS
from assay.errors import ConfigError, DataError
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Message, Score, Task


def some(environment: Chained, count: int, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("test", **dials), count))


def played(environment: Chained, task: Task, who: str = "expert") -> ScriptedResult:
    script = environment.expert(task) if who == "expert" else environment.weak(task)
    assert script is not None
    return asyncio.run(play_script(environment, task, script))


def answered(environment: Chained, task: Task, *answers: str) -> tuple[list[float | None], Score]:
    async def play() -> tuple[list[float | None], Score]:
        episode = environment.episode(task)
        await episode.start()
        rewards = [(await episode.step(Message("assistant", answer))).reward for answer in answers]
        score = await episode.score()
        assert score is not None
        return rewards, score

    return asyncio.run(play())


def question(text: str, answer: str) -> Task:
    return Task("rows", (Message("user", text),), answer)


@pytest.mark.parametrize("form", ["turns", "single"])
def test_its_promises(form: str) -> None:
    environment = make_environment("chained", {"form": form})
    levels = [(1, 1), (5, 4)]
    asyncio.run(check_environment(environment, verifier=environment.rewards["strict"], levels=levels, num_tasks=3))
    task = next(environment.tasks("train", complexity=2, horizon=3))
    asyncio.run(check_episode(environment.episode, task, max_turns=4))


@pytest.mark.parametrize("environment", [Chained(), Chained(form="single"), Chained(of=Arithmetic(example=True))])
def test_the_expert_answers_every_chain_and_the_weak_script_none(environment: Chained) -> None:
    for complexity, horizon in [*environment.levels()[::4], (2, 16)]:
        for task in some(environment, 2, complexity=complexity or 1, horizon=horizon or 1):
            result = played(environment, task)
            assert result.solved, task.metadata["world"]["questions"]
            assert len(result.rollout.turns) == (1 if environment.form == "single" else horizon)
            assert not played(environment, task, "weak").solved


def test_both_forms_are_the_same_tasks() -> None:
    turns, single = some(Chained(), 5, horizon=3), some(Chained(form="single"), 5, horizon=3)
    assert [task.metadata["canonical"] for task in turns] == [task.metadata["canonical"] for task in single]
    assert [task.answer for task in turns] == [task.answer for task in single]
    assert single[0].prompt[0].content.count("Question ") == 3
    assert "demonstration" not in turns[0].metadata, "of the last question alone"


def test_a_link_by_hand() -> None:
    link = link_of(question("What is 37 + 45? Answer with just the number.", "82"))
    assert isinstance(link, Link)
    assert (link.answer, link.number) == (82, 37)
    text = link.after(29, "the last answer")
    assert text == "X is the last answer plus 8. What is X + 45? Answer with just the number."
    assert link.after(37, "the answer to question 1").startswith("X is the answer to question 1. What is X + 45?")
    assert link.after(-3, "the last answer").startswith("X is the last answer plus 40. What is X")
    assert link.after(40, "the last answer").startswith("X is the last answer minus 3. What is X")


@pytest.mark.parametrize("previous", [-1000, -1, 0, 36, 37, 38, 5000])
def test_a_chained_question_stands_for_the_one_that_its_gold_answer_is_of(previous: int) -> None:
    for text in ("What is 37 * 45?", "Start with 37. Add 4.", "Ann has 37 apples, and eats (37 - 2).", "37"):
        link = link_of(question(text, "1"))
        assert isinstance(link, Link)
        assert restored(link.after(previous, "the last answer"), previous) == text
    assert restored("What is 3 + 4?", 9) == "What is 3 + 4?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is 37 + 45?", "37"),
        ("1. How many are 12 and 5?", "12"),
        ("2) of 7", "7"),
        ("It costs $48, or 3/4 of 1,200, or 1.5 of 60.", "60"),
        ("At 10:30 the 2nd of (14) came", "14"),
        ("none at all", None),
        ("12345678901234567890", None),
    ],
)
def test_which_number_an_answer_may_stand_for(text: str, expected: str | None) -> None:
    found = first_number(text)
    assert (found and found[0]) == expected


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (question("What is 1 + 1?", "two"), "no whole number"),
        (question("What is 1 / 2?", "0.5"), "no whole number"),
        (question("What is 1 / 8?", "0,125"), "no whole number"),
        (question("What is one and one?", "2"), "no whole number that an answer could stand for"),
        (question("Solve X + 1 = 2.", "1"), "an X of its own"),
    ],
)
def test_what_cannot_be_chained_says_why(task: Task, why: str) -> None:
    reason = link_of(task)
    assert isinstance(reason, str)
    assert why in reason


def test_environments_that_cannot_be_chained_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"of one turn long, and an episode of second_try has up to 2"):
        make_environment("chained", {"of": {"name": "second_try"}})
    with pytest.raises(ConfigError, match="pays_turns has no effect"):
        make_environment("chained", {"form": "single", "pays_turns": True})
    path = tmp_path / "capitals.jsonl"
    path.write_text("".join(json.dumps({"question": f"Capital {n}?", "answer": "Paris"}) + "\n" for n in range(40)))
    rows = {"name": "rows", "path": str(path), "prompt": "{question}", "answer": "{answer}"}
    with pytest.raises(DataError, match=r"tasks of rows cannot be chained: .* 'Paris' is no whole number"):
        next(Chained(of=rows).tasks("train"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="horizon is a whole number from 1 to 64"):
        Chained().tasks("train", horizon=65)
    assert SecondTry().max_turns == 2


def test_questions_of_a_file_are_chained(tmp_path: Path) -> None:
    path = tmp_path / "apples.jsonl"
    lines = [
        {"question": f"Ann has {n} apples and gets {n % 7}. How many?", "answer": str(n + n % 7)} for n in range(80)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"question": "Who?", "answer": "Ann"}]))
    of = {"name": "rows", "path": str(path), "prompt": "{question}", "answer": "{answer}"}
    environment = make_environment("chained", {"of": of})
    assert isinstance(environment, Chained)
    task = next(environment.tasks("train", horizon=3))
    questions = task.metadata["world"]["questions"]
    assert [text.startswith("X is the last answer") for text in questions] == [False, True, True]
    gold = [record["answer"] for record in task.metadata["world"]["tasks"]]
    assert answered(environment, task, *gold)[1].value == 1.0
    assert environment.expert(task) is None


def test_chains_hold_no_question_of_another_split() -> None:
    seen: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for task in itertools.islice(Chained().tasks(split, complexity=2, horizon=4), 40):
            seen[split] |= set(task.metadata["canonical"].split(" -> "))
    assert all(len(found) > 20 for found in seen.values())
    assert not any(one & other for one, other in itertools.combinations(seen.values(), 2))


def test_the_last_answer_decides_and_turns_pay_for_right_ones_where_asked() -> None:
    environment = Chained(pays_turns=True)
    task = some(environment, 1, horizon=4)[0]
    gold = [record["answer"] for record in task.metadata["world"]["tasks"]]
    rewards, score = answered(environment, task, gold[0], "wrong", gold[2], gold[3])
    assert rewards == [0.25, 0.0, 0.25, 0.25]
    assert (score.value, score.parts) == (1.0, {"answers_right": 0.75, "first_wrong": 2.0})
    assert answered(environment, task, *gold[:3], "wrong")[1].reason == "last answer wrong"
    assert answered(environment, task, *gold[:3])[1].reason == "not answered to the end"
    assert answered(Chained(), task, gold[0])[0] == [None]


def test_arithmetic_is_read_by_its_script() -> None:
    environment = Arithmetic()
    for complexity, horizon in environment.levels():
        for task in itertools.islice(environment.tasks("test", complexity=complexity, horizon=horizon), 4):
            result = asyncio.run(play_script(environment, task, environment.expert(task)))
            assert result.solved, task.prompt
            assert not asyncio.run(play_script(environment, task, environment.weak(task))).solved
    assert terms_in("What is 3 * 4 - 5 + 6?") == [(1, "3 * 4"), (-1, "5"), (1, "6")]
    assert terms_in("Start with 3. Subtract 4 and add 5 * 2.") == [(1, "3"), (-1, "4"), (1, "5 * 2")]
