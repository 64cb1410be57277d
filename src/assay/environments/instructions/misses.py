"""Near misses: for each family, texts that look obedient and are not: forms that nobody meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from assay.environments.instructions.families import Constraint
from assay.environments.instructions.layout import OPTIONS

_ENGLISH = "This part is in English and it is here for all of you to read when you have the time to do so."


def _glued(text: str, word: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", f"un{word}ish", text, flags=re.IGNORECASE)


def _keywords(text: str, a: Mapping[str, Any]) -> list[str]:
    return [_glued(text, word) for word in a["keywords"]]


def _frequency(text: str, a: Mapping[str, Any]) -> list[str]:
    if a["relation"] == "at least":
        return [_glued(text, a["keyword"])]
    return [text + "".join(f" The {a['keyword']} number {n} is here." for n in range(a["frequency"]))]


def _forbidden(text: str, a: Mapping[str, Any]) -> list[str]:
    word = a["forbidden_words"][0]
    return [
        f"{text} {word}",
        f"{text} {word.upper()}!",
        f"{text} {word[0]}**{word[1:]}**",
        f"{text} {word[0]}\u200b{word[1:]}",
    ]


def _letters(text: str, a: Mapping[str, Any]) -> list[str]:
    letter = a["letter"]
    if a["let_relation"] == "less than":
        return [text + "".join(f" {letter}a" for _ in range(a["let_frequency"]))]
    without = text.replace(letter, "").replace(letter.upper(), "")
    return [without, f"{without} {letter * 50}"]


def _words(text: str, a: Mapping[str, Any]) -> list[str]:
    if a["relation"] == "less than":
        return [text + " and so on and on" * a["num_words"]]
    few = " ".join(text.split()[:5])
    return [few, few + " word" * 300, few + " 1 2 3" * 100, few + " . - ." * 200]


def _sentences(text: str, a: Mapping[str, Any]) -> list[str]:
    if a["relation"] == "less than":
        return [text + "".join(f" We go to town on day {n}." for n in range(a["num_sentences"]))]
    flat = re.sub(r"[.!?]", ";", text)
    return [flat, flat + " !" * 30, flat + " Yes." * 30]


def _paragraphs(text: str, a: Mapping[str, Any]) -> list[str]:
    return [
        text.replace("\n***\n", "\n\n"),
        text.replace("\n***\n", " *** "),
        f"{text}\n***\nOne more.",
        f"{text}\n***\n***\nOne more.",
    ]


def _nth(text: str, a: Mapping[str, Any]) -> list[str]:
    return [text.replace("\n\n", "\n"), f"{text}\n\nOne more.", _glued(text, a["first_word"]), f"{text}\n\n---"]


def _placeholders(text: str, a: Mapping[str, Any]) -> list[str]:
    without = text.replace("[", "(").replace("]", ")")
    return [without, f"{without} [] [ ] [1] [2] [3, 4] [x] a[bc] [name](http://a.example)", f"{without}{' [name]' * 9}"]


def _postscript(text: str, a: Mapping[str, Any]) -> list[str]:
    marker = a["postscript_marker"]
    return [text.replace(marker, "In short"), text.replace(f"\n{marker}", f" {marker}"), f"{marker} It comes first."]


def _bullets(text: str, a: Mapping[str, Any]) -> list[str]:
    bullet = re.compile(r"^\* ", re.MULTILINE)
    spoiled = [bullet.sub(mark, text) for mark in ("*", "-5 ", "---\n", "* \n")]
    return [*spoiled, f"{text}\n* One more"]


def _options(text: str, a: Mapping[str, Any]) -> list[str]:
    return [" ".join(OPTIONS), "Maybe.", "I do not think that my answer is maybe.", " ".join(OPTIONS[:2])]


def _highlights(text: str, a: Mapping[str, Any]) -> list[str]:
    without = text.replace("*", "")
    return [
        without,
        f"{without} 2*3*4 and 5*6*7 and 8*9*10 and a*b*c",
        f"{without} ** ** * * ****",
        f"{without}{' *so*' * 9}",
    ]


def _sections(text: str, a: Mapping[str, Any]) -> list[str]:
    heading = a["section_spliter"]
    pattern = re.compile(rf"{heading} 2", re.IGNORECASE)
    return [
        pattern.sub(f"{heading} 1", text),
        pattern.sub(f"{heading} two", text),
        f"{text}\n\n{heading} {a['num_sections'] + 1}\nMore.",
    ]


def _json(text: str, a: Mapping[str, Any]) -> list[str]:
    return [text[:-1], f"Here it is: {text}", "5", '"a text"', "{}", "[]", '{"a": NaN}', f"```\n{text}\n```\nThere."]


def _title(text: str, a: Mapping[str, Any]) -> list[str]:
    without = text.replace("<<", "<").replace(">>", ">")
    return [without, f"{without} cout << x >> y;", f"{without} <<>>", f"{without} << >>"]


def _two(text: str, a: Mapping[str, Any]) -> list[str]:
    head, _, _ = text.partition("\n******\n")
    return [f"{head}\n******\n{head}", text.replace("******", "*****"), f"{text}\n******\nA third.", head]


def _repeat(text: str, a: Mapping[str, Any]) -> list[str]:
    return [a["prompt_to_repeat"], f"Sure! {text}", f"I repeat: {text}"]


def _end(text: str, a: Mapping[str, Any]) -> list[str]:
    return [f"{text} Bye.", a["end_phrase"], text.rstrip('"')[: -len(a["end_phrase"])]]


def _quotation(text: str, a: Mapping[str, Any]) -> list[str]:
    return [text[1:], text[:-1], f"'{text[1:-1]}'", f'"One" and {text[1:-1]} and "two"', f'{text} "']


def _capitals(text: str, a: Mapping[str, Any]) -> list[str]:
    if a["capital_relation"] == "less than":
        return [text + "".join(f" SEE HOW {n}" for n in range(a["capital_frequency"]))]
    low = text.lower()
    return [low, f"{low}{' I A' * 20}", f"{low}{' GO' * 20}"]


_MISSES: Mapping[str, Callable[[str, Mapping[str, Any]], list[str]]] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": lambda text, a: [_ENGLISH, f"{text}\n{_ENGLISH}"],
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_words": _words,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _nth,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _options,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two,
    "combination:repeat_prompt": _repeat,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": lambda text, a: [text.lower(), f"{text} so"],
    "change_case:english_lowercase": lambda text, a: [text.upper(), f"{text} So"],
    "punctuation:no_comma": lambda text, a: [f"{text}, yes", f"{text}， yes", f"{text}، yes"],
}


def misses(constraint: Constraint, text: str) -> list[str]:
    """Return what is left of a text that obeys a constraint when it is obeyed in form only."""
    return _MISSES[constraint.family](text, constraint.arguments)
