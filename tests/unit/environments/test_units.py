"""Units: dates, clocks and measures worked by hand, and answers in the form that was asked for."""

from __future__ import annotations

import asyncio
import itertools
from datetime import date
from fractions import Fraction

import numpy
import pytest

from assay.environments import check_environment, check_episode
from assay.environments.check_dials import check_dials
from assay.environments.units import Units, UnitsAnswer
from assay.environments.units.calendar import Calendar
from assay.environments.units.measures import Measures, shown
from assay.errors import DataError
from assay.rollout.scripted import play_script
from assay.types import Message, Task, Verdict
from assay.verifiers.verifier import as_rollout


def after(start: str, *steps: str) -> str:
    """What a chain comes to, as its last question would be answered."""
    topic = Calendar()
    first = state = topic.opened(start)
    for step in steps:
        state = topic.after(state, step)
    return topic.answer("What date is that?", first, state)


def amount(start: str, *steps: str, unit: str) -> str:
    topic = Measures()
    first = state = topic.opened(start)
    for step in steps:
        state = topic.after(state, step)
    return topic.answer(f"How many {unit} is that?", first, state)


@pytest.mark.parametrize(
    ("start", "steps", "end"),
    [
        # 2012 is a leap year, 2013 is none.
        ("2012-02-27", ["Go 3 days later."], "2012-03-01"),
        ("2013-02-27", ["Go 3 days later."], "2013-03-02"),
        ("2012-03-01", ["Go 2 weeks earlier."], "2012-02-16"),
        ("2010-11-28", ["Go 15 months later."], "2012-02-28"),
        ("2010-01-05", ["Go 13 months earlier."], "2008-12-05"),
        ("2010-01-05", ["Go 3 years later."], "2013-01-05"),
        # 4 January 2010 was a Monday.
        ("2010-01-04", ["Go to the first Monday after that."], "2010-01-11"),
        ("2010-01-04", ["Go to the last Monday before that."], "2009-12-28"),
        ("2010-01-04", ["Go to the last Sunday before that."], "2010-01-03"),
        ("2010-01-04", ["Go to the first Tuesday after that."], "2010-01-05"),
        ("2010-01-08", ["Go 1 working days later, counting Monday to Friday."], "2010-01-11"),
        ("2010-01-10", ["Go 1 working days earlier, counting Monday to Friday."], "2010-01-08"),
        ("2010-01-04", ["Go 10 working days later, counting Monday to Friday."], "2010-01-18"),
    ],
)
def test_dates_worked_by_hand(start: str, steps: list[str], end: str) -> None:
    assert after(f"Start with {start}.", *steps) == end


@pytest.mark.parametrize(
    ("start", "steps", "end"),
    [
        # Clocks went forward in New York on 14 March 2010 at 2:00, in Berlin on 28 March.
        ("2010-03-13 20:00 in New York", ["Go 10 hours and 0 minutes later."], "2010-03-14 07:00"),
        ("2010-03-13 20:00 in New York", ["Go 1 day later."], "2010-03-14 20:00"),
        ("2010-03-20 12:00 in New York", ["Read the clock in Berlin at that moment."], "2010-03-20 17:00"),
        ("2010-07-01 12:00 in New York", ["Read the clock in Berlin at that moment."], "2010-07-01 18:00"),
        ("2010-07-01 12:00 in London", ["Read the clock in Kolkata at that moment."], "2010-07-01 16:30"),
        ("2010-01-01 01:00 in Tokyo", ["Read the clock in Los Angeles at that moment."], "2009-12-31 08:00"),
        ("2010-07-01 12:00 in Phoenix", ["Read the clock in Los Angeles at that moment."], "2010-07-01 12:00"),
    ],
)
def test_clocks_worked_by_hand(start: str, steps: list[str], end: str) -> None:
    assert after(f"Start with {start}.", *steps) == end


def test_what_has_no_one_meaning_is_not_asked() -> None:
    with pytest.raises(ValueError, match="not in every month"):
        after("Start with 2010-01-31.", "Go 1 month later.")
    with pytest.raises(ValueError, match="not one moment"):
        after("Start with 2010-03-13 02:30 in New York.", "Go 1 day later.")
    with pytest.raises(ValueError, match="not one moment"):
        after("Start with 2010-11-07 01:30 in New York.")


def test_working_days_are_those_of_numpy() -> None:
    for number in range(1, 40):
        day = date(2010, 1, 4 + number % 5)  # Monday to Friday
        later = after(f"Start with {day}.", f"Go {number} working days later, counting Monday to Friday.")
        assert later == str(numpy.busday_offset(day, number))


@pytest.mark.parametrize(
    ("start", "steps", "unit", "answer"),
    [
        ("3 km", ["Add 250 m.", "Take away 40 cm."], "m", "3249.6"),
        ("1 miles", ["Add 1 feet."], "inches", "63372"),
        ("2 yards", ["Take away 1 feet."], "inches", "60"),
        ("1 pounds", ["Add 1 g."], "g", "454.59237"),
        ("1 kg", ["Add 1 pounds."], "ounces", str(Fraction(1000 * 16 * 100000, 45359237) + 16)),
        ("1 US gallons", ["Take away 1 US quarts."], "US pints", "6"),
        ("1 litres", ["Add what 1.5 ml per second come to in 2 minutes."], "ml", "1180"),
        ("1 km", ["Add what 36 km per hour come to in 10 seconds."], "m", "1100"),
        ("1 km", ["Add what 1 m per hour come to in 1 minutes."], "m", "60001/60"),
    ],
)
def test_measures_worked_by_hand(start: str, steps: list[str], unit: str, answer: str) -> None:
    assert amount(f"Start with {start}.", *steps, unit=unit) == answer


