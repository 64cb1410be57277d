"""Families: the 25 kinds of constraint of IFEval by the names that its file gives them, with what each needs.

Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models", https://arxiv.org/abs/2311.07911. Names
and arguments are those of its file; what counts as obeying is our own reading, the stricter where a form would pass
that nobody meant (docs/concepts/fields.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.environments.instructions import layout, wording
from assay.environments.instructions.languages import NAMES
from assay.environments.instructions.reading import AnswerText
from assay.errors import DataError

RELATIONS = ("at least", "less than")
MAX_COUNT = 10_000


@dataclass(frozen=True)
class ConstraintFamily:
    """A kind of constraint."""

    obeys: Callable[..., bool]
    """Takes a `AnswerText` and the arguments by name."""
    needs: Mapping[str, str]
    """Name of each argument, and what it is: "count", "text", "texts", "relation", "letter" or "language"."""


FAMILIES: Mapping[str, ConstraintFamily] = {
    "keywords:existence": ConstraintFamily(wording.keywords_existence, {"keywords": "texts"}),
    "keywords:frequency": ConstraintFamily(
        wording.keywords_frequency, {"keyword": "text", "frequency": "count", "relation": "relation"}
    ),
    "keywords:forbidden_words": ConstraintFamily(wording.keywords_forbidden, {"forbidden_words": "texts"}),
    "keywords:letter_frequency": ConstraintFamily(
        wording.letter_frequency, {"letter": "letter", "let_frequency": "count", "let_relation": "relation"}
    ),
    "language:response_language": ConstraintFamily(wording.response_language, {"language": "language"}),
    "length_constraints:number_sentences": ConstraintFamily(
        wording.number_sentences, {"num_sentences": "count", "relation": "relation"}
    ),
    "length_constraints:number_paragraphs": ConstraintFamily(layout.number_paragraphs, {"num_paragraphs": "count"}),
    "length_constraints:number_words": ConstraintFamily(
        wording.number_words, {"num_words": "count", "relation": "relation"}
    ),
    "length_constraints:nth_paragraph_first_word": ConstraintFamily(
        layout.nth_paragraph_first_word,
        {"num_paragraphs": "count", "nth_paragraph": "count", "first_word": "text"},
    ),
    "detectable_content:number_placeholders": ConstraintFamily(
        layout.number_placeholders, {"num_placeholders": "count"}
    ),
    "detectable_content:postscript": ConstraintFamily(layout.postscript, {"postscript_marker": "text"}),
    "detectable_format:number_bullet_lists": ConstraintFamily(layout.number_bullets, {"num_bullets": "count"}),
    "detectable_format:constrained_response": ConstraintFamily(layout.constrained_response, {}),
    "detectable_format:number_highlighted_sections": ConstraintFamily(
        layout.number_highlights, {"num_highlights": "count"}
    ),
    "detectable_format:multiple_sections": ConstraintFamily(
        layout.multiple_sections, {"section_spliter": "text", "num_sections": "count"}
    ),
    "detectable_format:json_format": ConstraintFamily(layout.json_format, {}),
    "detectable_format:title": ConstraintFamily(layout.title, {}),
    "combination:two_responses": ConstraintFamily(layout.two_responses, {}),
    "combination:repeat_prompt": ConstraintFamily(wording.repeat_prompt, {"prompt_to_repeat": "text"}),
    "startend:end_checker": ConstraintFamily(wording.end_checker, {"end_phrase": "text"}),
    "startend:quotation": ConstraintFamily(wording.quotation, {}),
    "change_case:capital_word_frequency": ConstraintFamily(
        wording.capital_frequency, {"capital_frequency": "count", "capital_relation": "relation"}
    ),
    "change_case:english_capital": ConstraintFamily(wording.english_capital, {}),
    "change_case:english_lowercase": ConstraintFamily(wording.english_lowercase, {}),
    "punctuation:no_comma": ConstraintFamily(wording.no_comma, {}),
}


@dataclass(frozen=True)
class Constraint:
    """One constraint of a task: its family and the arguments."""

    family: str
    arguments: Mapping[str, Any]

    @classmethod
    def read(cls, family: str, arguments: Mapping[str, Any], place: str) -> Constraint:
        """The constraint that a row states; arguments that are None are left out.

        Raises:
            DataError: an unknown family, or an argument that is missing or of the wrong kind; names `place`.
        """
        if family not in FAMILIES:
            raise DataError(f"{place}: unknown instruction {family!r}; known: {', '.join(sorted(FAMILIES))}")
        needs = FAMILIES[family].needs
        given = {name: value for name, value in arguments.items() if value is not None}
        for name, kind in needs.items():
            if name not in given or not _fits(given[name], kind):
                raise DataError(f"{place}: {family} needs {name} as a {kind}, and has {given.get(name)!r:.80}")
        if given.get("nth_paragraph", 1) not in range(1, given.get("num_paragraphs", 1) + 1):
            raise DataError(f"{place}: there is no paragraph {given['nth_paragraph']} of {given['num_paragraphs']}")
        extra = set(given) - set(needs) - {"exactly"}
        if extra:
            raise DataError(f"{place}: {family} has no argument {min(extra)!r}; it has {', '.join(needs) or 'none'}")
        return cls(family, given)

    def obeyed(self, text: AnswerText) -> bool:
        """Return whether a response obeys it."""
        return FAMILIES[self.family].obeys(text, **self.arguments)

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, "arguments": dict(self.arguments)}


def _fits(value: object, kind: str) -> bool:
    if kind == "count":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    if kind == "texts":
        return isinstance(value, list) and bool(value) and all(_fits(each, "text") for each in value)
    if not isinstance(value, str):
        return False
    allowed: dict[str, bool] = {"letter": len(value) == 1, "relation": value in RELATIONS, "language": value in NAMES}
    return allowed.get(kind, 0 < len(value.strip()) <= MAX_COUNT)


def is_answer(text: AnswerText) -> bool:
    """Return whether a response says anything at all: it has a letter or digit, and is not the same over and over."""
    return any(map(str.isalnum, text.text)) and not text.is_padding
