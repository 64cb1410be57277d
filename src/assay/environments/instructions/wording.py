"""Families about what is said: key words, letters, lengths, the case of letters, language, commas and how it begins and
ends."""

from __future__ import annotations

import re

from assay.environments.instructions.languages import is_in, is_other_than
from assay.environments.instructions.reading import AnswerText, count_of, has_word, words_of

_COMMAS = ",，、،﹐︐‚"
_EMPHASIS = re.compile(r"(?<=\w)[*_`~]{1,3}(?=\w)")
_MAX_RUN = 2
"""The same letter in a row, of which so many count: "zzzz" is no way to use a letter."""


def _compares(count: int, relation: str, bound: int) -> bool:
    return count >= bound if relation == "at least" else count < bound


def keywords_existence(text: AnswerText, *, keywords: list[str]) -> bool:
    """Every keyword occurs, as a word of its own."""
    return all(count_of(word, text.text) for word in keywords)


def keywords_frequency(text: AnswerText, *, keyword: str, frequency: int, relation: str) -> bool:
    """A keyword occurs so often, as a word of its own."""
    return _compares(count_of(keyword, text.text), relation, frequency)


def keywords_forbidden(text: AnswerText, *, forbidden_words: list[str]) -> bool:
    """No such word occurs, nor one with marks of emphasis inside it, which nobody sees once it is rendered."""
    seen = _EMPHASIS.sub("", text.text)
    return not any(count_of(word, text.text) or count_of(word, seen) for word in forbidden_words)


def letter_frequency(text: AnswerText, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """A letter occurs so often, small or capital. Of a run of it two count, where there is to be much of it."""
    folded = text.text.casefold()
    if let_relation == "at least" and letter.isalpha():
        folded = re.sub(rf"({re.escape(letter.casefold())})\1{{{_MAX_RUN},}}", letter.casefold() * _MAX_RUN, folded)
    return _compares(folded.count(letter.casefold()), let_relation, let_frequency)


def response_language(text: AnswerText, *, language: str) -> bool:
    """All of it is in the language."""
    return is_in(text, language)


def number_words(text: AnswerText, *, relation: str, num_words: int) -> bool:
    """It has so many words, by the count that is the less favourable: for "at least", what has a letter and does not
    repeat the word before it; for "less than", every run of letters or digits."""
    count = text.num_fresh_words if relation == "at least" else text.num_tokens
    return _compares(count, relation, num_words)


def number_sentences(text: AnswerText, *, relation: str, num_sentences: int) -> bool:
    """It has so many sentences: for "at least", different ones that end as sentences do; for "less than", lines without
    an end count too."""
    if relation == "at least":
        return len({" ".join(words_of(each)).casefold() for each in text.sentences}) >= num_sentences
    return text.num_most_sentences < num_sentences


def capital_frequency(text: AnswerText, *, capital_frequency: int, capital_relation: str) -> bool:
    """It has so many words in capitals, of two letters and more: "I" and "A" are none. One that repeats the word before
    it does not count for "at least"."""
    words = [word for word in text.words if sum(map(str.isalpha, word)) > 1]
    if capital_relation == "at least":
        words = [word for word, before in zip(words, ["", *words[:-1]], strict=False) if word != before]
    return _compares(sum(word.isupper() for word in words), capital_relation, capital_frequency)


def english_capital(text: AnswerText) -> bool:
    """English in capitals: no small letter."""
    return text.text.isupper() and not is_other_than(text, "en")


def english_lowercase(text: AnswerText) -> bool:
    """English in small letters: no capital."""
    return text.text.islower() and not is_other_than(text, "en")


def no_comma(text: AnswerText) -> bool:
    """It has no comma of any script."""
    return not any(comma in text.text for comma in _COMMAS)


def end_checker(text: AnswerText, *, end_phrase: str) -> bool:
    """Its last words are the phrase, with something before it."""
    said, phrase = (" ".join(part.split()).casefold().rstrip("\"'”’*_ ") for part in (text.text, end_phrase))
    before = said.removesuffix(phrase)
    return before != said and has_word(before) and not before[-1:].isalnum()


def quotation(text: AnswerText) -> bool:
    """All of it is in one pair of double quotation marks: `"A" and "B"` begins and ends with some, and is in none."""
    said = text.text
    if len(said) < 3 or (said[0], said[-1]) not in (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»")):
        return False
    inner = said[1:-1]
    if not has_word(inner):
        return False
    at = re.search(r'["“”„«»]', inner)
    if at is None or at.group() in "“„«":
        return True
    # The next mark opens a quotation inside, or closes the first one.
    before, after = inner[: at.start()][-1:], inner[at.end() :][:1]
    return at.group() == '"' and (not before or before in " \t\n([*_-—:") and not (not after or after.isspace())


def repeat_prompt(text: AnswerText, *, prompt_to_repeat: str) -> bool:
    """It begins with the request, word for word, and then answers."""
    said, asked = (" ".join(part.split()).casefold() for part in (text.text.lstrip("\"'“*> "), prompt_to_repeat))
    rest = said.removeprefix(asked.strip())
    return rest != said and has_word(rest) and not rest[0].isalnum()
