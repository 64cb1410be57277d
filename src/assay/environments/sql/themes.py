"""Themes: tables that name each other in a chain, and databases full of rows for them."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from assay.environments.database.sql import made_of


@dataclass(frozen=True)
class Entity:
    """A table: a name of its own for each row, a kind, and a whole number. All but the first name the row above."""

    table: str
    plural: str
    kind: str
    """The name of the column that says of what kind a row is."""
    kinds: tuple[str, ...]
    number: str
    """The name of the column with the number."""
    numbers: tuple[int, int]
    """Smallest and largest."""


THEMES: Mapping[str, tuple[Entity, ...]] = {
    "sea": (
        Entity("harbour", "harbours", "coast", ("north", "south", "east", "west"), "depth", (5, 30)),
        Entity("ship", "ships", "rig", ("sloop", "ketch", "barque", "yawl"), "length", (8, 60)),
        Entity("sailor", "sailors", "rank", ("mate", "cook", "pilot", "deckhand"), "age", (17, 66)),
        Entity("letter", "letters", "stamp", ("red", "blue", "green", "black"), "weight", (5, 80)),
    ),
    "school": (
        Entity("school", "schools", "district", ("hill", "lake", "mill", "park"), "opened", (1890, 2015)),
        Entity("class", "classes", "wing", ("old", "new", "upper", "lower"), "seats", (12, 36)),
        Entity("pupil", "pupils", "club", ("chess", "choir", "drama", "judo"), "height", (110, 190)),
        Entity("exam", "exams", "subject", ("algebra", "biology", "history", "physics"), "points", (0, 100)),
    ),
    "trade": (
        Entity("region", "regions", "climate", ("dry", "mild", "wet", "cold"), "area", (50, 900)),
        Entity("shop", "shops", "trade", ("books", "shoes", "tools", "toys"), "staff", (2, 40)),
        Entity("customer", "customers", "tier", ("gold", "silver", "bronze", "basic"), "visits", (1, 90)),
        Entity("purchase", "purchases", "payment", ("cash", "card", "cheque", "voucher"), "price", (3, 400)),
    ),
    "farm": (
        Entity("valley", "valleys", "soil", ("clay", "sand", "loam", "peat"), "altitude", (100, 1800)),
        Entity("farm", "farms", "crop", ("barley", "maize", "oats", "rye"), "acres", (10, 400)),
        Entity("barn", "barns", "roof", ("tin", "tile", "thatch", "slate"), "built", (1850, 2020)),
        Entity("animal", "animals", "species", ("cow", "goat", "horse", "sheep"), "mass", (30, 900)),
    ),
}
MAX_TABLES = 4
NUM_ROWS = (9, 11, 14, 18)
"""Rows of the tables of a chain, from the first on; each database has about so many."""
_SYLLABLES = ("ba", "do", "fi", "ga", "ki", "lo", "mu", "ne", "po", "ra", "se", "ti", "vu", "za")
_NAMES = tuple((a + b + c).capitalize() for a in _SYLLABLES for b in _SYLLABLES for c in ("n", "r", "s"))


def schema(entities: tuple[Entity, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Return (table, column definitions) of the tables of a chain."""
    tables: list[tuple[str, tuple[str, ...]]] = []
    for place, entity in enumerate(entities):
        above = (f"{entities[place - 1].table}_id INTEGER",) if place else ()
        columns = ("id INTEGER", "name TEXT", f"{entity.kind} TEXT", f"{entity.number} INTEGER", *above)
        tables.append((entity.table, columns))
    return tables


@functools.lru_cache(maxsize=256)
def database(entities: tuple[Entity, ...], seed: int, compared: tuple[tuple[str, str | int], ...]) -> str:
    """Return a script that makes a database with rows drawn from a seed.

    Args:
        compared: columns and the value that a question compares each with: it comes often enough that who
            takes "above" for "at least", or leaves a condition out, is found out.
    """
    rng, wanted = random.Random(seed), dict(compared)
    tables = []
    above: list[int] = []
    for place, (entity, (name, columns)) in enumerate(zip(entities, schema(entities), strict=True)):
        count = NUM_ROWS[place] + rng.randint(-1, 2)
        names = rng.sample(_NAMES, count)
        # Some rows are named by none, so that joins and subqueries differ.
        used = above[:-1] if len(above) > 3 else above
        ids = rng.sample(range(1, 4 * count), count)
        rows: list[tuple[object, ...]] = []
        for number, each in zip(ids, names, strict=True):
            kind = wanted.get(entity.kind) if rng.random() < 0.4 else None
            size = wanted.get(entity.number) if rng.random() < 0.25 else None
            row = (number, each, kind or rng.choice(entity.kinds), size or rng.randint(*entity.numbers))
            rows.append((*row, rng.choice(used)) if place else row)
        tables.append((name, columns, rows))
        above = ids
    return f"BEGIN;\n{made_of(tables)}\nCOMMIT;"  # one transaction is many times as fast as one for each row
