"""Pairs: two responses to one prompt and which of them somebody preferred; and responses labelled one by one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message
from assay.verifiers.text import normalise

Messages = tuple[Message, ...]
TIE = 0.5


@dataclass(frozen=True)
class Pair:
    """A comparison: two responses to one prompt, and how far the second is preferred to the first. What is not known is
    None."""

    prompt: Messages
    """The messages before the responses; empty where the source states none."""
    first: Messages
    """The response that was shown first, or that the source names first (`order_known`): mostly one message of the
    assistant, more where a conversation went on."""
    second: Messages
    """The other response."""
    preference: float
    """The preference for the second, from 0 (the first is better) to 1 (the second is better); 0.5 is a tie. Between
    them: the share of several judgements, or a probability."""
    margin: float | None = None
    """How much better the preferred response is, on the source's own scale, 0 or more."""
    annotator: str | None = None
    """The name of who judged: a person, or a model."""
    order_known: bool = False
    """True where `first` is what the annotator saw first (or on the left). Else position says nothing."""
    judged_at: str | None = None
    """The time of the judgement, as its source writes it; Assay's own are ISO 8601 in UTC."""
    seconds: float | None = None
    """Seconds that the judgement took."""
    first_model: str | None = None
    """The name of the model that wrote the first response."""
    second_model: str | None = None
    """The name of the model that wrote the second response."""
    is_chat: bool = True
    """False where the texts are no chat but plain text, to be joined as they stand (TRL's standard format): `prompt` is
    then at most one message of the user, and a response one of the assistant, with the white space that parts them."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Whatever else is known, as plain data, such as the task's level."""
    source: str = field(default="", compare=False)
    """Where the pair was read, such as "pairs.jsonl, line 3"."""

    def __post_init__(self) -> None:
        if not 0 <= self.preference <= 1:
            raise ValueError(f"a preference is from 0 to 1, got {self.preference}")
        for name, value in (("margin", self.margin), ("seconds", self.seconds)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is 0 or more, got {value}")

    @property
    def is_tie(self) -> bool:
        """True where neither response is preferred."""
        return self.preference == TIE

    @property
    def is_graded(self) -> bool:
        """True where a response is preferred by a share, which a form of winners cannot say."""
        return self.preference not in (0.0, TIE, 1.0)

    @property
    def chosen(self) -> Messages | None:
        """The preferred response; None for a tie."""
        return None if self.is_tie else self.second if self.preference > TIE else self.first

    @property
    def rejected(self) -> Messages | None:
        """The other response; None for a tie."""
        return None if self.is_tie else self.first if self.preference > TIE else self.second

    @property
    def prompt_key(self) -> str:
        """A digest that prompts share which differ only in white space, or in characters that look alike."""
        return messages_key(self.prompt)

    @property
    def key(self) -> tuple[str, str, str]:
        """The prompt and both responses as digests, the same in either order: what comparisons of one pair share."""
        sides = sorted(digest(text_of_messages(side)) for side in (self.first, self.second))
        return self.prompt_key, sides[0], sides[1]

    @property
    def is_in_key_order(self) -> bool:
        """True where `first` is the first response of `key` too: how two judgements of one pair are put side by
        side."""
        return digest(text_of_messages(self.first)) <= digest(text_of_messages(self.second))

    def swapped(self) -> Pair:
        """Return the same judgement with the responses in the other order."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            preference=1 - self.preference,
            first_model=self.second_model,
            second_model=self.first_model,
        )


@dataclass(frozen=True)
class Labelled:
    """A response with a label of its own, good or bad, beside no other: what KTO learns from. What is not known is
    None."""

    prompt: Messages
    response: Messages
    label: bool
    """True for a response that is desired."""
    annotator: str | None = None
    judged_at: str | None = None
    seconds: float | None = None
    model: str | None = None
    """The name of the model that wrote the response."""
    is_chat: bool = True
    """False where the texts are plain, as in `Pair.is_chat`."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source: str = field(default="", compare=False)

    @property
    def prompt_key(self) -> str:
        """As `Pair.prompt_key`."""
        return messages_key(self.prompt)


JudgedT = TypeVar("JudgedT", Pair, Labelled)


def text_of_messages(messages: Messages) -> str:
    """The text of a response: that of its message, or with roles where there are several.

    Example:
        >>> text_of_messages((Message("assistant", "Yes."),))
        'Yes.'
    """
    if len(messages) == 1:
        return messages[0].text
    return "\n\n".join(f"{message.role}: {message.text}" for message in messages)


def split_pairs(pairs: Sequence[JudgedT], share: float, seed: int = 0) -> tuple[list[JudgedT], list[JudgedT]]:
    """Part pairs (or labelled responses) by prompt, so that no prompt is on both sides: (the rest, about `share` of the
    prompts).

    The side of a prompt depends on the prompt, the share and the seed alone: more data never moves it, and a larger
    share only adds to the second side.

    Raises:
        DataError: a share that is not between 0 and 1, or one that leaves a side empty.
    """
    if not 0 < share < 1:
        raise DataError(f"a share of held-out pairs is between 0 and 1, got {share}")
    sides: tuple[list[JudgedT], list[JudgedT]] = ([], [])
    taken: dict[str, bool] = {}
    for pair in pairs:
        key = pair.prompt_key
        if key not in taken:
            taken[key] = derive_seed(seed, "preferences", "split", key) < share * 2**64
        sides[taken[key]].append(pair)
    if not all(sides):
        raise DataError(
            f"{len(pairs)} pairs of {len(taken)} prompts cannot be parted with a share of {share:g}: all fall on one "
            "side; take more pairs or a share nearer to a half"
        )
    return sides


def messages_key(messages: Messages) -> str:
    """A digest that messages share which differ only in white space, or in characters that look alike."""
    return digest(" ".join(normalise("\n".join(f"{each.role}: {each.text}" for each in messages)).split()))


def digest(text: str) -> str:
    """SHA-256 of a text, whatever is in it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def record(judged: Pair | Labelled) -> dict[str, Any]:
    """Return a pair or a labelled response as one object of Assay's own JSON lines; what is not known is left out, and
    so is `source`, which says where it was read."""
    data: dict[str, Any] = {}
    for each in fields(judged):
        value = getattr(judged, each.name)
        if each.name in ("prompt", "first", "second", "response"):
            data[each.name] = [message.to_record() for message in value]
        elif each.name == "metadata":
            if value:
                data[each.name] = json.loads(json.dumps(dict(value), default=str))
        elif each.name != "source" and value != each.default:
            data[each.name] = value
    return data
