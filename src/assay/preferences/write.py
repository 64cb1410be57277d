"""Writing comparisons: Assay's own JSON lines, and the forms of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.errors import DataError
from assay.observe.whole import written_whole
from assay.preferences.pair import TIE, Labelled, Messages, Pair, record, text_of_messages
from assay.preferences.read import unpaired

Judged = Pair | Labelled


def write_pairs(path: Path, judged: Iterable[Judged]) -> int:
    """Write pairs and labelled responses as Assay's own JSON lines, whole or not at all; return how many."""
    return write_lines(path, (record(each) for each in judged))


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as JSON lines, whole or not at all; return how many.

    Raises:
        DataError: the file is no .jsonl.
    """
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        raise DataError(f"{path}: comparisons are written as JSON lines; name a file that ends in .jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with written_whole(path) as file:
        for row in rows:
            # ASCII: a lone surrogate, which a model may well sample, is no UTF-8.
            file.write(json.dumps(row) + "\n")
            count += 1
    return count


def export_rows(judged: Judged, form: str) -> list[dict[str, Any]]:
    """The rows that a comparison is in a form of another tool; none where that form cannot say it, such as a tie in
    TRL's.

    Raises:
        DataError: there is no such form.
    """
    if form not in EXPORTS:
        raise DataError(f"there is no form {form!r}; there are {', '.join(EXPORTS)}")
    return list(EXPORTS[form](judged))


def _text_or_messages(messages: Messages, is_chat: bool) -> Any:
    return [message.to_dict() for message in messages] if is_chat else "".join(message.content for message in messages)


def _trl(judged: Judged) -> Iterator[dict[str, Any]]:
    """Explicit prompts; ties cannot be said."""
    if not isinstance(judged, Pair) or judged.chosen is None or judged.rejected is None:
        return
    sides = {"prompt": judged.prompt, "chosen": judged.chosen, "rejected": judged.rejected}
    row: dict[str, Any] = {name: _text_or_messages(side, judged.is_chat) for name, side in sides.items()}
    yield row if judged.margin is None else {**row, "margin": judged.margin}


def _trl_unpaired(judged: Judged) -> Iterator[dict[str, Any]]:
    for each in [judged] if isinstance(judged, Labelled) else unpaired(judged):
        yield {
            "prompt": _text_or_messages(each.prompt, each.is_chat),
            "completion": _text_or_messages(each.response, each.is_chat),
            "label": each.label,
        }


def _arena(judged: Judged) -> Iterator[dict[str, Any]]:
    if isinstance(judged, Labelled):
        return
    row: dict[str, Any] = {
        "model_a": judged.first_model,
        "model_b": judged.second_model,
        "winner": _winner(judged.preference),
        "judge": judged.annotator,
        "conversation_a": [message.to_dict() for message in (*judged.prompt, *judged.first)],
        "conversation_b": [message.to_dict() for message in (*judged.prompt, *judged.second)],
        # What the form has no column for; whoever reads it back knows these.
        "order_known": None if judged.order_known else False,
        "preference": judged.preference if judged.is_graded else None,
        "margin": judged.margin,
    }
    yield {name: value for name, value in row.items() if value is not None}


def _winner(preference: float) -> str:
    return "tie" if preference == TIE else "model_b" if preference > TIE else "model_a"


def _rate(judged: Judged) -> Iterator[dict[str, Any]]:
    """What `assay prefer rate` reads; only where it is known which models wrote the responses."""
    if isinstance(judged, Labelled) or judged.first_model is None or judged.second_model is None:
        return
    row: dict[str, Any] = {
        "model_a": judged.first_model,
        "model_b": judged.second_model,
        "preference": judged.preference,
        "length_a": len(text_of_messages(judged.first)),
        "length_b": len(text_of_messages(judged.second)),
        "annotator": judged.annotator,
    }
    yield {name: value for name, value in row.items() if value is not None}


EXPORTS: Mapping[str, Callable[[Judged], Iterator[dict[str, Any]]]] = {
    "trl": _trl,
    "trl-unpaired": _trl_unpaired,
    "arena": _arena,
    "rate": _rate,
}
"""Forms of other tools, and the table that `assay prefer rate` reads."""
