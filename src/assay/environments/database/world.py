"""Worlds of tables: what a database holds, what is asked of it, and the answer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from assay.environments.database.sql import made_of

NAMES = (
    "Ada",
    "Ben",
    "Cleo",
    "Dov",
    "Eva",
    "Finn",
    "Gia",
    "Hal",
    "Ida",
    "Jon",
    "Kay",
    "Leo",
    "Mia",
    "Ned",
    "Ola",
    "Pia",
    "Quin",
    "Ria",
    "Sol",
    "Tom",
    "Uma",
    "Vic",
    "Wes",
    "Xia",
    "Zoe",
)
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("team", ("Reds", "Blues", "Hawks", "Bears", "Foxes", "Owls", "Stags", "Wolves")),
    ("city", ("Arles", "Bern", "Cadiz", "Delft", "Essen", "Fano", "Ghent", "Hull")),
    ("river", ("Aare", "Bever", "Clyde", "Doubs", "Ebro", "Fulda", "Glan", "Humber")),
    ("sea", ("Adria", "Baltic", "Celtic", "Dogger", "Euxine", "Ionian", "Ligure", "Marmara")),
    ("ship", ("Ajax", "Bounty", "Carrack", "Dart", "Erebus", "Fram", "Gjoa", "Hermes")),
    ("captain", ("Adler", "Birch", "Crane", "Drake", "Elm", "Frost", "Grove", "Heath")),
    ("dog", ("Argo", "Bingo", "Coco", "Duke", "Echo", "Fido", "Gus", "Hugo")),
    ("toy", ("ball", "bell", "bone", "cube", "disc", "duck", "ring", "rope")),
)
"""Kind of thing that each table holds, in the order of the hops, with their names."""
MAX_HOPS = len(KINDS)
NUM_ROWS = {1: 4, 2: 6, 3: 8}


@dataclass(frozen=True)
class DatabaseWorld:
    """A generated database with one thing to do."""

    tables: tuple[str, ...]
    script: str
    question: str
    answer: str
    """The text that answers; for a change, what is said at the end does not count and this is "done"."""
    path: tuple[dict[str, Any], ...]
    """The path there: for each hop the column, its table, and the table that it points to."""
    start: str
    """The person that the question begins with."""
    changed: str
    """The statement that makes the change asked for; empty where a question is asked."""

    @property
    def schema(self) -> str:
        """The tables with their columns, as the model is told of them."""
        return "\n".join(
            line.removeprefix("CREATE TABLE ").rstrip(";") for line in self.script.split("\n") if "CREATE" in line
        )


def generate(rng: random.Random, complexity: int, hops: int) -> DatabaseWorld:
    """A world whose question takes `hops` lookups, one after the other.

    Complexity 1 has four rows a table and asks for a name, 2 has six and asks how many people are led to the same
    place, 3 has eight and asks for a change.
    """
    kinds = KINDS[:hops]
    size = NUM_ROWS[complexity]
    people = rng.sample(NAMES, size)
    named = [rng.sample(names, size) for _, names in kinds]
    links = [[rng.randrange(size) for _ in range(size)] for _ in kinds]
    first = kinds[0][0]
    tables: list[tuple[str, tuple[str, ...]]] = [("person", ("id INTEGER", "name TEXT", f"{first}_id INTEGER"))]
    rows: list[list[tuple[object, ...]]] = [
        [(i + 1, name, link + 1) for i, (name, link) in enumerate(zip(people, links[0], strict=True))]
    ]
    for depth, (kind, _) in enumerate(kinds):
        onward = kinds[depth + 1][0] if depth + 1 < hops else None
        columns = ("id INTEGER", "name TEXT", *([f"{onward}_id INTEGER"] if onward else []))
        tables.append((kind, columns))
        rows.append(
            [(i + 1, name, *([links[depth + 1][i] + 1] if onward else [])) for i, name in enumerate(named[depth])]
        )
    order = list(range(len(tables)))
    rng.shuffle(order)
    script = made_of([(*tables[i], rng.sample(rows[i], len(rows[i]))) for i in order])

    def end(person: int) -> int:
        at = person
        for link in links:
            at = link[at]
        return at

    chosen = rng.randrange(size)
    last, target = kinds[-1][0], end(chosen)
    path = tuple(
        {"table": "person" if depth == 0 else kinds[depth - 1][0], "to": kind} for depth, (kind, _) in enumerate(kinds)
    )
    trail = "".join(f"'s {kind}" for kind, _ in kinds)
    question, answer, changed = f"What is the name of {people[chosen]}{trail}?", named[-1][target], ""
    if complexity == 2:
        count = sum(end(person) == target for person in range(size))
        question, answer = f"How many persons have the same {last} as {people[chosen]}{trail}?", str(count)
    elif complexity == 3:
        question, answer = f'Change the name of {people[chosen]}{trail} to "New". Change nothing else.', "done"
        changed = f"UPDATE {last} SET name = 'New' WHERE id = {target + 1}"
    return DatabaseWorld(tuple(table for table, _ in tables), script, question, answer, path, people[chosen], changed)
