"""Forms of preference files: which columns each has, and the comparisons that a row of it holds.

A form is told by its columns, row by row. What a row holds that no comparison can be made of is a RowError, with the
remedy; two responses that answer different prompts are a DifferentPromptsError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from assay.environments.messages import read_message
from assay.environments.values import parse_json
from assay.errors import DataError
from assay.preferences.pair import TIE, Labelled, Messages, Pair
from assay.preferences.prompts import is_dialogue, read_dialogue, shared_conversation, shared_text
from assay.types import Message

Row = Mapping[str, Any]
Judged = Pair | Labelled
PROMPTS = ("prompt", "question", "instruction", "input", "context")
"""Columns that may hold the prompt, the first of them that a row has."""
SCORES = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"), ("chosen-rating", "rejected-rating"))
"""Columns with the scores that a chosen and a rejected response were given."""
WINNERS = {
    "model_a": 0.0,
    "model_b": 1.0,
    "a": 0.0,
    "b": 1.0,
    "tie": TIE,
    "tie (bothbad)": TIE,
    "both_bad": TIE,
    "bothbad": TIE,
}
"""What files of the Chatbot Arena write for a winner, in small letters, as a preference for b."""
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


class RowError(ValueError):
    """Raised for a row of a known form whose values cannot be read; says what is wrong and what to do."""


@dataclass(frozen=True)
class PreferenceForm:
    """A form of preference file."""

    name: str
    columns: tuple[str, ...]
    """Columns that tell it: a row that has all of them is of this form, unless an earlier form has taken it."""
    read: Callable[[Row, bool], Iterator[Judged]]
    """The comparisons of a row; the second argument is true where plain text is a chat message."""


@dataclass(frozen=True)
class Rated:
    """A response with a rating, to be paired with others of its prompt."""

    messages: Messages
    rating: float
    model: str | None = None


def rated_pairs(prompt: Messages, rated: Sequence[Rated], metadata: Mapping[str, Any]) -> Iterator[Pair]:
    """Every two responses of a prompt as a pair; the margin is the difference of their ratings, of equal ones a tie."""
    for first, second in combinations(rated, 2):
        difference = second.rating - first.rating
        yield Pair(
            prompt,
            first.messages,
            second.messages,
            TIE if difference == 0 else float(difference > 0),
            margin=abs(difference),
            first_model=first.model,
            second_model=second.model,
            metadata=metadata,
        )


def messages_of(value: Any, role: str, what: str) -> Messages:
    """The messages that a value of a row is: a text as one message, a list of {role, content} (or {from, value}), or
    the JSON text of such a list.

    Raises:
        RowError: it is neither.
    """
    if isinstance(value, str):
        listed = _listed(value)
        if listed is None:
            return (Message(role, value),)
        value = listed
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        raise RowError(f"{what} is {_shown(value)}; give a text, or a list of messages with role and content")
    found = []
    for message in value:
        if isinstance(message, Mapping) and "from" in message and "value" in message:
            message = {"role": message["from"], "content": message["value"]}
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise RowError(f"{what} holds {_shown(message)}; a message has role and content")
        role_here = message["role"].lower()
        try:
            found.append(read_message({**message, "role": _ROLES.get(role_here, role_here)}, what))
        except DataError as error:
            raise RowError(str(error)) from None
    return tuple(found)


def prompt_of(row: Row) -> Messages:
    """The prompt that a row states, with its system message; empty where it states none."""
    name = next((name for name in PROMPTS if row.get(name) not in (None, "")), None)
    prompt = () if name is None else messages_of(row[name], "user", f"column {name!r}")
    system = row.get("system")
    if isinstance(system, str) and system.strip() and not (prompt and prompt[0].role == "system"):
        prompt = (Message("system", system), *prompt)
    return prompt


def number_of(row: Row, *names: str) -> float | None:
    """The number in the first of these columns that has one; None where none has.

    Raises:
        RowError: what stands there is no finite number.
    """
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise RowError(f"column {name!r} is {_shown(value)}; expected a number")
        return number
    return None


def text_of_cell(row: Row, *names: str) -> str | None:
    """The text in the first of these columns that has any, without white space around it; None where none has."""
    return next((text for name in names if row.get(name) is not None and (text := str(row[name]).strip())), None)


def stated_preference(row: Row) -> float | None:
    """The preference for b in the columns `preference` and `winner`; None where both are empty.

    Raises:
        RowError: what stands there is no preference, or the two contradict each other.
    """
    preference, winner = number_of(row, "preference"), text_of_cell(row, "winner")
    if preference is not None and not 0 <= preference <= 1:
        raise RowError(f"column 'preference' is {preference:g}; expected a number from 0 (a) to 1 (b)")
    if winner is None:
        return preference
    if winner.lower() not in WINNERS:
        raise RowError(f"column 'winner' is {_shown(row['winner'])}; expected model_a, model_b or tie")
    won = WINNERS[winner.lower()]
    if preference is None:
        return won
    if (preference > TIE) - (preference < TIE) != (won > TIE) - (won < TIE):
        raise RowError(
            f"column 'winner' is {winner!r}, and 'preference', which is for b, {preference:g}: they contradict each "
            "other; mend the row, or leave one of the columns out"
        )
    return preference


def _listed(text: str) -> Any:
    """The list that a text is the JSON of; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _known(row: Row) -> dict[str, Any]:
    """What several forms say of a judgement in columns of these names."""
    known: dict[str, Any] = {
        "annotator": text_of_cell(row, "annotator", "judge", "annotator_id", "worker"),
        "judged_at": text_of_cell(row, "judged_at", "tstamp", "timestamp"),
        "seconds": number_of(row, "seconds"),
    }
    metadata = row.get("metadata")
    known["metadata"] = metadata if isinstance(metadata, Mapping) else {}
    return known


