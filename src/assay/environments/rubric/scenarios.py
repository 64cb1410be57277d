"""Made-up scenarios, whose facts are known: minutes to be summarised, machines to be explained, offers to advise on,
plans to be reviewed.

Each is a row in the form of a file: a prompt, criteria with weights, a reference that meets every good one and no bad
one. A scenario with n criteria has n - 1 good ones, the last of them about form from three on, and one bad one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assay.seeds import derive_seed

COMPLEXITIES = (2, 3, 4, 5, 6)
"""Numbers of criteria."""
NUM_EACH = 40
"""Scenarios of a kind with so many criteria."""

_NAMES = ("Ada", "Bruno", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Luca", "Mona")
_CLUBS = ("chess club", "rowing club", "choir", "garden society", "film circle", "hiking group", "theatre group")
_THINGS = ("projector", "boat", "piano", "greenhouse", "trailer", "printer", "tent", "oven", "loudspeaker", "workbench")
_PLACES = ("old mill", "town hall", "boat house", "school gym", "library", "station hall", "harbour shed")
_EVENTS = ("summer party", "open day", "spring concert", "flea market", "book fair", "autumn walk", "winter fair")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_JOBS = (
    "order the chairs",
    "paint the fence",
    "write to the mayor",
    "repair the roof",
    "count the keys",
    "buy the seeds",
)
_WORDS = ("one", "two", "three", "four", "five", "six")

Row = dict[str, Any]


def scenario_rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, row) of every scenario, always the same."""
    for kind, make in KINDS.items():
        for num_criteria in COMPLEXITIES:
            for number in range(NUM_EACH):
                rng = random.Random(derive_seed("rubric", kind, num_criteria, number))
                name = f"{kind} {num_criteria}.{number}"
                yield name, {**make(rng, num_criteria - 1), "id": name, "complexity": num_criteria}


def _row(prompt: str, facts: Sequence[str], form: str, bad: str, reference: str) -> Row:
    """A row whose good criteria are the facts and, where it is not empty, the form."""
    criteria = [{"name": f"fact {number}", "criterion": fact, "weight": 2} for number, fact in enumerate(facts, 1)]
    if form:
        criteria.append({"name": "form", "criterion": form, "weight": 1})
    criteria.append({"name": "wrong", "criterion": bad, "weight": -2})
    return {"prompt": prompt, "criteria": criteria, "reference": reference}


def _num_facts(num_good: int) -> int:
    """The good criteria that are about facts: all but one, which is about form where there are two or more."""
    return max(1, num_good - 1)


def _decisions(rng: random.Random) -> list[str]:
    """Sentences that each settle something, in random order."""
    names, days, places = (rng.sample(pool, 3) for pool in (_NAMES, _DAYS, _PLACES))
    events, jobs = rng.sample(_EVENTS, 2), rng.sample(_JOBS, 2)
    found = [
        f"the new {rng.choice(_THINGS)} may cost {rng.randrange(110, 990)} euros",
        f"{names[0]} will {jobs[0]} by {days[0]}",
        f"the {events[0]} moves from {days[1]} to {days[2]}",
        f"the membership fee rises to {rng.randrange(12, 89)} euros",
        f"the {events[1]} takes place at the {places[0]}",
        f"{names[1]} follows {names[2]} as treasurer",
        f"the {places[1]} stays closed for {rng.randrange(2, 9)} weeks",
    ]
    rng.shuffle(found)
    return found


def _talk(rng: random.Random) -> list[str]:
    """Sentences of minutes that settle nothing."""
    names = rng.sample(_NAMES, 4)
    found = [
        f"{names[0]} said that the coffee at the {rng.choice(_PLACES)} had been cold.",
        f"{names[1]} remembered the {rng.choice(_EVENTS)} of ten years ago.",
        f"{names[2]} asked whether a {rng.choice(_THINGS)} could be borrowed; nobody knew.",
        f"It was noted that it had rained since {rng.choice(_DAYS)}.",
        f"{names[3]} told of a journey to a {rng.choice(_CLUBS)} abroad.",
    ]
    return rng.sample(found, 3)


def _summarise(rng: random.Random, num_good: int) -> Row:
    decided = _decisions(rng)[: _num_facts(num_good)]
    most = len(decided) + 1
    lines = [*(f"It was decided that {each}." for each in decided), *_talk(rng)]
    rng.shuffle(lines)
    prompt = (
        f"Summarise the minutes of the {rng.choice(_CLUBS)} for somebody who was not there, in at most "
        f"{_WORDS[most - 1]} sentences. Say what was decided, and leave out what was only talked about.\n\nMinutes:\n"
        + "\n".join(lines)
    )
    return _row(
        prompt,
        [f"Says that {each}." for each in decided],
        f"Has at most {_WORDS[most - 1]} sentences." if num_good > 1 else "",
        "States a name, a day, a place or a number that is not in the minutes.",
        " ".join(f"{each[0].upper()}{each[1:]}." for each in decided),
    )


_PARTS = ("belt", "valve", "spring", "float", "lever", "fan", "pump", "gear", "filter", "latch", "wheel", "bellows")
_MACHINES = ("water clock", "grain dryer", "paper press", "fountain", "wind organ", "bottling line", "ice maker")
_STATES = ("sticks", "runs slow", "leaks", "overheats", "trembles", "stops", "slips", "jams")


