"""Drawing: requests, and constraints on them that can be obeyed together, with what a prompt says of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.environments.instructions.families import FAMILIES, Constraint
from assay.environments.instructions.languages import NAMES
from assay.environments.instructions.layout import OPTIONS

KINDS = ("Write a short text about", "Tell a friend about", "Describe to a child", "Give a short talk about")
TOPICS = (
    *("a walk in the rain", "the first day at school", "an old bicycle", "a market in the morning", "the night sky"),
    *(
        "a lost umbrella",
        "making bread",
        "a small garden",
        "a long train ride",
        "a cat on the roof",
        "learning to swim",
    ),
    *("a letter from far away", "the smell of coffee", "a broken clock", "a day without a phone", "a summer storm"),
    *("the last bus home", "a picnic by the river", "an empty theatre", "a new neighbour", "moving to another town"),
    *("a song on the radio", "a museum of shoes", "the winter holidays", "a game of chess", "a house by the sea"),
    *(
        "a lighthouse",
        "a family recipe",
        "the first snow",
        "a hidden path",
        "a bridge over a river",
        "an old photograph",
    ),
    *("planting a tree", "a stray dog", "a visit to the dentist", "a birthday party", "a boat trip", "a quiet library"),
)
KEYWORDS = (
    *("garden", "river", "window", "letter", "morning", "bridge", "stone", "paper", "summer", "table", "candle"),
    *("forest", "pocket", "mirror", "basket", "lantern", "island", "ladder", "button", "feather", "harbour", "shadow"),
)
FORBIDDEN = ("good", "very", "people", "thing", "time", "nice", "old", "small", "light", "home", "day", "way", "water")
RARE = "kvwbjqxz"
RAREST = "jqxz"
LANGUAGES = ("de", "fr", "es", "it", "pt")
PHRASES = ("That is all for today.", "Thank you for reading.", "Is there anything else?", "The rest is up to you.")
SECTIONS = ("SECTION", "Part", "Chapter")

_SHAPES = frozenset(
    {
        "detectable_format:json_format",
        "detectable_format:constrained_response",
        "detectable_format:multiple_sections",
        "detectable_format:number_bullet_lists",
        "combination:two_responses",
        "length_constraints:number_paragraphs",
        "length_constraints:nth_paragraph_first_word",
    }
)
_CASES = frozenset(
    {"change_case:english_capital", "change_case:english_lowercase", "change_case:capital_word_frequency"}
)
_LENGTHS = frozenset({"length_constraints:number_words", "length_constraints:number_sentences"})
_ONLY_WITH: Mapping[str, frozenset[str]] = {
    "detectable_format:json_format": frozenset(
        {
            *("keywords:existence", "keywords:frequency", "keywords:forbidden_words", "keywords:letter_frequency"),
            *_CASES,
            "length_constraints:number_words",
        }
    ),
    "detectable_format:constrained_response": frozenset(
        {"keywords:forbidden_words", "punctuation:no_comma", "startend:quotation"}
    ),
    "language:response_language": frozenset(
        {
            *("punctuation:no_comma", "startend:quotation", "combination:two_responses"),
            *("detectable_format:number_bullet_lists", "length_constraints:number_paragraphs"),
        }
    ),
}
"""Families that go with few others, and which."""
_NEVER = frozenset(
    {
        frozenset({"change_case:english_lowercase", "detectable_content:postscript"}),
        frozenset({"length_constraints:nth_paragraph_first_word", "detectable_format:title"}),
        frozenset({"length_constraints:nth_paragraph_first_word", "combination:repeat_prompt"}),
        frozenset({"combination:two_responses", "combination:repeat_prompt"}),
    }
)


def go_together(one: str, other: str) -> bool:
    """Return whether a text can obey two families at once, as they are drawn here."""
    pair = {one, other}
    if one == other or pair <= _SHAPES or pair <= _CASES or pair <= _LENGTHS or pair in _NEVER:
        return False
    return other in _ONLY_WITH.get(one, (other,)) and one in _ONLY_WITH.get(other, (one,))


def drawn_request(rng: random.Random) -> str:
    """A request without constraints."""
    return f"{rng.choice(KINDS)} {rng.choice(TOPICS)}."


def drawn_constraints(rng: random.Random, number: int, request: str) -> list[Constraint] | None:
    """So many constraints of different families that go together; None where the draw leads to too few."""
    families: list[str] = []
    for family in rng.sample(sorted(FAMILIES), len(FAMILIES)):
        if len(families) < number and all(go_together(family, other) for other in families):
            families.append(family)
    if len(families) < number:
        return None
    return [Constraint(family, _arguments(rng, family, request)) for family in families]


def _relation(rng: random.Random) -> str:
    return rng.choice(("at least", "less than"))


def _arguments(rng: random.Random, family: str, request: str) -> dict[str, Any]:
    relation = _relation(rng)
    at_least = relation == "at least"
    draws: dict[str, Callable[[], dict[str, Any]]] = {
        "keywords:existence": lambda: {"keywords": rng.sample(KEYWORDS, rng.randint(2, 3))},
        "keywords:frequency": lambda: {
            "keyword": rng.choice(KEYWORDS),
            "frequency": rng.randint(3, 5) if at_least else rng.randint(2, 4),
            "relation": relation,
        },
        "keywords:forbidden_words": lambda: {"forbidden_words": rng.sample(FORBIDDEN, rng.randint(2, 4))},
        "keywords:letter_frequency": lambda: {
            "letter": rng.choice(RARE if at_least else RAREST),
            "let_frequency": rng.randint(4, 9) if at_least else rng.randint(2, 4),
            "let_relation": relation,
        },
        "language:response_language": lambda: {"language": rng.choice(LANGUAGES)},
        "length_constraints:number_sentences": lambda: {
            "num_sentences": rng.randint(4, 10) if at_least else rng.randint(8, 15),
            "relation": relation,
        },
        "length_constraints:number_words": lambda: {
            "num_words": 10 * rng.randint(4, 12) if at_least else 10 * rng.randint(7, 15),
            "relation": relation,
        },
        "length_constraints:number_paragraphs": lambda: {"num_paragraphs": rng.randint(2, 5)},
        "length_constraints:nth_paragraph_first_word": lambda: {
            "num_paragraphs": (number := rng.randint(2, 5)),
            "nth_paragraph": rng.randint(1, number),
            "first_word": rng.choice(KEYWORDS),
        },
        "detectable_content:number_placeholders": lambda: {"num_placeholders": rng.randint(2, 5)},
        "detectable_content:postscript": lambda: {"postscript_marker": rng.choice(("P.S.", "P.P.S"))},
        "detectable_format:number_bullet_lists": lambda: {"num_bullets": rng.randint(2, 6)},
        "detectable_format:number_highlighted_sections": lambda: {"num_highlights": rng.randint(2, 4)},
        "detectable_format:multiple_sections": lambda: {
            "section_spliter": rng.choice(SECTIONS),
            "num_sections": rng.randint(2, 4),
            "exactly": True,
        },
        "combination:repeat_prompt": lambda: {"prompt_to_repeat": request},
        "startend:end_checker": lambda: {"end_phrase": rng.choice(PHRASES)},
        "change_case:capital_word_frequency": lambda: {
            "capital_frequency": rng.randint(3, 6),
            "capital_relation": relation,
        },
    }
    return draws.get(family, dict)()


def said_of(constraint: Constraint) -> str:
    """Return the sentence by which a prompt states a constraint."""
    return _SAID[constraint.family](**constraint.arguments)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(f'"{word}"' for word in words)


_SAID: Mapping[str, Callable[..., str]] = {
    "keywords:existence": lambda keywords: f"Use the words {_listed(keywords)}.",
    "keywords:frequency": lambda keyword, frequency, relation: (
        f'The word "{keyword}" must occur {relation} {frequency} times.'
    ),
    "keywords:forbidden_words": lambda forbidden_words: f"Do not use the words {_listed(forbidden_words)}.",
    "keywords:letter_frequency": lambda letter, let_frequency, let_relation: (
        f'The letter "{letter}" must occur {let_relation} {let_frequency} times, in ordinary words.'
    ),
    "language:response_language": lambda language: f"Answer in {NAMES[language]} only; use no other language.",
    "length_constraints:number_sentences": lambda num_sentences, relation: (
        f"Write {relation} {num_sentences} sentences."
    ),
    "length_constraints:number_words": lambda num_words, relation: f"Write {relation} {num_words} words.",
    "length_constraints:number_paragraphs": lambda num_paragraphs: (
        f"Write exactly {num_paragraphs} paragraphs, and between them a line with the divider *** and nothing else."
    ),
    "length_constraints:nth_paragraph_first_word": lambda num_paragraphs, nth_paragraph, first_word: (
        f"Write exactly {num_paragraphs} paragraphs with a blank line between them. Paragraph {nth_paragraph} must "
        f'begin with the word "{first_word}".'
    ),
    "detectable_content:number_placeholders": lambda num_placeholders: (
        f"Put in at least {num_placeholders} placeholders, words in square brackets such as [address]."
    ),
    "detectable_content:postscript": lambda postscript_marker: (
        f"Add a postscript on a line of its own at the end, which begins with {postscript_marker}"
    ),
    "detectable_format:number_bullet_lists": lambda num_bullets: (
        f'Write exactly {num_bullets} bullet points, lines that begin with "* ".'
    ),
    "detectable_format:constrained_response": lambda: (
        f"Do I know enough to begin? Choose one of these, and say no other: {' '.join(OPTIONS)}"
    ),
    "detectable_format:number_highlighted_sections": lambda num_highlights: (
        f"Highlight at least {num_highlights} passages in markdown, such as *highlighted passage*."
    ),
    "detectable_format:multiple_sections": lambda section_spliter, num_sections, exactly: (
        f"Write exactly {num_sections} sections. Begin each with a line that says {section_spliter} X, where X is "
        "its number."
    ),
    "detectable_format:json_format": lambda: "Answer with one JSON object and nothing else.",
    "detectable_format:title": lambda: "Give it a title in double angular brackets, such as <<title>>.",
    "combination:two_responses": lambda: (
        "Give two different responses, and between them a line with six asterisks: ******"
    ),
    "combination:repeat_prompt": lambda prompt_to_repeat: (
        f'First repeat the request "{prompt_to_repeat}" word for word, and then answer it.'
    ),
    "startend:end_checker": lambda end_phrase: f'End with the words "{end_phrase}" and nothing after them.',
    "startend:quotation": lambda: "Wrap the whole response in double quotation marks.",
    "change_case:capital_word_frequency": lambda capital_frequency, capital_relation: (
        f"Use {capital_relation} {capital_frequency} words in capital letters."
    ),
    "change_case:english_capital": lambda: "Write in English and in capital letters only.",
    "change_case:english_lowercase": lambda: "Write in English and in lowercase letters only.",
    "punctuation:no_comma": lambda: "Use no commas.",
}
