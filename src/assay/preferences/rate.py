"""Models rated by comparisons: Bradley-Terry ratings, win rates, and win rates at equal lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from assay.environments.data_files import read_rows
from assay.errors import DataError
from assay.preferences.collected import standing_rows
from assay.preferences.forms import TIE, RowError, number_of, stated_preference, text_of_cell
from assay.preferences.pair import Pair, text_of_messages
from assay.preferences.prompts import DifferentPromptsError
from assay.preferences.read import judged_in
from assay.statistics.bradley_terry import Comparisons, Ratings, fit_bradley_terry, names_and_numbers
from assay.statistics.interval import Interval
from assay.statistics.length_control import length_controlled_rate
from assay.statistics.profile import Estimate
from assay.statistics.proportion import clustered_proportion

Scale = Literal["log-odds", "elo"]
ELO = 400 / math.log(10)
"""Points of Elo's scale to one of natural log odds: 400 points are odds of ten to one."""
_DIFFICULTIES = ("difficulty", "instruction_difficulty")
_WITH_TEXTS = (("conversation_a", "conversation_b"), ("response_a", "response_b"), ("first", "second"))


@dataclass(frozen=True)
class Match:
    """A comparison of two models on one prompt, without its texts. What is not known is None."""

    model_a: str
    model_b: str
    preference: float
    """The preference for b, from 0 to 1."""
    length_a: float | None = None
    length_b: float | None = None
    """`length_a` and `length_b`: how long the responses are, in one unit for all."""
    annotator: str | None = None
    difficulty: float | None = None
    """How hard the instruction is, for the length-controlled rate."""


@dataclass
class Matches:
    """The comparisons of a file, and what was left out of it."""

    rows: list[Match] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason to the number of rows that were left out for it."""


@dataclass(frozen=True)
class ModelRate:
    """What comparisons say of one model."""

    rating: Estimate
    """The rating in log odds, mean 0 within the model's part, with its interval; an open end is None."""
    part: int
    """The number of the part, from 0: ratings of different parts do not compare."""
    num: int
    """Comparisons of the model."""
    win_rate: Interval | None
    """The share won, ties a half; against the baseline alone where there is one. None for no such comparison."""
    length_controlled: Interval | None
    """The same if responses were equally long; None where that is not told."""
    length: Interval | None
    """Log odds that a longer response brings the model, the coefficient of tanh of the standardised difference."""
    notes: tuple[str, ...] = ()

    def to_dict(self, scale: Scale = "log-odds") -> dict[str, Any]:
        """As JSON; what is open or not known is null, and parts count from 1."""
        factor = ELO if scale == "elo" else 1.0
        rating = {name: None if end is None else end * factor for name, end in self.rating.to_dict().items()}
        data = {"rating": rating["value"], "low": rating["low"], "high": rating["high"]}
        for name, interval in (("win_rate", self.win_rate), ("length_controlled_win_rate", self.length_controlled)):
            data[name] = None if interval is None else interval.value
            data[f"{name}_low"] = None if interval is None else interval.low
            data[f"{name}_high"] = None if interval is None else interval.high
        length = None if self.length is None else self.length.to_dict()
        return {**data, "length_effect": length, "num": self.num, "part": self.part + 1, "notes": list(self.notes)}


@dataclass(frozen=True)
class Rates:
    """Models rated by their comparisons."""

    models: Mapping[str, ModelRate]
    """By name, best first within a part, largest part first."""
    num_parts: int
    num_annotators: int | None
    """Annotators that the intervals of ratings allow for; None where they take comparisons as independent."""
    notes: tuple[str, ...]
    """What is to be known of all, in sentences."""


def read_matches(source: str) -> Matches:
    """Comparisons of models from a table: `model_a`, `model_b`, `preference` (for b) or `winner` (`model_a`, `model_b`,
    `tie`), and where they are there `length_a`, `length_b`, `annotator`, `difficulty`; or from pairs with the names of
    their models, whose lengths are characters.

    Raises:
        DataError: the file cannot be read, or a row cannot: names the file, the line and the remedy.
    """
    found = Matches()
    for place, row in standing_rows(read_rows(source)):
        try:
            match = _from_pair(row) if _has_texts(row) else _from_table(row)
        except DifferentPromptsError:
            match = "conversations that answer no common prompt"
        except ValueError as error:
            raise DataError(f"{place}: {error}") from None
        if isinstance(match, str):
            found.left_out[match] += 1
        else:
            found.rows.append(match)
    if not found.rows:
        why = ", ".join(f"{count} with {reason}" for reason, count in found.left_out.items()) or "it has no rows"
        raise DataError(f"{source} holds no comparison of two models: {why}")
    return found


def _has_texts(row: Mapping[str, Any]) -> bool:
    return any(all(row.get(name) is not None for name in names) for names in _WITH_TEXTS)


def _from_table(row: Mapping[str, Any]) -> Match | str:
    """A match, or why the row is left out."""
    missing = [name for name in ("model_a", "model_b") if name not in row]
    if missing or not ("preference" in row or "winner" in row):
        raise RowError(
            f"its columns ({', '.join(map(str, row)):.300}) are not those of comparisons; expected model_a, model_b, "
            "and preference (for b, from 0 to 1) or winner (model_a, model_b or tie)"
        )
    names = [text_of_cell(row, name) for name in ("model_a", "model_b")]
    if names[0] is None or names[1] is None:
        return "no name of a model"
    preference = stated_preference(row)
    if preference is None:
        return "neither preference nor winner"
    if names[0] == names[1]:
        return "a model beside itself"
    length_a, length_b = (number_of(row, name) for name in ("length_a", "length_b"))
    if min(length_a or 0, length_b or 0) < 0:
        raise RowError("a length is below 0; lengths are counts, such as of characters or tokens")
    annotator = text_of_cell(row, "annotator", "judge")
    return Match(names[0], names[1], preference, length_a, length_b, annotator, number_of(row, *_DIFFICULTIES))