def test_numbers_are_shown_exactly() -> None:
    assert [shown(Fraction(text)) for text in ("1/8", "-3/2", "1/3", "5", "0.05")] == [
        "0.125",
        "-1.5",
        "1/3",
        "5",
        "0.05",
    ]


def task(form: str, answer: str) -> Task:
    return Task("units", (Message("user", "?"),), answer, metadata={"form": form})


@pytest.mark.parametrize(
    ("form", "gold", "response", "strict", "lenient"),
    [
        ("number", "1.5", "1.5", True, True),
        ("number", "1.5", " 3/2\n", True, True),
        ("number", "1.5", "1.50", True, True),
        ("number", "1.5", "<think>7</think>1.5", True, True),
        ("number", "63372", "63,372", True, True),
        ("number", "1.5", "It is 1.5.", False, True),
        ("number", "1.5", "1.5 m", False, True),
        ("number", "1.5", "1.4999999999", False, False),
        ("number", "1.5", "1.5 or 2", False, False),
        ("number", "1.5", "3/0", False, False),
        ("number", "1.5", "15e-1", False, False),
        ("number", "1.5", "1.5/1", False, False),
        ("number", "5", "--5", False, False),
        ("date", "2010-01-04", "2010-01-04", True, True),
        ("date", "2010-01-04", "It is 2010-01-04.", False, True),
        ("date", "2010-01-04", "04/01/2010", False, False),
        ("date", "2010-01-04", "2010-01-4", False, False),
        ("date", "2010-01-04", "2010-13-45", False, False),
        ("date", "2010-01-04", "20100104", False, False),
        ("moment", "2010-01-04 07:05", "2010-01-04 07:05", True, True),
        ("moment", "2010-01-04 07:05", "2010-01-04 7:05", False, False),
        ("moment", "2010-01-04 07:05", "2010-01-04", False, False),
        ("moment", "2010-01-04 07:05", "2010-01-04 07:05:30", False, False),
        ("weekday", "Monday", "monday", True, True),
        ("weekday", "Monday", "Mon", False, False),
        ("weekday", "Monday", "Monday or Tuesday", False, False),
    ],
)
def test_answers_are_read_in_their_form(form: str, gold: str, response: str, strict: bool, lenient: bool) -> None:
    asked = task(form, gold)
    for reading, accepted in (("whole", strict), ("last", lenient)):
        score = asyncio.run(UnitsAnswer(reading=reading)(as_rollout(response, asked), asked))
        assert (score.verdict is Verdict.SOLVED) == accepted, reading


@pytest.mark.parametrize("form", ["number", "date", "moment", "weekday"])
def test_hostile_answers_are_bounded(form: str) -> None:
    asked = task(form, {"number": "1", "date": "2010-01-04", "weekday": "Monday"}.get(form, "2010-01-04 07:05"))
    for response in (
        "1" * 1_000_000,
        "1," * 500_000,
        "-" * 10**6,
        "2010-" * 200_000,
        "1/" * 10**5,
        "\ud800",
        "9" * 18 + "/7",
    ):
        for reading in ("whole", "last"):
            score = asyncio.run(UnitsAnswer(reading=reading)(as_rollout(response, asked), asked))
            assert score.verdict is Verdict.FAILED


def test_an_answer_that_was_cut_off_fails() -> None:
    asked = task("number", "12")
    score = asyncio.run(UnitsAnswer()(as_rollout("12", asked, finish_reason="length"), asked))
    assert score.reason == "cut off"


def first(number: int, **dials: float) -> list[Task]:
    return list(itertools.islice(Units().tasks("test", **dials), number))


def test_it_keeps_the_promises_of_environments() -> None:
    environment = Units()
    asyncio.run(check_environment(environment, verifier=environment.rewards["strict"], num_tasks=12))
    asyncio.run(check_episode(environment.episode, first(1)[0]))


def test_the_expert_solves_all_and_the_dials_are_monotone() -> None:
    environment = Units()
    limited = {}
    for complexity, horizon in environment.levels():
        assert complexity is not None
        assert horizon is not None
        tasks = first(25, complexity=complexity, horizon=horizon)
        assert len(tasks) == 25
        for each in tasks:
            assert asyncio.run(play_script(environment, each, environment.expert(each))).solved
        results = [asyncio.run(play_script(environment, each, environment.limited(each))) for each in tasks]
        limited[complexity, horizon] = (sum(result.solved for result in results), len(results))
    check_dials("units", limited)
    assert limited[1.0, 1.0] == (25, 25)


@pytest.mark.parametrize("topic", ["calendar", "measures"])
def test_a_topic_alone(topic: str) -> None:
    tasks = list(itertools.islice(Units(topics=(topic,)).tasks("train", complexity=3, horizon=3), 20))  # pyright: ignore
    assert {each.metadata["topic"] for each in tasks} == {topic}


@pytest.mark.parametrize("dials", [{"complexity": 5}, {"complexity": 1.5}, {"horizon": 33}])
def test_a_dial_out_of_range_is_named(dials: dict[str, float]) -> None:
    with pytest.raises(DataError, match="is a whole number from 1 to"):
        first(1, **dials)
