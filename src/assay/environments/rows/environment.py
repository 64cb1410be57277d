"""Domains made of rows that somebody else wrote: any JSON lines, CSV or Parquet file, and two known data sets."""

from __future__ import annotations

import difflib
import math
import string
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import pydantic

from assay.environments.file_environment import FileEnvironment
from assay.environments.messages import read_message, read_tools
from assay.environments.values import text_of
from assay.errors import DataError
from assay.types import Message, Task, Tool
from assay.verifiers.trl import COLUMNS

_MISSING = object()
_TEMPLATES = ("prompt", "answer", "demonstration")
"""Options in which columns stand in braces."""
_MOST_NAMES = 40
"""Columns that an error lists."""


class Rows(FileEnvironment):
    """Tasks from a file.

    Columns are named in templates: `prompt = "{question}"`, and fields inside of a column by points:
    `answer = "{reward_model.ground_truth}"`, `{choices.0}`. Which split a row is in depends on its prompt alone: 80, 10
    and 10 of 100 by a hash of it, or with `test_path` 90 and 10, and that file is the test. A prompt that comes twice
    is one task; with two different answers it is an error. A task's metadata holds the columns of its row.
    """

    name: Literal["rows"] = "rows"
    prompt: str = "{prompt}"
    """The user's message. A single column that holds a list of messages ({role, content}) is the whole conversation."""
    answer: str = "{answer}"
    """The gold answer; empty for data without one, whose reward must do without."""
    answer_after: str | None = pydantic.Field(default=None, min_length=1)
    """The gold answer is what follows the last of these in it, such as "####"."""
    system: str = ""
    """A system message before the prompt; empty for none."""
    tools: str | None = None
    """The column with the tools that the model is offered, as JSON or its text: a list of {"type": "function",
    "function": {name, description, parameters}}. None: the column `tools`, where the prompt is a list of messages and
    there is one; "" for no tools. Calls are carried out by nobody: they are text of the response, which the reward
    reads."""
    demonstration: str | None = None
    """A good response, for supervised fine-tuning. A single column may hold it as a list with one message of the
    assistant, which may call tools."""
    complexity: str | None = None
    """The column with each row's complexity, a number or a text that ends in one ("Level 3")."""
    horizon: str | None = None
    """The column with each row's number of dependent steps."""

    @pydantic.field_validator("prompt", "answer", "demonstration")
    @classmethod
    def _check_template(cls, template: str | None) -> str | None:
        try:
            list(string.Formatter().parse(template or ""))
        except ValueError as error:
            raise ValueError(f"{template!r}: {error}; a brace of the text itself is written twice") from None
        return template

    @pydantic.model_validator(mode="after")
    def _check_answer(self) -> Self:
        # Not whether it was given: a run folder states every option, defaults included.
        if not self.answer and self.answer_after not in (None, type(self).model_fields["answer_after"].default):
            raise ValueError('answer_after has no effect with answer = "": leave it out')
        return self

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        """The task of a row, by the templates."""
        return row_task(self, row, place)


class PublishedRows(Rows):
    """A data set with a test split of its own on the hub, which a file given in place of the training split lacks."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _leave_the_hub(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "path" in data:
            return {"test_path": None, **data}
        return data


def row_task(domain: Rows, row: Mapping[str, Any], place: str) -> Task:
    for option in _TEMPLATES:
        # The name of a column without its braces would be the same text for every row.
        template = getattr(domain, option)
        if template in row and not any(column for _, column, _, _ in string.Formatter().parse(template)):
            raise DataError(
                f"{option} {template!r} is the same text for every row; a column stands in braces: "
                f'{option} = "{{{template}}}"'
            )
    conversation = _conversation(domain.prompt, row, place)
    messages = conversation or (Message("user", _fill("prompt", domain.prompt, row, place)),)
    if domain.system:
        messages = (Message("system", domain.system), *messages)
    metadata: dict[str, Any] = {"row": place.rpartition("/")[2], COLUMNS: _columns(domain, row)}
    if domain.demonstration is not None:
        metadata["demonstration"] = _demonstration(domain.demonstration, row, place)
    return Task(
        domain=domain.name,
        prompt=messages,
        tools=_tools(domain, row, place, is_chat=bool(conversation)),
        answer=_answer(domain, row, place),
        complexity=_dial("complexity", domain.complexity, row, place),
        horizon=_dial("horizon", domain.horizon, row, place),
        metadata=metadata,
    )


def _tools(domain: Rows, row: Mapping[str, Any], place: str, *, is_chat: bool) -> tuple[Tool, ...]:
    column = ("tools" if is_chat else "") if domain.tools is None else domain.tools
    if not column or (domain.tools is None and column not in row):
        return ()
    value = _found(column, row)
    if value is _MISSING:
        raise _no_column("tools", column, row, place)
    return read_tools(value, f"{place}: {column}")


def _answer(domain: Rows, row: Mapping[str, Any], place: str) -> str:
    if not domain.answer:
        return ""
    answer = _fill("answer", domain.answer, row, place)
    if domain.answer_after is not None:
        _, marker, answer = answer.rpartition(domain.answer_after)
        if not marker:
            raise DataError(f"{place}: its answer has no {domain.answer_after!r}; correct the row, or answer_after")
    if not answer.strip():
        raise DataError(
            f'{place} has an empty answer; correct the row, or leave it out (answer = "" is for data without answers)'
        )
    return answer.strip()


def _columns(domain: Rows, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it stands, less what TRL gives to no reward, and less an answer that the gold answer was cut from."""
    cut = domain.answer_after is not None or domain.answer != "{answer}"
    named = {column for _, column, _, _ in string.Formatter().parse(domain.answer)}
    left_out = {"prompt", "completion", *({"answer"} & named if cut else ())}
    return {name: value for name, value in row.items() if name not in left_out}


