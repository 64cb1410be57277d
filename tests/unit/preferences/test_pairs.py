"""Pairs, and the prompts that files do not state."""

from __future__ import annotations

import doctest
import importlib
import random
import string

import pytest

from assay.errors import DataError
from assay.preferences import Labelled, Pair, split_pairs
from assay.preferences.prompts import DifferentPromptsError, read_dialogue, shared_conversation, shared_text
from assay.types import Message


def user(text: str) -> Message:
    return Message("user", text)


def said(text: str) -> Message:
    return Message("assistant", text)


def pair(prompt: str, first: str, second: str, preference: float, **known: object) -> Pair:
    return Pair((user(prompt),), (said(first),), (said(second),), preference, **known)  # pyright: ignore[reportArgumentType]


def test_a_pair_says_what_was_chosen_and_a_tie_says_nothing() -> None:
    first = pair("q", "a", "b", 0.0, first_model="m", second_model="n", margin=2.0)
    assert first.chosen == (said("a"),)
    assert first.rejected == (said("b"),)
    swapped = first.swapped()
    assert (swapped.preference, swapped.first_model, swapped.second_model) == (1.0, "n", "m")
    assert swapped.chosen == first.chosen
    assert swapped.key == first.key
    assert swapped.is_in_key_order != first.is_in_key_order
    assert swapped.swapped() == first
    tie = pair("q", "a", "b", 0.5)
    assert tie.is_tie
    assert tie.chosen is None
    assert tie.rejected is None
    assert pair("q", "a", "b", 0.51).chosen == (said("b"),)


@pytest.mark.parametrize(
    "wrong", [{"preference": 1.5}, {"preference": float("nan")}, {"margin": -1.0}, {"seconds": -2.0}]
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"got (1\.5|nan|-1\.0|-2\.0)"):
        pair("q", "a", "b", **{"preference": 0.5, **wrong})


@pytest.mark.parametrize(
    ("first", "second", "prompt"),
    [
        ("The answer is 12", "The answer is 15", "The answer is"),
        ("The answer is 1.25", "The answer is 1.5", "The answer is"),
        ("It is -12", "It is -15", "It is"),
        ("Q: 1 + 1?\nA: 2", "Q: 1 + 1?\nA: 3", "Q: 1 + 1?\nA:"),
        ("The sky is blue.", "The sky is blunt.", "The sky is"),
        ("It costs 1 000 euros", "It costs 1 500 euros", "It costs"),
        ("It is 12 kg", "It is 12 g", "It is 12"),
        # One is the beginning of the other: neither side may be empty.
        ("The answer is 12", "The answer is 12 or 13", "The answer is"),
        ("The answer is 12", "The answer is 123", "The answer is"),
        ("答案是12", "答案是15", "答案是"),
        ("Yes", "No", ""),
        ("Yesterday", "Yes", ""),
        ("same words", "same words", "same"),
    ],
)
def test_a_shared_prompt_ends_at_a_word(first: str, second: str, prompt: str) -> None:
    found = shared_text(first, second)
    assert found[0] == prompt
    assert (found[0] + found[1], found[0] + found[2]) == (first, second)
    assert shared_text(second, first) == (found[0], found[2], found[1])


def test_no_shared_prompt_divides_a_number_or_a_word() -> None:
    generator = random.Random(0)
    alphabet = "0123456789" * 2 + "  .,-\n" + string.ascii_letters[:4]
    for _ in range(2000):
        start = "".join(generator.choices(alphabet, k=generator.randrange(12)))
        sides = [start + "".join(generator.choices(alphabet, k=generator.randrange(1, 6))) for _ in range(2)]
        prompt, first, second = shared_text(*sides)
        assert (prompt + first, prompt + second) == tuple(sides)
        for rest in (first, second):
            if prompt and rest:
                assert rest[0].isspace()
                assert not prompt[-1].isspace()


def test_conversations_are_cut_at_a_message() -> None:
    start = (user("2 + 2?"),)
    assert shared_conversation((*start, said("4")), (*start, said("5"))) == (start, (said("4"),), (said("5"),))
    # They share "Hm." too, and one of them goes on: both responses begin where the assistant last spoke in both.
    longer = (*start, said("Hm."), user("So?"), said("4"))
    assert shared_conversation(longer, (*start, said("Hm."))) == (start, longer[1:], (said("Hm."),))
    later = (*start, said("Hm."), user("So?"), said("5"))
    assert shared_conversation(longer, later) == (longer[:3], longer[3:], later[3:])
    with pytest.raises(DifferentPromptsError):
        shared_conversation((user("a"), said("b")), (user("c"), said("d")))


def test_hh_rlhf_text_is_read_into_turns() -> None:
    text = "\n\nHuman: One: two\n\nthree\n\nAssistant: Human: no.\n\nHuman:  ?\n\nAssistant:"
    assert read_dialogue(text) == (user("One: two\n\nthree"), said("Human: no."), user("?"), said(""))


def test_a_split_keeps_prompts_together() -> None:
    pairs = [pair(f"question  {number % 50}", f"a{number}", "b", 0.0) for number in range(500)]
    pairs += [pair(f"question {number}", "c", "b", 1.0) for number in range(50)]
    rest, held_out = split_pairs(pairs, 0.3, seed=1)
    assert {each.prompt_key for each in rest} & {each.prompt_key for each in held_out} == set()
    assert len(rest) + len(held_out) == len(pairs)
    assert 50 < len(held_out) < 300
    again = split_pairs(pairs[::-1], 0.3, seed=1)[1]
    assert set(again) == set(held_out)
    assert set(split_pairs(pairs, 0.3, seed=2)[1]) != set(held_out)
    assert set(held_out) < set(split_pairs(pairs, 0.6, seed=1)[1])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_split_that_is_none_is_refused(share: float) -> None:
    pairs = [pair(f"q{number}", "a", "b", 0.0) for number in range(10)]
    with pytest.raises(DataError, match="between 0 and 1"):
        split_pairs(pairs, share)
    with pytest.raises(DataError, match="all fall on one side"):
        split_pairs(pairs[:1], 0.5)


def test_labelled_responses_are_split_by_prompt_too() -> None:
    labelled = [Labelled((user(f"q{number % 10}"),), (said(f"a{number}"),), number % 2 == 0) for number in range(40)]
    rest, held_out = split_pairs(labelled, 0.5)
    assert {each.prompt_key for each in rest} & {each.prompt_key for each in held_out} == set()


@pytest.mark.parametrize(("name", "num_examples"), [("pair", 1), ("prompts", 2), ("judge", 1), ("raters", 1)])
def test_examples_in_docstrings_hold(name: str, num_examples: int) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(f"assay.preferences.{name}"))
    assert (failed, attempted) == (0, num_examples)
