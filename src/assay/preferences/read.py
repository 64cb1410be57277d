"""Reading comparisons from files: every form that preference data comes in, what is no comparison counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from assay.environments.data_files import read_rows
from assay.errors import DataError
from assay.preferences.collected import standing_rows
from assay.preferences.forms import FORMS, Judged, Rated, RowError, messages_of, number_of, prompt_of, rated_pairs
from assay.preferences.pair import TIE, Labelled, Pair, text_of_messages
from assay.preferences.prompts import DifferentPromptsError

RATINGS = ("helpfulness", "rating", "score")
"""Columns with the rating of a `response`, the first of them that a row has (HelpSteer has helpfulness)."""
IDENTICAL = "two responses that are the same"
EMPTY = "an empty response"
DIFFERENT_PROMPTS = "two conversations that answer no common prompt"
UNPAIRED = "a rating alone, with no other of its prompt"
BAD_ROW = "a row that cannot be read"


@dataclass
class Preferences:
    """What a file holds: comparisons, labelled responses, and how many rows are neither."""

    pairs: list[Pair] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason to the number of comparisons (or rows) that were left out for it."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason to the place where it first came up, and what is wrong there."""
    forms: Counter[str] = field(default_factory=Counter)
    """Form to the number of its rows."""
    notes: list[str] = field(default_factory=list)
    """Cautions, in sentences."""

    def leave_out(self, reason: str, place: str, why: str = "") -> None:
        """Count one that is left out."""
        self.left_out[reason] += 1
        self.examples.setdefault(reason, f"{place}: {why}" if why else place)

    def told(self) -> list[str]:
        """Return what is to be said of the file: what was left out, and labels that contradict each other."""
        lines = [
            f"left out: {count} with {reason} (the first: {self.examples[reason]})"
            for reason, count in self.left_out.most_common()
        ]
        found = contradictions(self.pairs)
        if found:
            one, other = found[0]
            lines.append(
                f"contradictory: {len(found)} pairs are judged both ways by one annotator, or nobody says by whom "
                f"(the first: {one.source}, and {other.source}); they are kept"
            )
        clashes = _contradictory_labels(self.labelled)
        if clashes:
            lines.append(
                f"contradictory: {len(clashes)} responses are labelled both good and bad (the first: {clashes[0]}); "
                "they are kept"
            )
        return [*lines, *self.notes]


def read_preferences(
    source: str,
    *,
    as_chat: bool = False,
    skip_bad: bool = False,
    on_row: Callable[[], None] | None = None,
    unjudged: bool = False,
) -> Preferences:
    """Read the comparisons and labelled responses of a file.

    Forms, told by their columns: Assay's own; TRL's (`chosen` and `rejected`, with `prompt` or with one that both begin
    with, plain or as messages; `completion` and `label`); HH-RLHF's text; UltraFeedback, as released and as binarized;
    the Chatbot Arena's (`conversation_a`, `conversation_b` or `response_a`, `response_b`, with `winner`); ratings of
    single responses (`prompt`, `response`, `helpfulness`), which are paired within each prompt; HelpSteer2's and 3's
    preferences; LLMBar and AlpacaEval. Ties are kept: equal ratings are one.

    Left out and counted: responses that are the same, that are empty, and conversations that answer no common prompt.

    Args:
        source: as `read_rows` takes it: .jsonl, .json, .csv, each also with .gz, .parquet; "hub:owner/dataset/path".
        as_chat: read plain text in the columns `prompt`, `chosen`, `rejected` and `completion` as chat messages. TRL
            reads it as text to be joined as it stands, and so is it here otherwise.
        skip_bad: leave rows out, and count them, that cannot be read.
        on_row: called as each row begins to be read.
        unjudged: read two responses without a preference as a tie: pairs that are still to be judged.

    Raises:
        DataError: the file cannot be read, or a row cannot: names the file, the line and the remedy.
    """
    found = Preferences()
    ratings: dict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
    for place, row in standing_rows(read_rows(source, found.notes), found.notes):
        if on_row is not None:
            on_row()
        if unjudged:
            row = _with_a_tie(row)
        try:
            if _is_rating(row):
                ratings[_rating_key(row)].append((place, row))
                found.forms["ratings"] += 1
                continue
            form, judged = _judged(row, as_chat)
        except DifferentPromptsError:
            found.leave_out(DIFFERENT_PROMPTS, place)
            continue
        except (RowError, ValueError) as error:
            if not skip_bad:
                raise DataError(f"{place}: {error}") from None
            found.leave_out(BAD_ROW, place, str(error))
            continue
        found.forms[form] += 1
        for each in judged:
            _keep(found, replace(each, source=place))
    for rows in ratings.values():
        _add_rated(found, rows, skip_bad)
    if not found.pairs and not found.labelled and not found.left_out:
        raise DataError(f"{source} has no rows")
    return found


def read_pairs(source: str, *, as_chat: bool = False) -> list[Pair]:
    """The comparisons of a file, as `read_preferences` reads them.

    Raises:
        DataError: as there; or the file holds labelled responses and no pair.
    """
    found = read_preferences(source, as_chat=as_chat)
    if not found.pairs:
        why = "; ".join(found.told()) or "it holds labelled responses, each beside no other"
        raise DataError(f"{source} holds no pair: {why}")
    return found.pairs


def read_labelled(source: str, *, as_chat: bool = False) -> list[Labelled]:
    """The labelled responses of a file; of a strict pair the chosen one as good and the rejected one as bad.

    Raises:
        DataError: as `read_preferences`; or there is neither.
    """
    found = read_preferences(source, as_chat=as_chat)
    labelled = [*found.labelled, *(each for pair in found.pairs for each in unpaired(pair))]
    if not labelled:
        raise DataError(f"{source} holds no labelled response: {'; '.join(found.told()) or 'only ties'}")
    return labelled


