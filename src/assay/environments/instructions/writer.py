"""The writer: a text that obeys the constraints that it is given, as plain as can be."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay.environments.instructions.families import Constraint
from assay.environments.instructions.reading import AnswerText, count_of

_WHO = (
    "The garden wall",
    "My neighbour",
    "Our street",
    "The town hall",
    "A child",
    "The baker",
    "The old man",
    "A friend",
)
_DOES = ("remembers", "keeps", "shows", "brings", "finds", "needs", "paints", "counts")
_WHAT = (
    "a warm memory",
    "the first leaves",
    "a blue door",
    "another hour",
    "a calm voice",
    "the low sun",
    "some bread",
)
_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "de": (
        "Der Garten ist klein und auch sehr schön.",
        "Die Kinder spielen mit dem Ball und lachen.",
        "Wir gehen nach der Arbeit noch zu dem Fluss.",
        "Es ist nicht weit von hier bis zum Markt.",
        "Ich habe das Haus auf dem Berg nicht vergessen.",
        "Am Abend ist es still und die Luft ist kalt.",
    ),
    "fr": (
        "Le jardin est petit et il est très calme.",
        "Les enfants sont dans la rue avec leur chien.",
        "Nous aimons le pain que vous faites pour la fête.",
        "Il ne fait pas froid sur le pont.",
        "La lettre est dans la boîte de ma mère.",
        "Je pense que la mer est plus belle au matin.",
    ),
    "es": (
        "El jardín es pequeño pero muy bonito.",
        "Los niños están en la calle con el perro.",
        "No hay nada más bello que la luz de la mañana.",
        "Me gusta el pan que hace mi madre para la fiesta.",
        "La carta está sobre la mesa de la cocina.",
        "Cuando llueve todo el pueblo está en casa.",
    ),
    "it": (
        "Il giardino è piccolo ma molto bello.",
        "I ragazzi sono nella strada con il cane.",
        "La luce della mattina è più bella che mai.",
        "Mi piace il pane che fa la madre di Anna.",
        "Non c'è una lettera sul tavolo della cucina.",
        "Quando piove tutto il paese è in silenzio.",
    ),
    "pt": (
        "O jardim é pequeno mas é muito bonito.",
        "As crianças estão na rua com o cão.",
        "Não há nada mais belo do que a luz da manhã.",
        "Eu gosto do pão que a minha mãe faz para a festa.",
        "A carta está em cima da mesa e ele não sabe.",
        "Quando chove as ruas da cidade são calmas.",
    ),
}
_WITH_LETTER: Mapping[str, tuple[str, ...]] = {
    "k": ("kettle", "kitten", "market", "basket", "kite", "pocket", "sock"),
    "v": ("violin", "valley", "river", "velvet cover", "vase", "village", "oven"),
    "w": ("willow", "window", "water wheel", "wagon", "swallow", "wall", "wheel"),
    "b": ("bubble", "ribbon", "baby rabbit", "barn", "bell", "boat", "table"),
    "j": ("jar", "jewel", "jacket", "journal", "jug", "jigsaw", "joker"),
    "q": ("queen", "quilt", "square", "quarry", "squirrel", "quill", "quartet"),
    "x": ("box", "fox", "taxi", "saxophone", "axe", "mixer", "ox"),
    "z": ("zebra", "puzzle", "lizard", "wizard", "prize", "quiz", "bazaar"),
}
_BRACKETED = ("name", "address", "date", "phone number", "town", "street")
_HIGHLIGHTS = ("the first point", "the second point", "the main idea", "one last remark", "a short note")
_CAPITALS = ("LOOK", "LISTEN", "WAIT", "GO", "STOP", "CALL", "COME")
_DIVIDERS = {"length_constraints:number_paragraphs": "\n***\n", "combination:two_responses": "\n******\n"}
_MAX_ADDED = 60


def written(constraints: list[Constraint], request: str, rng: random.Random) -> str:
    """Return a text that means to obey all of them; whether it does is for the checker to say."""
    wanted = {constraint.family: constraint.arguments for constraint in constraints}
    if "detectable_format:constrained_response" in wanted:
        return _finished("My answer is maybe.", wanted)
    fresh = _sentences(wanted, rng)
    extra = _extra(wanted, fresh)
    blocks, glue = _shaped(wanted, fresh, extra)
    text = _joined(blocks, glue, wanted, request)
    for _ in range(_MAX_ADDED):
        if _is_long_enough(AnswerText(text), wanted):
            break
        # Into the first block, whose lines are prose in every shape.
        blocks[0] += f" {next(fresh)}"
        text = _joined(blocks, glue, wanted, request)
    return text


def _is_long_enough(text: AnswerText, wanted: Mapping[str, Mapping[str, Any]]) -> bool:
    lengths = [
        Constraint(family, wanted[family]) for family in wanted if family.endswith(("number_words", "number_sentences"))
    ]
    return all(each.arguments["relation"] == "less than" or each.obeyed(text) for each in lengths)


def _sentences(wanted: Mapping[str, Mapping[str, Any]], rng: random.Random) -> Iterator[str]:
    """Sentences, each once, without what is not wanted; in the language that is wanted."""
    language = wanted.get("language:response_language", {}).get("language")
    if language:
        yield from rng.sample(_ELSEWHERE[language], len(_ELSEWHERE[language]))
        return
    unwanted = wanted.get("keywords:forbidden_words", {}).get("forbidden_words", [])
    for number in rng.sample(range(len(_WHO) * len(_DOES) * len(_WHAT)), len(_WHO) * len(_DOES) * len(_WHAT)):
        who, rest = number % len(_WHO), number // len(_WHO)
        sentence = f"{_WHO[who]} {_DOES[rest % len(_DOES)]} {_WHAT[rest // len(_DOES)]}."
        if not any(count_of(word, sentence) for word in unwanted):
            yield sentence


def _extra(wanted: Mapping[str, Mapping[str, Any]], fresh: Iterator[str]) -> list[str]:
    """Sentences that hold what must occur."""
    extra: list[str] = []
    for keyword in wanted.get("keywords:existence", {}).get("keywords", ()):
        extra.append(f"There is a {keyword} near here.")
    frequency = wanted.get("keywords:frequency")
    if frequency and frequency["relation"] == "at least":
        extra += [f"{next(fresh)[:-1]} by the {frequency['keyword']}." for _ in range(frequency["frequency"])]
    letters = wanted.get("keywords:letter_frequency")
    if letters and letters["let_relation"] == "at least":
        words = _WITH_LETTER[letters["letter"]]
        extra += [
            f"We saw a {word} and then another {word} there." for word in words[: letters["let_frequency"] // 2 + 1]
        ]
    number = wanted.get("detectable_content:number_placeholders", {}).get("num_placeholders", 0)
    if number:
        extra.append("Please write " + " and ".join(f"[{each}]" for each in _BRACKETED[:number]) + " on a card.")
    number = wanted.get("detectable_format:number_highlighted_sections", {}).get("num_highlights", 0)
    extra += [f"Here is *{each}* for you." for each in _HIGHLIGHTS[:number]]
    capitals = wanted.get("change_case:capital_word_frequency")
    if capitals and capitals["capital_relation"] == "at least":
        extra.append("They all say " + " and ".join(_CAPITALS[: capitals["capital_frequency"]]) + " from time to time.")
    return extra


def _shaped(wanted: Mapping[str, Mapping[str, Any]], fresh: Iterator[str], extra: list[str]) -> tuple[list[str], str]:
    """Blocks of text, and what stands between them. What is extra stands in the first."""
    more = "".join(f" {each}" for each in extra)
    if arguments := wanted.get("detectable_format:number_bullet_lists"):
        first = f"{next(fresh)}{more}" if "language:response_language" not in wanted or more else ""
        bullets = "\n".join([f"* {next(fresh)}" for _ in range(arguments["num_bullets"])])
        return ([first, bullets], "\n") if first else ([bullets], "\n")
    if arguments := wanted.get("detectable_format:multiple_sections"):
        number, heading = arguments["num_sections"], arguments["section_spliter"]
        blocks = [f"{heading} {each + 1}\n{next(fresh)}" for each in range(number)]
        return [blocks[0] + more, *blocks[1:]], "\n\n"
    if arguments := wanted.get("length_constraints:nth_paragraph_first_word"):
        blocks = [next(fresh) for _ in range(arguments["num_paragraphs"])]
        place = arguments["nth_paragraph"] - 1
        blocks[place] = f"{arguments['first_word'].capitalize()} comes to mind. {blocks[place]}"
        return [blocks[0] + more, *blocks[1:]], "\n\n"
    for family, glue in _DIVIDERS.items():
        if family in wanted:
            blocks = [next(fresh) for _ in range(wanted[family].get("num_paragraphs", 2))]
            return [blocks[0] + more, *blocks[1:]], glue
    return [next(fresh) + more], "\n"


def _joined(blocks: list[str], glue: str, wanted: Mapping[str, Mapping[str, Any]], request: str) -> str:
    text = glue.join(blocks)
    if "detectable_format:json_format" in wanted:
        return _finished(json.dumps({"text": text}, ensure_ascii=False), wanted)
    if "detectable_format:title" in wanted:
        text = f"<<A Few Words>>\n{text}"
    if "combination:repeat_prompt" in wanted:
        text = f"{request}\n{text}"
    if arguments := wanted.get("detectable_content:postscript"):
        text = f"{text}\n{arguments['postscript_marker']} Write back soon."
    if arguments := wanted.get("startend:end_checker"):
        text = f"{text}\n{arguments['end_phrase']}"
    return _finished(text, wanted)


def _finished(text: str, wanted: Mapping[str, Mapping[str, Any]]) -> str:
    if "change_case:english_capital" in wanted:
        text = re.sub(r"\\U[0-9A-F]{4}", lambda at: at.group().lower(), text.upper()).replace("\\N", "\\n")
    if "change_case:english_lowercase" in wanted:
        text = text.lower()
    return f'"{text}"' if "startend:quotation" in wanted else text