def _demonstration(template: str, row: Mapping[str, Any], place: str) -> str | dict[str, Any]:
    """Return the text of a demonstration, or the record of a message that calls tools."""
    column = _single(template)
    messages = _found(column, row) if column else None
    if not isinstance(messages, list):
        return _fill("demonstration", template, row, place)
    match messages:
        case [{"role": "assistant"} as message]:
            said = read_message(message, f"{place}: {column}")
            return said.to_record() if said.tool_calls else said.content
    raise DataError(f"{place}: {column} is a list, but not of one message of the assistant, which demonstration needs")


def _single(template: str) -> str:
    """The column of a template that is one column and nothing else; empty for any other."""
    parts = list(string.Formatter().parse(template))
    return parts[0][1] or "" if len(parts) == 1 and not parts[0][0] else ""


def _conversation(template: str, row: Mapping[str, Any], place: str) -> tuple[Message, ...]:
    """The messages of a template that is one column with a list of them; empty for any other template."""
    column = _single(template)
    messages = _found(column, row) if column else None
    if not isinstance(messages, list):
        return ()
    if not messages or not all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in messages):
        raise DataError(f"{place}: {column} is a list, but not of messages with role and content")
    if messages[-1]["role"] not in ("user", "tool"):
        raise DataError(
            f"{place}: the conversation ends with {messages[-1]['role']!r}; it must end with the user, or with what a "
            "tool answered"
        )
    return tuple(read_message(m, f"{place}: {column}") for m in messages)


def _fill(option: str, template: str, row: Mapping[str, Any], place: str) -> str:
    pieces: list[str] = []
    for text, column, specification, conversion in string.Formatter().parse(template):
        pieces.append(text)
        if column is None:
            continue
        if specification or conversion or not column:
            raise DataError(f"{option} {template!r}: columns are named plainly, such as {{question}}")
        value = _column(option, column, row, place)
        if isinstance(value, list | dict):
            kind = "a list" if isinstance(value, list) else "an object"
            remedy = (
                f"give {{{column}}} alone, which may be a list of messages, and put words of your own into system"
                if option == "prompt"
                else "name a column of text or numbers"
            )
            raise DataError(f"{place}: column {column!r}, which {option} names, holds {kind}, not text; {remedy}")
        pieces.append(text_of(value))
    return "".join(pieces)


def _column(option: str, column: str, row: Mapping[str, Any], place: str) -> Any:
    value = _found(column, row)
    if value is _MISSING:
        raise _no_column(option, column, row, place)
    if value is None:
        raise DataError(f"{place} has nothing in column {column!r}, which {option} names")
    return value


def _found(column: str, row: Mapping[str, Any]) -> Any:
    """The value of a column, or of a field inside of one, such as "reward_model.ground_truth"; `_MISSING` where there
    is none."""
    if column in row:
        return row[column]
    value: Any = row
    for name in column.split("."):
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            return _MISSING
    return value


def _no_column(option: str, column: str, row: Mapping[str, Any], place: str) -> DataError:
    names = list(_names(row))
    near = difflib.get_close_matches(column, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(names[:_MOST_NAMES])}"
    none = ', or "" where there are no answers' if option == "answer" else ""
    shown = near[0] if near else names[0] if names else "question"
    written = f'"{{{shown}}}"' if option in _TEMPLATES else f'"{shown}"'
    return DataError(
        f"{place} has no column {column!r}, which {option} names; {hint}; set {option} to one that it has, such as "
        f"{option} = {written}{none}"
    )


def _names(row: Mapping[str, Any], outside: str = "") -> Iterator[str]:
    """Every column, those with fields as "column.field"."""
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _names(value, f"{outside}{name}.")
        else:
            yield f"{outside}{name}"


def _dial(option: str, column: str | None, row: Mapping[str, Any], place: str) -> float | None:
    if column is None:
        return None
    value = _column(option, column, row, place)
    text = str(value).split()[-1] if isinstance(value, str) and value.split() else value
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: {option} {value!r} in column {column!r} is no number, nor ends in one")
    return number