def unpaired(pair: Pair) -> list[Labelled]:
    """Return the chosen response as a good one and the rejected one as a bad one; a tie gives none."""
    if pair.is_tie:
        return []
    kept = {
        name: getattr(pair, name) for name in ("annotator", "judged_at", "seconds", "is_chat", "metadata", "source")
    }
    second_wins = pair.preference > TIE
    return [
        Labelled(pair.prompt, pair.first, not second_wins, model=pair.first_model, **kept),
        Labelled(pair.prompt, pair.second, second_wins, model=pair.second_model, **kept),
    ]


def contradictions(pairs: Sequence[Pair]) -> list[tuple[Pair, Pair]]:
    """Return two judgements of each pair that one annotator (or nobody says who) judged both ways."""
    sides: dict[Any, dict[bool, Pair]] = defaultdict(dict)
    for pair in pairs:
        if not pair.is_tie:
            prefers_first_key = (pair.preference < TIE) == pair.is_in_key_order
            sides[(*pair.key, pair.annotator)].setdefault(prefers_first_key, pair)
    return [(both[True], both[False]) for both in sides.values() if len(both) == 2]


def _contradictory_labels(labelled: Sequence[Labelled]) -> list[str]:
    labels: dict[Any, set[bool]] = defaultdict(set)
    places: dict[Any, str] = {}
    for each in labelled:
        key = (each.prompt_key, text_of_messages(each.response), each.annotator)
        labels[key].add(each.label)
        places[key] = each.source
    return [places[key] for key, found in labels.items() if len(found) == 2]


def judged_in(row: Mapping[str, Any]) -> Iterator[Judged]:
    """The comparisons of one row, however they come out.

    Raises:
        RowError: it is of no form, or cannot be read.
        DifferentPromptsError: its conversations answer no common prompt.
    """
    yield from _judged(row, as_chat=False)[1]


def _judged(row: Mapping[str, Any], as_chat: bool) -> tuple[str, list[Judged]]:
    """The form of a row, and what it holds."""
    fitting = [form for form in FORMS if all(column in row for column in form.columns)]
    for form in fitting:
        if all(row[column] is not None for column in form.columns):
            return form.name, list(form.read(row, as_chat))
    if fitting:
        empty = next(column for column in fitting[0].columns if row[column] is None)
        raise RowError(f"column {empty!r} is empty; fill it in, or leave the row out")
    known = "; ".join(" + ".join(form.columns) for form in FORMS)
    raise RowError(
        f"its columns ({', '.join(map(str, row)):.300}) are those of no form of preference data; name them as one of "
        f"these: {known}; prompt + response + {'|'.join(RATINGS)}"
    )


def _keep(found: Preferences, judged: Judged) -> None:
    """Adds what is a comparison, counts what is none."""
    sides = (judged.first, judged.second) if isinstance(judged, Pair) else (judged.response,)
    texts = [text_of_messages(side) for side in sides]
    if not all(text.strip() for text in texts):
        found.leave_out(EMPTY, judged.source)
    elif isinstance(judged, Labelled):
        found.labelled.append(judged)
    elif texts[0] == texts[1]:
        found.leave_out(IDENTICAL, judged.source)
    else:
        found.pairs.append(judged)


def _with_a_tie(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the preference that it lacks, a tie."""
    for sides, column, tie in _UNJUDGED:
        if all(row.get(side) is not None for side in sides) and row.get(column) is None:
            return {**row, column: tie}
    return dict(row)


_UNJUDGED = (
    (("first", "second"), "preference", TIE),
    (("conversation_a", "conversation_b"), "winner", "tie"),
    (("response_a", "response_b"), "winner", "tie"),
    (("output_1", "output_2"), "label", 0),
    (("response_1", "response_2"), "preference_strength", 0),
    (("response1", "response2"), "overall_preference", 0),
)
"""The columns of two responses, the one of their preference, and what a tie is in it."""


def _rating_column(row: Mapping[str, Any]) -> str | None:
    return next((name for name in RATINGS if name in row), None)


def _is_rating(row: Mapping[str, Any]) -> bool:
    return "response" in row and "label" not in row and _rating_column(row) is not None


def _rating_key(row: Mapping[str, Any]) -> str:
    return repr([(message.role, message.content) for message in prompt_of(row)])


def _add_rated(found: Preferences, rows: Sequence[tuple[str, Mapping[str, Any]]], skip_bad: bool) -> None:
    """Pairs of the rated responses of one prompt."""
    rated: list[tuple[str, Rated]] = []
    for place, row in rows:
        column = _rating_column(row)
        assert column is not None
        try:
            rating = number_of(row, column)
            if rating is None:
                raise RowError(f"column {column!r} is empty; fill it in, or leave the row out")
            messages = messages_of(row["response"], "assistant", "column 'response'")
            model = row.get("model")
            rated.append((place, Rated(messages, rating, str(model) if model else None)))
        except RowError as error:
            if not skip_bad:
                raise DataError(f"{place}: {error}") from None
            found.leave_out(BAD_ROW, place, str(error))
    if len(rated) == 1:
        found.leave_out(UNPAIRED, rated[0][0])
    places = iter(_places([place for place, _ in rated]))
    for pair in rated_pairs(prompt_of(rows[0][1]), [each for _, each in rated], {}):
        _keep(found, replace(pair, source=next(places)))


def _places(places: Sequence[str]) -> Iterator[str]:
    for position, first in enumerate(places):
        for second in places[position + 1 :]:
            yield f"{first} and {second.rpartition(', ')[2]}"
