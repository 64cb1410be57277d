"""Contamination: shared n-grams against a count by hand, in one pass and in many."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.environments.contamination import ExampleRows, HeldTexts, Overlap, overlaps
from assay.errors import DataError

LONG = "the quick brown fox jumps over the lazy dog and then it sleeps in the warm sun"
"""17 words: five 13-grams."""


def shared(train: str, evaluation: str, n: int = 13) -> tuple[int, int]:
    (found,) = overlaps([("a", [train])], [("b", [evaluation])], n=n)
    return found.num_shared, found.num_ngrams


@pytest.mark.parametrize(
    ("train", "evaluation", "counts"),
    [
        (LONG, LONG, (5, 5)),
        (f"Before it. {LONG.upper()}! After.", LONG, (5, 5)),
        (LONG.replace(" ", ",\n  "), LONG, (5, 5)),
        (" ".join(LONG.split()[:13]), LONG, (1, 5)),
        (" ".join(LONG.split()[:12]), LONG, (0, 5)),
        (LONG.replace("lazy", "idle"), LONG, (0, 5)),
        # Shorter than an n-gram: all of it, against another text that is as short.
        ("What is the capital of France?", "what is the capital of france", (1, 1)),
        ("Say: what is the capital of France?", "what is the capital of france", (0, 1)),
        ("Who is it?", "Who is it?", (0, 0)),
        ("一二三四五六七八九十百千万億", "〈一二三四五六七八九十百千万億〉", (2, 2)),
        ("", "", (0, 0)),
    ],
)
def test_counts_by_hand(train: str, evaluation: str, counts: tuple[int, int]) -> None:
    assert shared(train, evaluation) == counts


def test_ngrams_do_not_go_from_one_text_to_the_next() -> None:
    words = LONG.split()
    halves = [" ".join(words[:9]), " ".join(words[9:])]
    (found,) = overlaps([("a", halves)], [("b", [LONG])])
    assert (found.num_shared, found.num_ngrams) == (0, 5)


def test_the_wording_of_a_template_is_passed_over_where_asked() -> None:
    template = "please read what is written below with great care and then answer it in one word"
    train = [("t0", [f"{template}: where do the wild geese go"])]
    evaluation = [(f"e{number}", [f"{template}: what is number {number} of all"]) for number in range(3)]
    assert all(each.num_shared for each in overlaps(train, evaluation))
    assert not any(each.num_shared for each in overlaps(train, evaluation, most_common=2))
    assert [each.num_ngrams for each in overlaps(train, evaluation, most_common=2)] == [3, 3, 3]


def test_many_passes_give_what_one_gives_and_what_a_count_by_hand_gives() -> None:
    rng = random.Random(0)

    def text() -> str:
        return " ".join(rng.choices("abc", k=rng.randint(3, 40)))

    train = [(f"t{number}", [text(), text()]) for number in range(30)]
    evaluation = [(f"e{number}", [text()]) for number in range(30)]
    once = overlaps(train, evaluation, n=6)
    many = overlaps(train, evaluation, n=6, max_ngrams=7)
    assert [(each.place, each.num_ngrams, each.num_shared) for each in many] == [
        (each.place, each.num_ngrams, each.num_shared) for each in once
    ]

    def grams(texts: list[str]) -> set[tuple[str, ...]]:
        found = set()
        for words in map(str.split, texts):
            if 5 <= len(words) < 6:
                found.add(("=", *words))
            found |= {tuple(words[start : start + 6]) for start in range(len(words) - 5)}
        return found

    known = set().union(*(grams(texts) for _, texts in train))
    assert [(each.num_ngrams, each.num_shared) for each in once] == [
        (len(grams(texts)), len(grams(texts) & known)) for _, texts in evaluation
    ]
    assert 0 < sum(each.num_shared > 0 for each in once) < 30
    for each in once:
        place = dict(train).get(each.train_place, [])
        assert not each.num_shared or any(each.shared in " ".join(texts.split()) for texts in place)


def test_an_iterator_that_ends_is_refused() -> None:
    with pytest.raises(TypeError, match="read more than once"):
        overlaps(iter([("a", ["b"])]), [("c", ["d"])])


def test_the_share_of_nothing_is_nothing() -> None:
    assert Overlap("a", 0, 0, "", "").share == 0.0


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_rows_are_read_anew_and_by_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": "one", "more": {"b": ["two", {"c": "three"}], "d": 4}}])
    rows = ExampleRows(path)
    assert [list(texts) for _, texts in rows] == [list(texts) for _, texts in rows] == [["one", "two", "three"]]
    assert [texts for _, texts in ExampleRows(path, ["q"])] == [["one"]]
    with pytest.raises(DataError, match=r"line 1 has no column 'x'; it has q, more"):
        list(ExampleRows(path, ["x"]))


def run(*arguments: str) -> tuple[str, BaseException | None]:
    result = CliRunner().invoke(app, ["check", "contamination", *arguments])
    return result.output, result.exception


def test_the_command_names_rows_and_ends_with_an_error(tmp_path: Path) -> None:
    train = write(
        tmp_path / "train.jsonl",
        [{"text": "Nothing to see in this row, which is about other things."}, {"text": f"x {LONG}"}],
    )
    evaluation = write(
        tmp_path / "eval.jsonl", [{"q": f"{LONG} today", "a": "yes"}, {"q": "What is 1 + 2 + 3 + 4?", "a": "10"}]
    )
    said, error = run(train, evaluation, "--output", str(tmp_path / "found.jsonl"))
    assert isinstance(error, DataError)
    assert "1 of 2 rows" in str(error)
    assert "1 rows (50.0%) share a 13-gram" in said
    assert "eval.jsonl, line 1 shares 5 of 6" in said
    (line,) = map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())
    assert (line["num_shared"], line["num_ngrams"]) == (5, 6)
    assert line["train_place"].endswith("train.jsonl, line 2")
    said, error = run(train, evaluation, "--column", "a")
    assert error is None
    assert "0 rows (0.0%) share a 13-gram" in said
    assert "2 of them have no 13-gram that counts" in said
    assert isinstance(run(train, str(tmp_path / "none.jsonl"))[1], DataError)


def test_a_text_contains_a_held_out_one_by_all_that_is_its_own() -> None:
    held = HeldTexts([LONG, f"{LONG} and rises at noon", "only three words"])
    assert held.contained_in("only three words")
    assert not held.contained_in("only three words more")
    # The second example has what the first has not in four 13-grams; the first has none of its own.
    assert not held.contained_in(f"{LONG} and rises at")
    assert held.contained_in(f"Before. {LONG}, and rises at noon, after.")
    assert held.contained_in(LONG)  # the same text, word for word
    assert not held.contained_in(f"{LONG} once more")
    assert not HeldTexts([]).contained_in(LONG)
