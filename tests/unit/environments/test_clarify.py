from __future__ import annotations

import asyncio
import itertools
import re

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.clarify import Clarify
from assay.environments.clarify.customer import Customer, needed
from assay.environments.clarify.forms import CONDITIONAL, FORMS, OTHER_WORDS, names_in, read_order
from assay.environments.splits import SPLITS
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Message, Score, Task

FORM = {**FORMS["cake"], **CONDITIONAL}


def some(count: int, **dials: float) -> list[Task]:
    return list(itertools.islice(Clarify().tasks("test", **dials), count))


def played(task: Task, who: str = "expert") -> ScriptedResult:
    script = Clarify().expert(task) if who == "expert" else Clarify().weak(task)
    return asyncio.run(play_script(Clarify(), task, script))


def said(task: Task, *moves: str, environment: Clarify = Clarify()) -> tuple[list[str], Score]:  # noqa: B008, frozen
    async def play() -> tuple[list[str], Score]:
        episode = environment.episode(task)
        await episode.start()
        answers: list[str] = []
        for move in moves:
            step = await episode.step(Message("assistant", move))
            answers += [message.content for message in step.messages]
        score = await episode.score()
        assert score is not None
        return answers, score

    return asyncio.run(play())


def test_its_promises() -> None:
    asyncio.run(check_environment(Clarify(), num_tasks=4))
    asyncio.run(check_episode(Clarify().episode, some(1, complexity=4, horizon=2)[0], max_turns=8))


def test_the_expert_asks_what_is_missing_and_no_more_and_the_weak_script_never_solves() -> None:
    for complexity, horizon in [*Clarify().levels(), (4, 6)]:
        for task in some(4, complexity=complexity or 1, horizon=horizon or 1):
            result = played(task)
            assert (result.solved, result.value) == (True, 1.0), task.metadata
            assert len(result.rollout.turns) == task.horizon + 1 if task.horizon else False
            assert not played(task, "weak").solved


def test_the_customer_never_contradicts_what_was_meant() -> None:
    """Every question in the words that it knows, of every kind of order: an answer names the truth or nothing."""
    count = 0
    for task in itertools.chain(some(30, complexity=4, horizon=4), some(30, complexity=2, horizon=2)):
        world = task.metadata["world"]
        thing, truth = world["thing"], world["truth"]
        form = {name: {**FORMS[thing], **CONDITIONAL}[name] for name in truth}
        customer = Customer(form, truth, set(world["stated"]))
        for name, choices in form.items():
            for question in (
                name,
                f"What {name}?",
                *OTHER_WORDS.get(name, ()),
                *(f"Should it be {c}?" for c in choices),
            ):
                answer = customer.answer(question).lower()
                mentioned = {
                    choice
                    for choices in ([form[name]] if name in needed(truth) else [])
                    for choice in choices
                    if re.search(rf"\b{choice.lower()}\b", answer)
                }
                count += 1
                expected = {truth[name].lower()} if name in needed(truth) else set()
                assert {choice.lower() for choice in mentioned} == expected, (question, answer)
    assert count > 1000


def test_words_of_a_form_are_told_apart() -> None:
    for choices in FORMS.values():
        form = {**choices, **CONDITIONAL}
        words = [word.lower() for some in form.values() for word in some]
        names = [word for name in form for word in (name, *OTHER_WORDS.get(name, ()))]
        assert len(set(words)) == len(words)
        assert not set(words) & set(names)
        for name in form:
            for word in (name, *OTHER_WORDS.get(name, ())):
                assert names_in(f"Please tell me the {word}!", form) == {name}
            for choice in form[name]:
                assert names_in(f"Is it {choice}?", form) == {name}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("size?", {"size"}),
        ("What COLOR would you like?", {"colour"}),
        ("Would you like red or blue?", {"colour"}),
        ("At what time of day?", {"time"}),
        ("On which day should we deliver it?", {"day"}),
        ("What size and what flavor?", {"size", "flavour"}),
        ("Anything else?", set()),
        ("oversize sizeable", set()),
        ("", set()),
        ("x" * 1_000_000 + " size", set()),
        ("\ud800\x00\u202e\uff53\uff49\uff5a\uff45?", {"size"}),
    ],
)
def test_questions_in_free_text(question: str, expected: set[str]) -> None:
    assert names_in(question, FORM) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("order size small, colour red", {"size": "small", "colour": "red"}),
        ("**Order**: a small red one", {"size": "small", "colour": "red"}),
        ("order small or large, red", {"colour": "red"}),
        ("order", {}),
        ("May I order?", None),
        ("ordering size small", None),
    ],
)
def test_orders_in_free_text(message: str, expected: dict[str, str] | None) -> None:
    assert read_order(message, FORM) == expected


def test_what_questions_and_orders_earn() -> None:
    task = some(1, complexity=1, horizon=1)[0]
    world = task.metadata["world"]
    stated, missing = world["stated"][0], next(name for name in world["truth"] if name not in world["stated"])
    assert said(task, missing, task.answer)[1].value == 1.0
    answers, score = said(task, "what else?", stated, f"{stated} and {missing}", missing, missing, task.answer)
    assert score.parts == {"choices_right": 1.0, "questions": 5.0, "questions_needless": 4.0}
    assert score.value == pytest.approx(0.6)
    assert [answer.split(".")[0] for answer in answers[:3]] == [
        "I do not understand the question",
        "I said it",
        "One thing at a time, please",
    ]
    assert said(task, *["?"] * 20, task.answer)[1].value == 0.0
    assert said(task, *["?"] * 20, task.answer, environment=Clarify(question_cost=0.0))[1].value == 1.0
    wrong = next(c for c in FORMS[world["thing"]][missing] if c != world["truth"][missing])
    failed = said(task, f"order {stated} {world['truth'][stated]}, {missing} {wrong}")[1]
    assert (failed.value, failed.reason, failed.parts["choices_right"]) == (0.0, "wrong order", 0.5)
    assert said(task, missing)[1].reason == "no order"


def test_a_door_matters_for_a_delivery_alone() -> None:
    tasks = some(30, complexity=3, horizon=1)
    handovers = {task.metadata["world"]["truth"]["handover"]: task for task in tasks}
    assert set(handovers) == {"pickup", "delivery"}
    assert "front" not in said(handovers["pickup"], "which door?")[0][0]
    assert said(handovers["pickup"], "door?")[1].parts["questions_needless"] == 1.0
    assert said(handovers["delivery"], "door?")[1].parts["questions_needless"] == 0.0


def test_one_meant_order_is_in_one_split() -> None:
    meant: dict[str, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for complexity, horizon in ((1, 2), (2, 1)):  # the same three things, of which one or two are said
            for task in itertools.islice(Clarify().tasks(split, complexity=complexity, horizon=horizon), 100):
                world = task.metadata["world"]
                meant[split].add(f"{world['thing']} {sorted(world['truth'].items())}")
    assert not any(one & other for one, other in itertools.combinations(meant.values(), 2))


def test_an_easy_prompt_is_short() -> None:
    assert max(len(task.prompt[0].content.split()) for task in some(20)) < 60
