"""Routes: a van on a map of roads, which takes parcels to where they belong, one at a time."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from assay.environments.planning.world import Move, PlanningWorld, Problem, State, distances

TOWNS = (
    *("Arles", "Bern", "Cadiz", "Delft", "Essen", "Fano", "Ghent", "Hull", "Ivrea", "Jena", "Kiel", "Lund", "Metz"),
    *("Nice", "Oslo", "Porto", "Riga", "Split", "Turin", "Ulm", "Vaduz", "Wells", "Ypres", "Zug"),
)
THINGS = ("lamp", "chair", "clock", "drum", "piano", "mirror", "kettle", "globe")
NUM_PARCELS = {1: 0, 2: 1, 3: 2}
"""Complexity to the number of parcels; without any, the van itself has a place to reach."""
_IN_VAN = "van"
_NUM_GOALS = 100
_MOVE = re.compile(r"(drive to|load|unload) (?:the )?([a-z]+)", re.IGNORECASE)
_ROADS = re.compile(r"From ([A-Z][a-z]+) to ([A-Z][a-z, ]+?)\.", re.IGNORECASE)
_AT = re.compile(r"The (\w+) is (?:in|to be in) ([A-Z][a-z]+)\.")


class Routes(PlanningWorld):
    """A state is where the van is and where each parcel is: a town, or the van."""

    name = "routes"
    rules = (
        "A move drives the van to a town that a road leads to from where it is, loads a parcel that is where it is, "
        "or unloads the parcel that is in it. The van holds one parcel at a time. A move that changes nothing, such as "
        'driving to where the van is already, is not allowed. Write each move on a line of its own: "drive to TOWN", '
        '"load THING" or "unload THING".'
    )

    def problems(self, rng: random.Random, complexity: int, horizon: int) -> Iterator[Problem]:
        parcels = rng.sample(THINGS, NUM_PARCELS[complexity])
        towns = rng.sample(TOWNS, max(5, horizon) if parcels else min(len(TOWNS), 2 * horizon + 2))
        problem: dict[str, Any] = {
            "roads": _roads(rng, towns, 2 if parcels else 1),
            "start": {_IN_VAN: rng.choice(towns), **{parcel: rng.choice(towns) for parcel in parcels}},
            "goal": {},
        }
        nearest: dict[tuple[str, ...], int] = {}
        for state, distance in distances(self, problem, horizon).items():
            assert isinstance(state, tuple)
            ends = state[1:] if parcels else state
            if _IN_VAN not in ends:
                nearest.setdefault(ends, distance)
        far = sorted(ends for ends, distance in nearest.items() if distance == horizon)
        for ends in rng.sample(far, min(len(far), _NUM_GOALS)):
            yield {**problem, "goal": dict(zip(parcels or [_IN_VAN], ends, strict=True))}

    def text(self, problem: Problem) -> str:
        roads = " ".join(f"From {town} to {', '.join(others)}." for town, others in problem["roads"].items())
        now = " ".join(f"The {thing} is in {town}." for thing, town in problem["start"].items())
        goal = " ".join(f"The {thing} is to be in {town}." for thing, town in problem["goal"].items())
        return f"Roads that a van can drive:\n{roads}\nNow: {now}\nGoal: {goal}\n{self.rules}"

    def parsed(self, text: str) -> Problem:
        found = re.search(r"^(From .*)\nNow: (.*)\nGoal: (.*)$", text, re.MULTILINE)
        assert found is not None, "a prompt of ours"
        roads = {town: others.split(", ") for town, others in _ROADS.findall(found[1])}
        return {"roads": roads, "start": dict(_AT.findall(found[2])), "goal": dict(_AT.findall(found[3]))}

    def start(self, problem: Problem) -> State:
        return tuple(problem["start"].values())

    def moves(self, problem: Problem, state: State) -> Iterator[tuple[Move, State]]:
        assert isinstance(state, tuple)
        here, *places = state
        for town in problem["roads"].get(here, ()):
            yield ("drive to", town), (town, *places)
        holds = _IN_VAN in places
        for number, (thing, place) in enumerate(zip(list(problem["start"])[1:], places, strict=True)):
            if place == _IN_VAN or (place == here and not holds):
                verb, now = ("unload", here) if place == _IN_VAN else ("load", _IN_VAN)
                yield (verb, thing), (here, *places[:number], now, *places[number + 1 :])

    def goals(self, problem: Problem, state: State) -> list[bool]:
        assert isinstance(state, tuple)
        now = dict(zip(problem["start"], state, strict=True))
        return [now[thing] == town for thing, town in problem["goal"].items()]

    def facts(self, problem: Problem) -> list[tuple[str, ...]]:
        facts: list[tuple[str, ...]] = [
            ("road", town, other) for town, others in problem["roads"].items() for other in others
        ]
        for part in ("start", "goal"):
            for thing, town in problem[part].items():
                facts.append((f"{part} {_IN_VAN}", town) if thing == _IN_VAN else (part, thing, town))
        return facts

    def said(self, move: Move) -> str:
        return " ".join(move)

    def read(self, line: str) -> Move | None:
        found = _MOVE.fullmatch(line)
        if found is None:
            return None
        verb, name = found[1].lower(), found[2].lower()
        return verb, name.capitalize() if verb == "drive to" else name


def _roads(rng: random.Random, towns: list[str], more: int) -> dict[str, list[str]]:
    """Roads both ways that join all towns, as a tree with a few more."""
    roads: dict[str, list[str]] = {town: [] for town in sorted(towns)}
    for number, town in enumerate(towns[1:], start=1):
        # Long branches, so that there is somewhere far to go.
        other = towns[rng.randrange(max(0, number - 2), number)]
        roads[town].append(other)
        roads[other].append(town)
    for _ in range(more):
        one, other = rng.sample(towns, 2)
        if other not in roads[one]:
            roads[one].append(other)
            roads[other].append(one)
    return {town: sorted(others) for town, others in roads.items()}