def _own_messages(row: Row, name: str) -> Messages:
    """Messages with every field that `Message.to_record` writes."""
    value = row.get(name)
    found = messages_of(
        value if value is not None else [], "user" if name == "prompt" else "assistant", f"column {name!r}"
    )
    if not isinstance(value, list):
        return found
    return tuple(
        replace(message, call_errors=tuple(given.get("call_errors", ())), verbatim=str(given.get("verbatim", "")))
        for message, given in zip(found, value, strict=True)
    )


def _own(row: Row, _: bool) -> Iterator[Judged]:
    sides = {name: _own_messages(row, name) for name in ("prompt", "first", "second")}
    preference = number_of(row, "preference")
    if preference is None or not 0 <= preference <= 1:
        raise RowError(f"column 'preference' is {_shown(row['preference'])}; expected a number from 0 to 1")
    yield Pair(
        sides["prompt"],
        sides["first"],
        sides["second"],
        preference,
        margin=number_of(row, "margin"),
        order_known=row.get("order_known") is True,
        first_model=text_of_cell(row, "first_model"),
        second_model=text_of_cell(row, "second_model"),
        is_chat=row.get("is_chat") is not False,
        **_known(row),
    )


def _own_labelled(row: Row, _: bool) -> Iterator[Judged]:
    yield Labelled(
        _own_messages(row, "prompt"),
        _own_messages(row, "response"),
        _label(row),
        model=text_of_cell(row, "model"),
        is_chat=row.get("is_chat") is not False,
        **_known(row),
    )


def _chosen_and_rejected(row: Row, as_chat: bool) -> Iterator[Judged]:
    """TRL's formats, HH-RLHF's text and UltraFeedback as binarized: the first is the chosen one."""
    prompt, chosen, rejected, is_chat = _sides(row, as_chat)
    scores = next(
        (found for names in SCORES if None not in (found := tuple(number_of(row, name) for name in names))), None
    )
    margin, preference = number_of(row, "margin"), 0.0
    if scores is not None:
        difference = (scores[0] or 0.0) - (scores[1] or 0.0)
        if difference < 0:
            raise RowError(f"the chosen response has score {scores[0]:g}, below the rejected one's {scores[1]:g}")
        preference = TIE if difference == 0 else 0.0
        margin = difference if margin is None else margin
    yield Pair(
        prompt,
        chosen,
        rejected,
        preference,
        margin=margin,
        first_model=text_of_cell(row, "chosen_model", "chosen-model"),
        second_model=text_of_cell(row, "rejected_model", "rejected-model"),
        is_chat=is_chat,
        **_known(row),
    )


