"""Instructions: each family on forms that were meant and on forms that nobody meant; its generator; IFEval's rows."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.check_dials import check_dials
from assay.environments.ifeval import IFEval
from assay.environments.instructions import FAMILIES, Constraint, Instructions, InstructionsFollowed
from assay.environments.instructions.drawing import said_of
from assay.environments.instructions.languages import NAMES, language_of
from assay.environments.instructions.reading import MAX_CHARACTERS, AnswerText, words_of
from assay.errors import DataError
from assay.rollout.scripted import play_script
from assay.types import Message, Score, Task, Verdict
from assay.verifiers.verifier import as_rollout

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "keywords:existence",
        {"keywords": ["cat", "new york"]},
        ["A cat in New York.", "The Cat's way to new\nyork"],
        ["A category in New York.", "cats in New Yorkshire", "A cat in York, which is new", "concat new york"],
    ),
    (
        "keywords:frequency",
        {"keyword": "rain", "frequency": 3, "relation": "at least"},
        ["Rain, rain and rain.", "rain today (rain) or RAIN!"],
        ["Rain and rain on a train.", "raining rainy rainbow", "rain rain"],
    ),
    (
        "keywords:frequency",
        {"keyword": "rain", "frequency": 2, "relation": "less than"},
        ["One rain.", "No such word, but a train"],
        ["Rain and rain."],
    ),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["rock", "sand"]},
        ["Rocket and sandal", "A hard stone"],
        ["A rock.", "ROCK", "a ro**ck**", "a r\u200bock", "r*o*ck", "sand-castle"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "q", "let_frequency": 4, "let_relation": "at least"},
        ["Queen quilts quite quickly", "q, Q, q; q"],
        ["qqqqqqqqqq", "Queen quilt quick", "a qqqq and one q"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "!", "let_frequency": 3, "let_relation": "at least"},
        ["Yes! Yes! Yes!", "Yes!!!"],
        ["Yes! Yes!"],
    ),
    (
        "language:response_language",
        {"language": "de"},
        ["Der Hund ist nicht groß und schläft auf dem Sofa.", "Ich weiß es nicht, aber wir sind auch in Berlin."],
        [
            "The dog is not big and sleeps on the sofa.",
            "Le chien est dans la rue et il ne dort pas.",
            "Der Hund ist nicht groß und schläft auf dem Sofa.\nThe dog is big and it sleeps on the sofa in the room.",
            "Hund Katze Maus",
        ],
    ),
    (
        "language:response_language",
        {"language": "hi"},
        ["यह एक अच्छा दिन है और हम बाजार में हैं।", "मैं घर पर हूँ और वह स्कूल में है।"],
        [
            "हा एक चांगला दिवस आहे आणि आम्ही बाजारात आहोत.",
            "यो राम्रो दिन हो र हामी बजारमा छौं।",
            "It is a good day and so on.",
        ],
    ),
    (
        "language:response_language",
        {"language": "ur"},
        ["یہ ایک اچھا دن ہے اور ہم بازار میں ہیں۔"],
        ["این یک روز خوب است و ما در بازار هستیم که می خریم.", "هذا يوم جيد في السوق مع كل من هو هنا."],
    ),
    (
        "language:response_language",
        {"language": "ru"},
        ["Это хороший день, и мы идём на рынок, но я не знаю как."],
        ["Това е хубав ден и ние ще отидем на пазара, за да купим хляб."],
    ),
    (
        "language:response_language",
        {"language": "ko"},
        ["오늘은 좋은 날입니다."],
        ["Today is a good day.", "今日は良い日です"],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        ["One is here. Two is there! Is three?", "It costs 3.50 today. Dr. No came. We left."],
        [
            "One. One. One.",
            "One... two... three",
            "It costs 3.5.7 today. Mr. A. B. Smith came.",
            "! ! ! ? . .",
            "a; b; c",
        ],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "less than"},
        ["One is here. Two is there!"],
        ["One is here. Two is there! Three.", "This is one\nThis is two\nThis is three"],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["One here.\n***\nTwo there.", "***\nOne here.\n\nMore.\n * * * \nTwo there.\n***"],
        [
            "One ***here*** and two.",
            "One here. *** Two there.",
            "One here.\n\nTwo there.",
            "One\n***\n***\nTwo",
            "One\n***\n.",
            "One\n****\nTwo",
        ],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 5, "relation": "at least"},
        ["We don't know what's there.", "one two three four five"],
        ["one two three four", "yes yes yes yes yes", "1 2 3 4 5", "- . - . - .", "one\u200btwo three four five"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 5, "relation": "less than"},
        ["one two three four"],
        ["one two three four five", "one-two-three-four-five", "one_two, three/four/five and six", "we 1 2 3 4"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"},
        ["One here.\n\nElm trees grow.", 'One here.\nStill one.\n \n\n"Elm" is a tree'],
        [
            "One here.\nElm trees grow.",
            "Elm here.\n\nTwo.",
            "One.\n\nElmo waves.",
            "One here.\n\n---\n\nElm trees",
            "One here.\n\nElm",
        ],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["Dear [name], write to [your address].", "[Name] came, and [Name] left."],
        [
            "Dear [name].",
            "See [1] and [2].",
            "- [ ] do\n- [x] done",
            "a[index] b[other]",
            "[here](a.b) [there](c.d)",
            "[] [  ]",
            "[name] [name]",
        ],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Hello you.\nP.S. Bring bread.", "Hello you.\n\n**P.S.** Bring bread.", "Hello you.\nP.S.\nBring bread."],
        [
            "P.S. Bring bread.",
            "Hello you. P.S. Bring bread.",
            "Hello you.\nP.S.",
            "Hello you.\nP.S. ...",
            "Hello.\nP.P.S. Bring bread",
        ],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["Hello you.\nP.P.S Bring bread.", "Hello you.\nP.S. No.\nP.P.S. Bring bread."],
        ["Hello you.\nP.S. Bring bread.", "Hello you.\nPPSX bread"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["List:\n* One here\n* Two there", "- One here\n- Two there", "  * *One* here\n  * **Two**"],
        [
            "* One",
            "*One here*\n*Two there*",
            "---\n***\n* One here",
            "-5 degrees\n-6 degrees",
            "* \n* ",
            "* One\n* Two\n* Three",
            "```\n* One\n* Two\n```",
        ],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is yes.", "Who knows? My answer is maybe.", "**My answer is no.**"],
        ["yes", "My answer is yes. My answer is no.", "I won't say that my answer is no.", "My answer is perhaps."],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*One here* and *two there*", "**One here** is ***two there***", "* *One* in a list\n* _no_ and **two**"],
        [
            "2*3*4 and 5*6*7",
            "The products 2 * 3 and 4 * 5 and a*b*c",
            "* one\n* two\n* three",
            "*one*",
            "** ** and * *",
            "*so* *so*",
            "`*one*` and `*two*`",
            r"\*one\* and \*two\*",
            "*1* and *2*",
            "***\n***",
            "```\n*one* *two*\n```",
        ],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        [
            "Section 1\nOne here.\nSection 2\nTwo there.",
            "## SECTION 1: One\n**Section 2** - two",
            "Section 1\na b c de\nSection 2\nfg\nSection 3\nhi",
        ],
        [
            "Section 1\nOne.",
            "Section 1 Section 2",
            "Section 1\nSection 2\nText.",
            "Section 2\nOne.\nSection 1\nTwo.",
            "See Section 1 and Section 2 of it.",
            "Section one\nA b.\nSection two\nCd.",
            "Section 1\nOne.\nSection 1\nTwo.",
        ],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": "text"}', '```json\n{"a": ["one"]}\n```', '["one", "two"]'],
        [
            "text",
            '"text"',
            "5",
            "{}",
            "[]",
            "[1, 2]",
            '{"a": "text"',
            'Here: {"a": "text"}',
            '{"a": "text"} done',
            '{"a": NaN, "b": "text"}',
            "[" * 5000 + "]" * 5000,
            '{"a": "x", "a": "y"}',
        ],
    ),
    (
        "detectable_format:title",
        {},
        ["<<A Day>>\nText.", "# << A Day >>\nText.", "It is called <<A Day>> here."],
        [
            "<A Day>\nText.",
            "cout << x >> y;",
            "if a << bits >> more",
            "<<>>",
            "<< >>\nText",
            "<<12>>",
            "```\n<<a day>>\n```",
        ],
    ),
    (
        "combination:two_responses",
        {},
        ["One here.\n******\nTwo there.", "******\nOne here.\n\n******\n\nTwo there."],
        [
            "One here.\n******\nOne here!",
            "One ****** two",
            "One here.",
            "One here.\n***\nTwo",
            "One\n*******\nTwo",
            "One\n******\nTwo\n******\nThree",
            "One\n******\n",
        ],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem, please."},
        ["Write a poem, please.\nRoses are red.", '"write a poem,  please." Roses are red.'],
        [
            "Write a poem, please.",
            "Sure! Write a poem, please. Roses",
            "Write a poem please. Roses",
            "Write a poem, please.s are red",
        ],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Peace!"},
        ["All is well. Peace!", '"All is well. peace!"'],
        ["Peace!", "All is well. Peace! Bye", "All is well. Peace", "...Peace!", "They want worldpeace!"],
    ),
    (
        "startend:quotation",
        {},
        ['"All of it."', '"He said "hi" to me."', "“All of it.”"],
        ["All of it.", '"All', '"A day" and "a night"', "'All of it.'", '""', '"."', '"One." "Two."'],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["LOOK and SEE", "The USA and the UN"],
        ["I and A", "I I I I", "LOOK here", "GO GO GO GO", "Look And See", "X Y Z"],
    ),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        ["I see A LOT", "none at all"],
        ["LOOK and SEE"],
    ),
    (
        "change_case:english_capital",
        {},
        ["ALL OF IT, 100 %!"],
        ["ALL Of IT", "123", "DER HUND IST NICHT SO GROSS UND SCHLÄFT AUF DEM SOFA IM HAUS UND BELLT"],
    ),
    ("change_case:english_lowercase", {}, ["all of it, 100 %!"], ["all of It", "123", "все хорошо и мы здесь"]),
    (
        "punctuation:no_comma",
        {},
        ["No comma here; none.", "5.000"],
        ["One, two", "5,000", "一，二", "one، two", "one、two"],
    ),
]


def obeys(family: str, arguments: dict[str, Any], response: str) -> bool:
    """What the verifier says of a response to a task of this one constraint."""
    return score([(family, arguments)], response).verdict is Verdict.SOLVED


def score(constraints: list[tuple[str, dict[str, Any]]], response: str, **options: Any) -> Score:
    read = [Constraint.read(family, arguments, "a test").to_dict() for family, arguments in constraints]
    task = Task("instructions", (Message("user", "?"),), "", metadata={"constraints": read})
    return asyncio.run(InstructionsFollowed(**options)(as_rollout(response, task), task))


@pytest.mark.parametrize(("family", "arguments", "meant", "others"), CASES)
def test_forms_that_were_meant_and_forms_that_nobody_meant(
    family: str, arguments: dict[str, Any], meant: list[str], others: list[str]
) -> None:
    assert [each for each in meant if not obeys(family, arguments, each)] == []
    assert [each for each in others if obeys(family, arguments, each)] == []


def test_every_family_has_cases() -> None:
    assert {family for family, *_ in CASES} == set(FAMILIES)
    assert len(FAMILIES) == 25


TWO = [("punctuation:no_comma", {}), ("detectable_format:title", {})]


def test_strict_is_all_of_them_and_partial_credit_a_second_reading() -> None:
    half = score(TWO, "<<A Day>>\nOne, two")
    assert (half.verdict, half.value) == (Verdict.FAILED, 0.0)
    assert half.parts == {"followed": 0.5, "title": 1.0, "no_comma": 0.0}
    assert half.evidence == "no_comma"
    paid = score(TWO, "<<A Day>>\nOne, two", partial_credit=True)
    assert (paid.verdict, paid.value) == (Verdict.FAILED, 0.5)
    assert score(TWO, "<<A Day>>\nOne and two").verdict is Verdict.SOLVED


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("<think>All is well.</think>", "empty"),
        ("word " * 200, "padding"),
        ("We go to town. " * 40, "padding"),
        ("x" * (MAX_CHARACTERS + 1), "too long"),
    ],
)
def test_what_is_no_answer_obeys_nothing(response: str, reason: str) -> None:
    assert score([("punctuation:no_comma", {})], response).reason == reason


@pytest.mark.parametrize(
    "response",
    [
        "." * 20_000,
        "*" * 20_000,
        "* " * 10_000,
        "[" * 20_000,
        "<" * 20_000,
        '"' * 20_000,
        "\n \t" * 7_000,
        "a." * 10_000,
        *(" " * 20_000, "*a" * 10_000, "[a" * 10_000, "\n*" * 10_000, "{" * 20_000, "`" * 20_000, "Section 1 " * 2_000),
        "\ud800\x00 a",
        "```\n" * 5_000,
        ".'" * 10_000,
        "P.S. " * 4_000,
        "\u0301" * 20_000,
        "q" * 20_000,
        "1. " * 7_000,
    ],
)
def test_hostile_responses_are_read_in_bounded_time(response: str) -> None:
    began = time.process_time()
    for family, arguments, *_ in CASES:
        Constraint(family, arguments).obeyed(AnswerText(f"a word {response} word"))
    assert time.process_time() - began < 20


def test_languages_are_told_apart() -> None:
    said = {
        "en": "This is not what we have been told by the people in the town",
        "de": "Das ist nicht das was uns die Leute in der Stadt gesagt haben",
        "fr": "Ce n'est pas ce que les gens de la ville nous ont dit",
        "es": "Esto no es lo que nos ha dicho la gente de la ciudad",
        "it": "Questo non è quello che ci ha detto la gente della città",
        "pt": "Isto não é o que as pessoas da cidade nos disseram ontem",
        "fi": "Tämä ei ole se mitä kaupungin ihmiset ovat meille sanoneet",
        "sw": "Hii si ile ambayo watu wa mji walituambia kuhusu kazi yetu na maisha",
        "vi": "Đây không phải là những gì người dân trong thành phố đã nói với chúng tôi",
        "bg": "Това не е това което хората от града ни казаха",
        "ru": "Это не то, что нам сказали люди из города",
        "fa": "این آن چیزی نیست که مردم شهر به ما گفتند و از ما خواستند",
    }
    assert {code: language_of(words_of(text)) for code, text in said.items()} == {code: code for code in said}
    assert set(said) <= set(NAMES)


def first(number: int, split: Any = "test", **dials: float) -> list[Task]:
    return list(itertools.islice(Instructions().tasks(split, **dials), number))


def test_it_keeps_the_promises_of_environments() -> None:
    environment = Instructions()
    asyncio.run(check_environment(environment, verifier=environment.rewards["strict"], num_tasks=4))
    asyncio.run(check_episode(environment.episode, first(1)[0]))


def test_every_family_is_drawn_and_stated() -> None:
    drawn = Counter(each["family"] for task in first(200, complexity=2) for each in task.metadata["constraints"])
    assert set(drawn) == set(FAMILIES)
    task = first(1, complexity=4)[0]
    assert task.prompt[0].content.count("\n- ") == 4
    for each in task.metadata["constraints"]:
        assert said_of(Constraint(each["family"], each["arguments"])) in task.prompt[0].content


def test_the_expert_solves_all_and_the_dials_are_monotone() -> None:
    environment = Instructions()
    limited = {}
    for level in environment.levels():
        tasks = first(12, complexity=level[0])
        assert len(tasks) == 12
        for who in (environment.expert, environment.limited):
            results = [asyncio.run(play_script(environment, each, who(each))).solved for each in tasks]
            limited[level] = (sum(results), len(results))
            assert who == environment.limited or all(results)
    check_dials("instructions", limited)


def test_a_horizon_is_refused() -> None:
    with pytest.raises(DataError, match="instructions has no horizon"):
        first(1, horizon=2)


ROW = {
    "key": 12,
    "prompt": "Write a poem without commas.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{"num_words": None}, {"relation": "at least", "num_words": 2}],
}


def loaded(tmp_path: Path, row: dict[str, Any]) -> list[Task]:
    path = tmp_path / "ifeval.jsonl"
    path.write_text(json.dumps(row))
    return list(IFEval(path=str(path)).tasks("test"))


def test_rows_of_ifeval_become_tasks(tmp_path: Path) -> None:
    (task,) = loaded(tmp_path, ROW)
    assert (task.complexity, task.answer, task.metadata["id"]) == (2, "", "12")
    verifier = IFEval().rewards["strict"]
    assert verifier.gold_response(task) is None
    assert asyncio.run(verifier(as_rollout("Roses are red", task), task)).verdict is Verdict.SOLVED
    assert asyncio.run(verifier(as_rollout("Roses, red", task), task)).evidence == "no_comma"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruction_id_list": ["a:b", "c:d"]}, "unknown instruction 'a:b'"),
        ({"kwargs": [{}]}, "2 instructions and 1 kwargs"),
        ({"kwargs": [{}, {"relation": "about", "num_words": 2}]}, "needs relation as a relation"),
        ({"kwargs": [{}, {"relation": "at least", "num_words": "2"}]}, "needs num_words as a count"),
        ({"kwargs": [{"letter": "a"}, {"relation": "at least", "num_words": 2}]}, "has no argument 'letter'"),
        ({"prompt": None}, 'needs "prompt"'),
        (
            {
                "instruction_id_list": ["length_constraints:nth_paragraph_first_word"],
                "kwargs": [{"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}],
            },
            "no paragraph 3 of 2",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, {**ROW, **changes})