def _explain(rng: random.Random, num_good: int) -> Row:
    length = _num_facts(num_good)
    parts = rng.sample(_PARTS, length + 3)
    states = rng.sample(_STATES, length + 2)
    chain = [f"the {parts[i + 1]} {states[i + 1]} because the {parts[i]} {states[i]}" for i in range(length)]
    rules = [f"When the {parts[i]} {states[i]}, the {parts[i + 1]} {states[i + 1]}." for i in range(length)]
    innocent, bystander = parts[length + 1], parts[length + 2]
    rules.append(f"The {innocent} is new and works as it should.")
    rules.append(f"When the {innocent} {states[length + 1]}, the {bystander} must be cleaned.")
    rng.shuffle(rules)
    machine, reader = rng.choice(_MACHINES), rng.choice(_NAMES)
    prompt = (
        f"In the {machine} that {reader} looks after, the {parts[0]} {states[0]}, and the {parts[length]} "
        f"{states[length]}. Explain to {reader} how the one leads to the other, step by step, in at most 80 words.\n\n"
        f"What is known of the {machine}:\n" + "\n".join(rules)
    )
    return _row(
        prompt,
        [f"Says that {each}." for each in chain],
        "Has at most 80 words." if num_good > 1 else "",
        f"Names the {innocent} or the {bystander} as a cause.",
        " ".join(f"{each[0].upper()}{each[1:]}." for each in chain),
    )


_WANTS = {
    "flat": ("rooms", "a month"),
    "van": ("seats", "a day"),
    "hall": ("tables", "an evening"),
    "boat": ("berths", "a week"),
    "studio": ("windows", "a month"),
}
_COLOURS = ("red", "blue", "green", "white", "yellow", "grey", "brown")


def _advise(rng: random.Random, num_good: int) -> Row:
    thing, (unit, period) = rng.choice(list(_WANTS.items()))
    num_others = max(1, _num_facts(num_good) - 1)
    colours = rng.sample(_COLOURS, num_others + 1)
    need, budget, who = rng.randrange(3, 7), 10 * rng.randrange(30, 90), rng.choice(_NAMES)
    best = f"the {colours[0]} {thing}"
    offers = [(best, need + rng.randrange(0, 3), budget - rng.randrange(1, 60))]
    reasons: list[str] = []
    for number, colour in enumerate(colours[1:]):
        name = f"the {colour} {thing}"
        if number % 2:
            offers.append((name, need - 1, budget - rng.randrange(5, 90)))
            reasons.append(f"{name} does not fit because it has only {need - 1} {unit}")
        else:
            over = rng.randrange(5, 90)
            offers.append((name, need + rng.randrange(0, 3), budget + over))
            cost = budget + over
            reasons.append(f"{name} does not fit because it costs {cost} euros, more than {who} can pay")
    wrong = offers[1][0]
    rng.shuffle(offers)
    prompt = (
        f"{who} wants to rent a {thing} with at least {need} {unit}, for at most {budget} euros {period}. Advise "
        f"{who}: which of these to take, and why none of the others?\n\nOffers:\n"
        + "\n".join(f"- {name}: {size} {unit}, {price} euros {period}" for name, size, price in offers)
    )
    facts = [f"Recommends {best}.", *(f"Says that {each}." for each in reasons)][: _num_facts(num_good)]
    said = [f"{who}, take {best}", *reasons]
    return _row(
        prompt,
        facts,
        f"Speaks to {who} by name." if num_good > 1 else "",
        f"Recommends {wrong}.",
        " ".join(f"{each[0].upper()}{each[1:]}." for each in said),
    )


def _review(rng: random.Random, num_good: int) -> Row:
    num_wrong = _num_facts(num_good)
    things = rng.sample(_THINGS, num_wrong + 2)
    event, place, day = rng.choice(_EVENTS), rng.choice(_PLACES), rng.choice(_DAYS)
    lines: list[str] = []
    faults: list[str] = []
    for number, thing in enumerate(things):
        count, price = rng.randrange(2, 9), rng.randrange(11, 60)
        total = count * price
        if number < num_wrong:
            stated = total + rng.choice((-1, 1)) * rng.randrange(1, 10)
            faults.append(f"{count} x {thing} at {price} euros is {total} euros and not {stated}")
            total = stated
        lines.append(f"{count} x {thing} at {price} euros: {total} euros")
    right = things[-1]
    rng.shuffle(lines)
    prompt = (
        f"Review this list of costs for the {event} at the {place} on {day}: which lines are wrong, and what is right "
        "in their place? Put each mistake on a line of its own.\n\n" + "\n".join(lines)
    )
    return _row(
        prompt,
        [f"Says that {each}." for each in faults],
        "Puts each mistake on a line of its own." if num_good > 1 else "",
        f"Says that the line of the {right} is wrong.",
        "\n".join(f"{each[0].upper()}{each[1:]}." for each in faults),
    )


KINDS: Mapping[str, Callable[[random.Random, int], Row]] = {
    "summarise": _summarise,
    "explain": _explain,
    "advise": _advise,
    "review": _review,
}
"""Kind of task to what makes a row of it, from random numbers and the number of good criteria."""