def _sides(row: Row, as_chat: bool) -> tuple[Messages, Messages, Messages, bool]:
    """(prompt, chosen, rejected, whether they are chat)."""
    chosen, rejected = row["chosen"], row["rejected"]
    stated = next((row[name] for name in PROMPTS if row.get(name) not in (None, "")), None)
    if isinstance(chosen, str) and isinstance(rejected, str) and _listed(chosen) is None:
        if is_dialogue(chosen) and is_dialogue(rejected):
            return *shared_conversation(read_dialogue(chosen), read_dialogue(rejected)), True
        if isinstance(stated, str) and is_dialogue(stated):
            prompt = read_dialogue(stated)
            prompt = prompt[:-1] if prompt[-1] == Message("assistant", "") else prompt
            first, second = ((Message("assistant", text.strip()),) for text in (chosen, rejected))
            return prompt, first, second, True
        is_chat = as_chat or (stated is not None and not isinstance(stated, str)) or "prompt" not in row
        if stated is None:
            prompt, *rests = shared_text(chosen, rejected)
            return _plain("user", prompt), _plain("assistant", rests[0]), _plain("assistant", rests[1]), False
        return prompt_of(row), (Message("assistant", chosen),), (Message("assistant", rejected),), is_chat
    first, second = (
        messages_of(value, "assistant", f"column {name!r}")
        for name, value in zip(("chosen", "rejected"), (chosen, rejected), strict=True)
    )
    if not (first and second):
        return prompt_of(row), first, second, True
    if first[0].role == "assistant" and second[0].role == "assistant" and stated is not None:
        return prompt_of(row), first, second, True
    prompt, first, second = shared_conversation(first, second)
    system = tuple(message for message in prompt_of(row)[:1] if message.role == "system" and message not in prompt)
    return (*system, *prompt), first, second, True


def _plain(role: str, text: str) -> Messages:
    return (Message(role, text),) if text else ()


def _completion_and_label(row: Row, as_chat: bool) -> Iterator[Judged]:
    completion = row["completion"]
    stated = next((row[name] for name in PROMPTS if row.get(name) not in (None, "")), None)
    is_chat = as_chat or not isinstance(completion, str) or not isinstance(stated, str | None)
    yield Labelled(
        prompt_of(row),
        messages_of(completion, "assistant", "column 'completion'"),
        _label(row),
        model=text_of_cell(row, "model"),
        is_chat=is_chat,
        **_known(row),
    )


def _label(row: Row) -> bool:
    value = row.get("label")
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (True, 1, "true", "1", "desirable", "good"):
        return True
    if word in (False, 0, "false", "0", "undesirable", "bad"):
        return False
    raise RowError(f"column 'label' is {_shown(value)}; expected true or false")


def _arena(row: Row, _: bool) -> Iterator[Judged]:
    """Chatbot Arena, MT-bench and LMSYS files: a was shown on the left."""
    if "conversation_a" in row:
        sides = [
            messages_of(row[f"conversation_{side}"], "assistant", f"column 'conversation_{side}'") for side in "ab"
        ]
        prompt, first, second = shared_conversation(*sides)
    else:
        turns = [_turns(row[name]) for name in ("response_a", "response_b")]
        asked = _turns(next((row[name] for name in PROMPTS if row.get(name) is not None), None))
        if len(asked) > 1:
            sides = [tuple(_interleaved(asked, answers)) for answers in turns]
            prompt, first, second = shared_conversation(*sides)
        else:
            prompt = prompt_of({"prompt": asked[0], "system": row.get("system")}) if asked else ()
            first, second = (tuple(Message("assistant", text) for text in answers) for answers in turns)
    yield Pair(
        prompt,
        first,
        second,
        _winner(row),
        margin=number_of(row, "margin"),
        order_known=row.get("order_known") is not False,
        first_model=text_of_cell(row, "model_a"),
        second_model=text_of_cell(row, "model_b"),
        **_known(row),
    )