def _from_pair(row: Mapping[str, Any]) -> Match | str:
    pair = next(judged_in(row))
    if not isinstance(pair, Pair) or pair.first_model is None or pair.second_model is None:
        return "no name of a model"
    if pair.first_model == pair.second_model:
        return "a model beside itself"
    given = [number_of(row, name) for name in ("length_a", "length_b")]
    lengths = [
        len(text_of_messages(side)) if length is None else length
        for side, length in zip((pair.first, pair.second), given, strict=True)
    ]
    return Match(
        pair.first_model,
        pair.second_model,
        pair.preference,
        lengths[0],
        lengths[1],
        pair.annotator,
        number_of({**pair.metadata, **row}, *_DIFFICULTIES),
    )


def rate_models(matches: Sequence[Match], baseline: str | None = None) -> Rates:
    """Rate models by their comparisons.

    Args:
        baseline: the model that win rates are against; None for all that a model was compared with.

    Raises:
        DataError: no comparison, or none with the baseline.
    """
    if not matches:
        raise DataError("there are no comparisons to rate models by")
    names, first, second = names_and_numbers([each.model_a for each in matches], [each.model_b for each in matches])
    if baseline is not None and baseline not in names:
        raise DataError(f"no comparison has the baseline {baseline!r}; the models are {', '.join(names):.300}")
    preference = np.array([each.preference for each in matches])
    comparisons = Comparisons(first, second, preference, len(names), _clusters(matches))
    ratings = fit_bradley_terry(comparisons)
    part_of = {item: number for number, part in enumerate(ratings.parts) for item in part}
    sides: dict[str, list[Match]] = {name: [] for name in names}
    for each in matches:
        sides[each.model_a].append(_seen_from_b(each))
        sides[each.model_b].append(each)
    rated = {
        name: _rate_one(name, sides[name], ratings.estimates[number], part_of[number], baseline)
        for number, name in enumerate(names)
    }
    ordered = sorted(rated.items(), key=lambda item: (item[1].part, -(item[1].rating.value or 0.0), item[0]))
    notes = tuple(_notes(ratings, names, matches))
    annotators = len({each.annotator for each in matches} - {None})
    return Rates(dict(ordered), len(ratings.parts), annotators if ratings.num_clusters else None, notes)


def _seen_from_b(match: Match) -> Match:
    """The same comparison with its sides changed, so that a's is b's."""
    return replace(
        match,
        model_a=match.model_b,
        model_b=match.model_a,
        preference=1 - match.preference,
        length_a=match.length_b,
        length_b=match.length_a,
    )


def _clusters(matches: Sequence[Match]) -> np.ndarray | None:
    """The number of each row's annotator; rows that name none are each their own."""
    if not any(each.annotator for each in matches):
        return None
    names = [each.annotator or f"\0{number}" for number, each in enumerate(matches)]
    return np.unique(names, return_inverse=True)[1].ravel()


def _rate_one(name: str, own: Sequence[Match], rating: Estimate, part: int, baseline: str | None) -> ModelRate:
    """The rates of one model; `own` are its comparisons with it as b."""
    notes = [
        f"never {what}" for what, worst in (("lost", 1.0), ("won", 0.0)) if all(m.preference == worst for m in own)
    ]
    against = own if baseline is None else [match for match in own if match.model_a == baseline]
    if not against:
        if name != baseline:
            notes.append("no comparison with the baseline")
        return ModelRate(rating, part, len(own), None, None, None, tuple(notes))
    win_rate = clustered_proportion([match.preference for match in against], len(against))
    measured = [match for match in against if match.length_a is not None and match.length_b is not None]
    if not measured:
        return ModelRate(rating, part, len(own), win_rate, None, None, tuple(notes))
    wins = np.array([match.preference for match in measured])
    differences = np.array([(match.length_b or 0.0) - (match.length_a or 0.0) for match in measured])
    given = [match.difficulty for match in measured]
    difficulty = np.array(given) if None not in given else None
    controlled = length_controlled_rate(wins, differences, difficulty)
    if controlled.note:
        notes.append(controlled.note)
    return ModelRate(rating, part, len(own), win_rate, controlled.rate, controlled.length, tuple(notes))


def _notes(ratings: Ratings, names: Sequence[str], matches: Sequence[Match]) -> Iterator[str]:
    if len(ratings.parts) > 1:
        parts = "; ".join(", ".join(names[item] for item in part) for part in ratings.parts)
        yield (
            f"the comparisons fall into {len(ratings.parts)} parts that cannot be compared, each with mean 0: "
            f"{parts:.500}. Compare models of different parts to join them"
        )
    open_ends = [names[item] for item, each in enumerate(ratings.estimates) if each.low is None or each.high is None]
    if open_ends:
        yield (
            f"not bounded on one side, or both: {', '.join(open_ends):.500} (never lost, or never won, against the "
            "others): the rating is that of Firth's penalised likelihood, the end of the interval is open"
        )
    without = sum(match.length_a is None or match.length_b is None for match in matches)
    if without == len(matches):
        yield "no lengths (length_a, length_b): no length-controlled win rates"
    elif without:
        yield f"{without} of {len(matches)} comparisons have no lengths: the length-controlled win rates leave them out"
    some = sum(match.difficulty is not None for match in matches)
    if 0 < some < len(matches):
        yield f"{len(matches) - some} comparisons have no difficulty: models with such are fitted without that term"
    ties = sum(match.preference == TIE for match in matches)
    if ties:
        yield f"{ties} of {len(matches)} comparisons are ties, each half a win of both"
