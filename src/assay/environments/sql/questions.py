"""Questions: what is asked of a chain of tables, the query that answers it, and queries that nearly do."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from assay.environments.sql.themes import Entity


@dataclass(frozen=True)
class SqlQuestion:
    """A question in words, with its query."""

    text: str
    gold: str
    """The query that answers it, as SQLite is asked: it is run as it stands, never translated."""
    ordered: bool
    """True where the order of the rows was asked for."""
    wanted: Mapping[str, str | int]
    """Columns and the values that they are compared with."""
    misses: tuple[str, ...]
    """Queries that a hurried reader might write. Each must be told from the gold query by the databases of its task."""
    limited: str = field(default="")
    """The query of somebody who joins two tables at most, and knows no subqueries and no HAVING; empty for none."""


def drawn_question(rng: random.Random, complexity: int, chain: tuple[Entity, ...]) -> SqlQuestion:
    """A question whose query needs every table of a chain."""
    return rng.choice(_QUESTIONS[complexity])(rng, chain)


def joined(chain: tuple[Entity, ...]) -> str:
    """Return the FROM clause of all tables of a chain, the last first."""
    text = chain[-1].table
    for below, above in zip(chain[::-1], chain[-2::-1], strict=False):
        text += f" JOIN {above.table} ON {below.table}.{above.table}_id = {above.table}.id"
    return text


def _of(chain: tuple[Entity, ...], kind: str) -> str:
    """ "ships whose harbour has coast 'north'", "sailors whose ship's harbour has ...", "harbours with ..."."""
    first, last = chain[0], chain[-1]
    if len(chain) == 1:
        return f"{last.plural} with {first.kind} '{kind}'"
    path = "'s ".join(entity.table for entity in chain[-2::-1])
    return f"{last.plural} whose {path} has {first.kind} '{kind}'"


def _not_of(chain: tuple[Entity, ...], kind: str) -> str:
    """The same with the kind left out."""
    if len(chain) == 1:
        return f"{chain[-1].plural} with another {chain[0].kind} than '{kind}'"
    return _of(chain, kind).replace(" has ", " does not have ")


def _two(rng: random.Random, chain: tuple[Entity, ...]) -> tuple[str, int, dict[str, str | int]]:
    """A kind of the first table, a bound on the last one's number, and both as what is wanted."""
    first, last = chain[0], chain[-1]
    low, high = last.numbers
    kind, bound = rng.choice(first.kinds), rng.randint(low + (high - low) // 4, high - (high - low) // 3)
    return kind, bound, {first.kind: kind, last.number: bound}


def _bounded(rng: random.Random) -> tuple[str, str, str]:
    """A comparison, its words, and the one that a hurried reader takes it for."""
    return rng.choice(((">", "above", ">="), ("<", "below", "<="), (">=", "at least", ">"), ("<=", "at most", "<")))


def _listed(rng: random.Random, chain: tuple[Entity, ...]) -> SqlQuestion:
    first, last = chain[0], chain[-1]
    kind, bound, wanted = _two(rng, chain)
    sign, word, other = _bounded(rng)
    start, is_kind = f"SELECT {last.table}.name FROM {joined(chain)} WHERE ", f"{first.table}.{first.kind} = '{kind}'"
    number = f"{last.table}.{last.number}"
    gold = f"{start}{is_kind} AND {number} {sign} {bound}"
    misses = (
        f"{start}{is_kind}",
        f"{start}{number} {sign} {bound}",
        f"{start}{is_kind} AND {number} {other} {bound}",
        f"{start}{is_kind} OR {number} {sign} {bound}",
        gold.replace(f"SELECT {last.table}.name", f"SELECT {last.table}.name, {number}"),
        gold.replace(f"SELECT {last.table}.name", f"SELECT {last.table}.id"),
    )
    text = f"What are the names of the {_of(chain, kind)}, if their {last.number} is {word} {bound}? One row for each."
    return SqlQuestion(text, gold, False, wanted, misses, gold)


def _counted(rng: random.Random, chain: tuple[Entity, ...]) -> SqlQuestion:
    first, last = chain[0], chain[-1]
    kind, bound, wanted = _two(rng, chain)
    sign, word, other = _bounded(rng)
    number, some = f"{last.table}.{last.number}", joined(chain)
    forms = {
        "COUNT(*)": "how many are there?",
        f"SUM({number})": f"what is the sum of their {last.number}?",
        f"AVG({number})": f"what is their average {last.number}?",
        f"MAX({number})": f"what is their largest {last.number}?",
        f"MIN({number})": f"what is their smallest {last.number}?",
    }
    what = rng.choice(tuple(forms))
    is_kind, is_size = f"{first.table}.{first.kind} = '{kind}'", f"{number} {sign} {bound}"
    gold = f"SELECT {what} FROM {some} WHERE {is_kind} AND {is_size}"
    misses = (
        *(f"SELECT {wrong} FROM {some} WHERE {is_kind} AND {is_size}" for wrong in forms if wrong != what),
        f"SELECT {what} FROM {some} WHERE {is_kind} OR {is_size}",
        f"SELECT {last.table}.id, {what} FROM {some} WHERE {is_kind} AND {is_size}",
    )
    # What the condition is on decides what else is told apart: the largest is the same without a bound from below.
    if what in ("COUNT(*)", f"SUM({number})", f"AVG({number})"):
        misses += (f"SELECT {what} FROM {some} WHERE {is_kind} AND {number} {other} {bound}",)
        misses += (f"SELECT {what} FROM {some} WHERE {is_kind}", f"SELECT {what} FROM {some} WHERE {is_size}")
    text = f"Of the {_of(chain, kind)}, take those whose {last.number} is {word} {bound}: {forms[what]} One row."
    return SqlQuestion(text, gold, False, wanted, misses, gold)


def _grouped(rng: random.Random, chain: tuple[Entity, ...]) -> SqlQuestion:
    first, last = chain[0], chain[-1]
    least = rng.choice((2, 3)) if len(chain) > 1 else 2
    kind, (low, high) = rng.choice(first.kinds), last.numbers
    bound = rng.randint((low + high) // 2, high - (high - low) // 5)  # groups need rows
    wanted: dict[str, str | int] = {first.kind: kind, last.number: bound}
    column, number = f"{last.table}.{last.kind}", f"{last.table}.{last.number}"
    what, words = rng.choice(
        (("COUNT(*)", f"the number of {last.plural}"), (f"SUM({number})", f"the sum of their {last.number}"))
    )
    start, group = f"SELECT {column}, {what} FROM {joined(chain)}", f" GROUP BY {column}"
    is_size = f"{number} < {bound}"
    where = f" WHERE {is_size} AND {first.table}.{first.kind} <> '{kind}'"
    having, order = f" HAVING COUNT(*) >= {least}", f" ORDER BY {what} DESC, {column}"
    gold = f"{start}{where}{group}{having}{order}"
    text = (
        f"Take the {_not_of(chain, kind)}, if their {last.number} is below {bound}. For each {last.kind} that at least "
        f"{least} of them have, give the {last.kind} and {words}, those with the largest first, and those with equal "
        f"ones by {last.kind} from A to Z."
    )
    misses = (
        f"{start}{where}{group}{order}",
        f"{start}{where}{group} HAVING COUNT(*) > {least}{order}",
        f"{start}{where}{group}{having} ORDER BY {what}, {column}",
        f"{start}{where}{group}{having} ORDER BY {column} DESC",
        f"{start} WHERE {is_size}{group}{having}{order}",
        f"SELECT {column} FROM {joined(chain)}{where}{group}{having}{order}",
        f"{gold} LIMIT 1",
    )
    return SqlQuestion(text, gold, True, wanted, misses, f"{start}{where}{group}{order}")


def _above_average(rng: random.Random, chain: tuple[Entity, ...]) -> SqlQuestion:
    first, last = chain[0], chain[-1]
    kind, _, wanted = _two(rng, chain)
    link = f"{chain[-2].table}_id" if len(chain) > 1 else last.kind
    same = f"with the same {chain[-2].table}" if len(chain) > 1 else f"of the same {last.kind}"
    table, number = last.table, last.number
    average = f"(SELECT AVG(other.{number}) FROM {table} AS other WHERE other.{link} = {table}.{link})"
    start = f"SELECT {table}.name FROM {joined(chain)} WHERE "
    is_kind = f" AND {first.table}.{first.kind} <> '{kind}'"
    gold = f"{start}{table}.{number} > {average}{is_kind}"
    text = (
        f"What are the names of the {_not_of(chain, kind)}, if their {number} is above the average {number} of all "
        f"{last.plural} {same}? One row for each."
    )
    largest = f"(SELECT MAX(other.{number}) FROM {table} AS other WHERE other.{link} = {table}.{link})"
    overall = f"(SELECT AVG({number}) FROM {table})"
    misses = (
        f"{start}{table}.{number} > {overall}{is_kind}",
        f"{start}{table}.{number} >= {average}{is_kind}",
        f"{start}{table}.{number} < {average}{is_kind}",
        f"{start}{table}.{number} > {average}",
        f"{start}{table}.{number} = {largest}{is_kind}",
    )
    return SqlQuestion(text, gold, False, wanted, misses, f"{start}{table}.{number} > {overall}{is_kind}")


def _share(rng: random.Random, chain: tuple[Entity, ...]) -> SqlQuestion:
    first, last = chain[0], chain[-1]
    kind, bound, wanted = _two(rng, chain)
    number = f"{last.table}.{last.number}"
    rest = f" FROM {joined(chain)} WHERE {first.table}.{first.kind} = '{kind}'"
    case = f"SUM(CASE WHEN {number} > {bound} THEN 1 ELSE 0 END)"
    whole = f"(SELECT COUNT(*) FROM {last.table})"
    text = (
        f"Of the {_of(chain, kind)}, what share has a {last.number} above {bound}? One row with one number from 0 to "
        "1, not rounded."
    )
    misses = (
        f"SELECT {case} / COUNT(*){rest}",  # whole numbers: SQLite divides them without a rest
        f"SELECT {case}{rest}",
        f"SELECT 100.0 * {case} / COUNT(*){rest}",
        f"SELECT 1.0 * {case} / {whole}{rest}",
        f"SELECT ROUND(1.0 * {case} / COUNT(*), 1){rest}",
        f"SELECT AVG({number}){rest}",
        f"SELECT 1.0 * {case} / COUNT(*) FROM {joined(chain)}",
    )
    return SqlQuestion(text, f"SELECT 1.0 * {case} / COUNT(*){rest}", False, wanted, misses, misses[0])


_QUESTIONS: Mapping[int, tuple[Callable[[random.Random, tuple[Entity, ...]], SqlQuestion], ...]] = {
    1: (_listed,),
    2: (_counted,),
    3: (_grouped,),
    4: (_above_average, _share),
}