def _turns(value: Any) -> list[str]:
    """A text, or the JSON text of a list of texts, as LMSYS writes turns."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = parse_json(value)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            value = listed
    if isinstance(value, list) and all(isinstance(each, str | None) for each in value):
        return [each or "" for each in value]
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    raise RowError(f"a response is {_shown(value)}; expected a text or a list of texts")


def _interleaved(asked: Sequence[str], answers: Sequence[str]) -> Iterator[Message]:
    for position, question in enumerate(asked):
        yield Message("user", question)
        if position < len(answers):
            yield Message("assistant", answers[position])


def _winner(row: Row) -> float:
    preference = stated_preference(row)
    if preference is not None:
        return preference
    if "winner" in row:
        raise RowError(f"column 'winner' is {_shown(row['winner'])}; expected model_a, model_b or tie")
    flags = {name: number_of(row, name) for name in ("winner_model_a", "winner_model_b", "winner_tie")}
    on = [name for name, value in flags.items() if value == 1]
    if len(on) != 1:
        raise RowError("no winner: one of winner_model_a, winner_model_b and winner_tie is 1")
    return {"winner_model_a": 0.0, "winner_model_b": 1.0, "winner_tie": TIE}[on[0]]


def _ultrafeedback(row: Row, _: bool) -> Iterator[Judged]:
    """UltraFeedback as released: an instruction, and completions with ratings of four aspects."""
    if not isinstance(row["completions"], list):
        raise RowError(f"column 'completions' is {_shown(row['completions'])}; expected a list of rated responses")
    rated = []
    for completion in row["completions"]:
        if not isinstance(completion, Mapping) or not isinstance(completion.get("response"), str):
            raise RowError(f"column 'completions' holds {_shown(completion)}; expected {{response, ...}}")
        rating = _mean_rating(completion)
        if rating is not None:
            response = (Message("assistant", completion["response"]),)
            rated.append(Rated(response, rating, text_of_cell(completion, "model")))
    yield from rated_pairs(prompt_of(row), rated, _known(row)["metadata"])


def _mean_rating(completion: Row) -> float | None:
    """The mean rating of the aspects; else the overall score. None where there is neither ("N/A")."""
    given = number_of(completion, "fine-grained_score")
    if given is not None:
        return given
    aspects = completion.get("annotations")
    ratings = []
    for aspect in aspects.values() if isinstance(aspects, Mapping) else ():
        value = aspect.get("Rating") if isinstance(aspect, Mapping) else None
        try:
            ratings.append(float(value))  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            continue
    return sum(ratings) / len(ratings) if ratings else number_of(completion, "overall_score")


def _two_with_strength(first: str, second: str, strength: str) -> Callable[[Row, bool], Iterator[Judged]]:
    """HelpSteer's preferences: negative where the first is better, the size is the margin."""

    def read(row: Row, _: bool) -> Iterator[Judged]:
        given = number_of(row, strength)
        if given is None:
            raise RowError(f"column {strength!r} is empty; expected a number, below 0 where {first} is better")
        yield Pair(
            prompt_of(row),
            messages_of(row[first], "assistant", f"column {first!r}"),
            messages_of(row[second], "assistant", f"column {second!r}"),
            TIE if given == 0 else float(given > 0),
            margin=abs(given),
            **_known(row),
        )

    return read


def _two_outputs(row: Row, _: bool) -> Iterator[Judged]:
    """LLMBar (`label` 1 or 2) and AlpacaEval (`preference` from 1 to 2, 0 for a tie as its older files have it)."""
    name = "label" if row.get("label") is not None else "preference"
    given = number_of(row, name)
    if given is None or not (1 <= given <= 2 or given == 0):
        raise RowError(
            f"column {name!r} is {_shown(row.get(name))}; expected a number from 1 (output_1) to 2 (output_2)"
        )
    first, second = (messages_of(row[f"output_{side}"], "assistant", f"column 'output_{side}'") for side in (1, 2))
    models = [text_of_cell(row, f"generator_{side}") for side in (1, 2)]
    preference = TIE if given == 0 else given - 1
    yield Pair(prompt_of(row), first, second, preference, first_model=models[0], second_model=models[1], **_known(row))


FORMS = (
    PreferenceForm("assay's pairs", ("first", "second", "preference"), _own),
    PreferenceForm("chosen and rejected (TRL, HH-RLHF, UltraFeedback)", ("chosen", "rejected"), _chosen_and_rejected),
    PreferenceForm("completion and label (TRL)", ("completion", "label"), _completion_and_label),
    PreferenceForm("arena", ("conversation_a", "conversation_b"), _arena),
    PreferenceForm("arena", ("response_a", "response_b"), _arena),
    PreferenceForm("UltraFeedback", ("instruction", "completions"), _ultrafeedback),
    PreferenceForm(
        "HelpSteer2's preferences",
        ("response_1", "response_2", "preference_strength"),
        _two_with_strength("response_1", "response_2", "preference_strength"),
    ),
    PreferenceForm(
        "HelpSteer3's preferences",
        ("response1", "response2", "overall_preference"),
        _two_with_strength("response1", "response2", "overall_preference"),
    ),
    PreferenceForm("LLMBar", ("output_1", "output_2", "label"), _two_outputs),
    PreferenceForm("AlpacaEval", ("output_1", "output_2", "preference"), _two_outputs),
    PreferenceForm("assay's labelled responses", ("prompt", "response", "label"), _own_labelled),
)
"""Every form of which a row stands for itself, the first that fits. Ratings, whose rows are paired by prompt, are read
apart."""
