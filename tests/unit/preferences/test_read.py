"""Every form of preference data, small rows as their sources have them; and what bad rows get."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from assay.cli.main import app
from assay.environments.data_files import read_rows
from assay.errors import DataError
from assay.preferences import (
    Labelled,
    Pair,
    export_rows,
    read_labelled,
    read_pairs,
    read_preferences,
    write_pairs,
)
from assay.preferences.pair import record
from assay.types import Message

ASK = {"role": "user", "content": "2 + 2?"}
USER = (Message("user", "2 + 2?"),)


def reply(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def said(text: str) -> tuple[Message, ...]:
    return (Message("assistant", text),)


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


TRL = [
    ({"prompt": [ASK], "chosen": [reply("4")], "rejected": [reply("5")]}, True),
    ({"chosen": [ASK, reply("4")], "rejected": [ASK, reply("5")]}, True),
    # UltraFeedback as binarized: the prompt stands in the conversations too.
    ({"prompt": "2 + 2?", "chosen": [ASK, reply("4")], "rejected": [ASK, reply("5")]}, True),
    ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, False),
    ({"chosen": "\n\nHuman: 2 + 2?\n\nAssistant: 4", "rejected": "\n\nHuman: 2 + 2?\n\nAssistant: 5"}, True),
    ({"prompt": "\n\nHuman: 2 + 2?\n\nAssistant:", "chosen": " 4", "rejected": " 5"}, True),
    ({"question": "2 + 2?", "system": "", "chosen": "4", "rejected": "5"}, True),
    (
        {"prompt": "2 + 2?", "chosen": [{"from": "gpt", "value": "4"}], "rejected": [{"from": "gpt", "value": "5"}]},
        True,
    ),
]


@pytest.mark.parametrize(("row", "is_chat"), TRL)
def test_chosen_and_rejected(file: Path, row: dict[str, Any], is_chat: bool) -> None:
    [found] = read_pairs(written(file, row))
    assert found == Pair(USER, said("4"), said("5"), 0.0, is_chat=is_chat)
    assert found.chosen == said("4")
    assert found.source == f"{file}, line 1"


def test_plain_text_without_a_prompt_is_cut_at_a_word(file: Path) -> None:
    row = {"chosen": "2 + 2? The answer is 14", "rejected": "2 + 2? The answer is 15"}
    [found] = read_pairs(written(file, row))
    assert found.prompt[0].content == "2 + 2? The answer is"
    assert (found.first[0].content, found.second[0].content) == (" 14", " 15")
    assert not found.is_chat
    assert read_pairs(written(file, TRL[3][0]), as_chat=True)[0].is_chat


def test_scores_are_a_margin_and_equal_ones_a_tie(file: Path) -> None:
    row = TRL[0][0]
    source = written(
        file,
        {**row, "score_chosen": 8.0, "score_rejected": 6.5, "chosen_model": "m"},
        {**row, "score_chosen": 7, "score_rejected": 7},
        {**row, "margin": 3},
    )
    strong, tie, given = read_pairs(source)
    assert (strong.preference, strong.margin, strong.first_model) == (0.0, 1.5, "m")
    assert (tie.preference, tie.margin) == (0.5, 0.0)
    assert given.margin == 3.0
    with pytest.raises(DataError, match=r"line 1: the chosen response has score 1, below the rejected one's 2"):
        read_pairs(written(file, {**row, "score_chosen": 1, "score_rejected": 2}))


@pytest.mark.parametrize(
    ("winner", "preference"), [("model_a", 0.0), ("model_b", 1.0), ("tie", 0.5), ("tie (bothbad)", 0.5)]
)
def test_arena(file: Path, winner: str, preference: float) -> None:
    row = {
        "model_a": "m",
        "model_b": "n",
        "winner": winner,
        "judge": "arena_user_7",
        "tstamp": 1682351591.1,
        "conversation_a": [ASK, reply("4"), reply("?")],
        "conversation_b": [ASK, reply("5")],
    }
    [found] = read_pairs(written(file, row))
    assert found.prompt == USER
    assert found.first == (*said("4"), *said("?"))
    assert found.preference == preference
    assert (found.first_model, found.second_model, found.annotator) == ("m", "n", "arena_user_7")
    assert found.order_known
    assert found.judged_at == "1682351591.1"


def test_lmsys_turns_in_json_texts(file: Path) -> None:
    row = {
        "prompt": '["2 + 2?", "And 3?"]',
        "response_a": '["4", "5"]',
        "response_b": '["4", null]',
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    }
    one = {**row, "prompt": '["2 + 2?"]', "response_a": '["4"]', "response_b": '["5"]'}
    found = read_preferences(written(file, row, one))
    assert found.left_out["an empty response"] == 1
    assert found.pairs == [Pair(USER, said("4"), said("5"), 0.0, order_known=True)]
    with pytest.raises(DataError, match="no winner"):
        read_pairs(written(file, {**one, "winner_model_a": 0}))


def test_ultrafeedback_as_released(file: Path) -> None:
    def completion(text: str, *ratings: str) -> dict[str, Any]:
        aspects = dict(zip(("helpfulness", "honesty"), ({"Rating": rating} for rating in ratings), strict=True))
        return {"model": f"model {text}", "response": text, "annotations": aspects, "overall_score": 10.0}

    completions = [completion("4", "5", "4"), completion("5", "1", "2"), completion("four", "N/A", "4.5")]
    pairs = read_pairs(written(file, {"instruction": "2 + 2?", "completions": completions}))
    found = [(each.first[0].content, each.second[0].content, each.preference, each.margin) for each in pairs]
    assert found == [("4", "5", 0.0, 3.0), ("4", "four", 0.5, 0.0), ("5", "four", 1.0, 3.0)]
    assert pairs[0].first_model == "model 4"


def test_ratings_are_paired_within_a_prompt(file: Path) -> None:
    rows = [
        {"prompt": "2 + 2?", "response": "4", "helpfulness": 4, "correctness": 4},
        {"prompt": "other", "response": "x", "helpfulness": 1, "correctness": 1},
        {"prompt": "2 + 2?", "response": "5", "helpfulness": 1, "correctness": 0},
    ]
    found = read_preferences(written(file, *rows))
    assert found.pairs == [Pair(USER, said("4"), said("5"), 0.0, margin=3.0)]
    assert found.pairs[0].source == f"{file}, line 1 and line 3"
    assert found.left_out == {"a rating alone, with no other of its prompt": 1}


def test_strengths_and_outputs(file: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "2 + 2?", "response_1": "4", "response_2": "5", "preference_strength": -2},
        {"context": [ASK], "response1": "4", "response2": "5", "overall_preference": 0},
        {"input": "2 + 2?", "output_1": "4", "output_2": "5", "label": 1},
        {"instruction": "2 + 2?", "output_1": "4", "output_2": "5", "preference": 1.2, "generator_2": "n"},
    ]
    found = read_pairs(written(file, *rows))
    assert [(each.preference, each.margin) for each in found] == [
        (0.0, 2.0),
        (0.5, 0.0),
        (0.0, None),
        (pytest.approx(0.2), None),
    ]
    assert all((each.prompt, each.first, each.second) == (USER, said("4"), said("5")) for each in found)
    assert found[3].second_model == "n"


def test_labelled_responses_and_pairs_as_such(file: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": [ASK], "completion": [reply("4")], "label": True},
        {"prompt": "2 + 2?", "completion": "5", "label": False},
        TRL[0][0],
        {"first": "4", "second": "5", "prompt": "2 + 2?", "preference": 0.5},
    ]
    source = written(file, *rows)
    assert read_preferences(source).labelled == [
        Labelled(USER, said("4"), True),
        Labelled(USER, said("5"), False, is_chat=False),
    ]
    assert [each.label for each in read_labelled(source)] == [True, False, True, False]
    with pytest.raises(DataError, match="holds no pair: it holds labelled responses"):
        read_pairs(written(file, *rows[:2]))


def test_gzip_json_and_parquet_hold_the_same(tmp_path: Path) -> None:
    rows = [row for row, _ in TRL[:2]]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as lines:
        lines.write("\n".join(map(json.dumps, rows)))
    with gzip.open(tmp_path / "b.json.gz", "wt") as array:
        array.write(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    for name in ("a.jsonl.gz", "b.json.gz", "c.parquet"):
        assert [each.chosen for each in read_pairs(str(tmp_path / name))] == [said("4"), said("4")]
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"chosen,rejected,prompt\r\n4,5,2 + 2?\r\n"))
    assert read_pairs(str(tmp_path / "d.csv.gz"))[0].chosen == said("4")
    (tmp_path / "a.jsonl.gz").write_bytes((tmp_path / "a.jsonl.gz").read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read as gzip"):
        list(read_rows(str(tmp_path / "a.jsonl.gz")))


def test_what_is_no_comparison_is_counted_and_said(file: Path) -> None:
    row = TRL[0][0]
    source = written(
        file,
        {**row, "rejected": [reply("4")]},
        {**row, "rejected": [reply(" \n")]},
        {"chosen": [ASK, reply("4")], "rejected": [{"role": "user", "content": "Other"}, reply("5")]},
        row,
        {**row, "chosen": row["rejected"], "rejected": row["chosen"]},
    )
    found = read_preferences(source)
    assert len(found.pairs) == 2
    assert set(found.left_out.values()) == {1}
    told = "\n".join(found.told())
    assert f"1 with two responses that are the same (the first: {file}, line 1)" in told
    assert f"1 with an empty response (the first: {file}, line 2)" in told
    assert f"1 with two conversations that answer no common prompt (the first: {file}, line 3)" in told
    assert f"1 pairs are judged both ways by one annotator, or nobody says by whom (the first: {file}, line" in told
    differ = [{"prompt": [ASK], "completion": [reply("4")], "label": label} for label in (True, False)]
    assert "1 responses are labelled both good and bad" in "\n".join(read_preferences(written(file, *differ)).told())


def test_two_annotators_who_differ_do_not_contradict_themselves(file: Path) -> None:
    own = {"prompt": [ASK], "first": [reply("4")], "second": [reply("5")]}
    rows = [{**own, "preference": 0, "annotator": "x"}, {**own, "preference": 1, "annotator": "y"}]
    assert read_preferences(written(file, *rows)).told() == []
    again = {"prompt": [ASK], "first": [reply("5")], "second": [reply("4")], "preference": 0, "annotator": "x"}
    assert len(read_preferences(written(file, *rows, again)).told()) == 1


BAD = [
    ({"a": 1, "b": 2}, r"line 2: its columns \(a, b\) are those of no form .* chosen \+ rejected"),
    ({"chosen": None, "rejected": "5"}, r"line 2: column 'chosen' is empty; fill it in"),
    ({"chosen": 3, "rejected": "5"}, r"line 2: column 'chosen' is 3; give a text, or a list of messages"),
    ({"chosen": [{"text": "4"}], "rejected": [reply("5")]}, r"line 2: column 'chosen' holds .* role and content"),
    (
        {"prompt": "q", "completion": "4", "label": "maybe"},
        r"line 2: column 'label' is 'maybe'; expected true or false",
    ),
    (
        {"conversation_a": [reply("4")], "conversation_b": [reply("5")], "winner": "c"},
        r"'winner' is 'c'; expected model_a",
    ),
    ({"first": "4", "second": "5", "preference": 2}, r"'preference' is 2; expected a number from 0 to 1"),
    ({"first": "4", "second": "5", "preference": "x"}, r"'preference' is 'x'; expected a number"),
    ({"first": "4", "second": "5", "preference": 0, "seconds": -3}, r"line 2: seconds is 0 or more, got -3"),
    ({"prompt": "q", "output_1": "4", "output_2": "5", "label": 3}, r"'label' is 3; expected a number from 1"),
    (
        {"prompt": "q", "response": "4", "helpfulness": "good"},
        r"line 2: column 'helpfulness' is 'good'; expected a num",
    ),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_names_its_line_and_the_remedy(file: Path, row: dict[str, Any], message: str) -> None:
    source = written(file, TRL[0][0], row)
    with pytest.raises(DataError, match=message):
        read_pairs(source)
    found = read_preferences(source, skip_bad=True)
    assert len(found.pairs) == 1
    assert found.left_out["a row that cannot be read"] == 1


def test_a_file_without_rows_is_said_to_be_so(file: Path) -> None:
    file.write_text("\n")
    with pytest.raises(DataError, match="has no rows"):
        read_preferences(str(file))


def test_stored_pairs_come_back_as_they_were(tmp_path: Path) -> None:
    calls = ({"type": "function", "function": {"name": "add", "arguments": {"a": 2}}},)
    response = (Message("assistant", "x \ud800", calls, call_errors=("none",), verbatim="<x>"),)
    judged = [
        Pair(
            USER,
            said("4"),
            response,
            0.25,
            1.0,
            "me",
            True,
            "2026-11-30T05:00:00+00:00",
            2.5,
            "m",
            "n",
            False,
            {"k": [1]},
        ),
        Pair((), said("4"), said("5"), 0.5),
    ]
    path = tmp_path / "folder" / "pairs.jsonl"
    labelled = Labelled(USER, response, True, annotator="me", model="m")
    assert write_pairs(path, [*judged, labelled]) == 3
    found = read_preferences(str(path))
    assert found.pairs == judged
    assert [each.metadata for each in found.pairs] == [{"k": [1]}, {}]
    assert found.pairs[0].second[0].verbatim == "<x>"
    assert found.labelled == [labelled]
    assert record(judged[1]).keys() == {"prompt", "first", "second", "preference"}
    with pytest.raises(DataError, match=r"ends in \.jsonl"):
        write_pairs(tmp_path / "pairs.csv", judged)


def test_exports_are_read_back(tmp_path: Path) -> None:
    judged = [
        Pair(USER, said("4"), said("5"), 0.0, first_model="m", second_model="n", annotator="me"),
        Pair(USER, said("four"), said("5"), 0.5),
        Pair(USER, said("4"), said("five"), 1.0, is_chat=False),
    ]

    def there_and_back(form: str) -> Any:
        return read_preferences(
            written(tmp_path / f"{form}.jsonl", *(row for each in judged for row in export_rows(each, form)))
        )

    trl = there_and_back("trl").pairs
    assert [(each.chosen, each.is_chat) for each in trl] == [(said("4"), True), (said("five"), False)]
    assert [each.label for each in there_and_back("trl-unpaired").labelled] == [True, False, False, True]
    arena = there_and_back("arena").pairs
    assert [each.preference for each in arena] == [0.0, 0.5, 1.0]
    assert not any(each.order_known for each in arena), "the order was not known, and is not now"
    judged = [Pair(USER, said("4"), said("5"), 0.3, margin=2.0, order_known=True)]
    [back] = there_and_back("arena").pairs
    assert (back.preference, back.margin, back.order_known) == (0.3, 2.0, True)
    judged = [Pair(USER, said("4"), said("5"), 0.0, first_model="m", second_model="n", annotator="me")]
    [row] = [row for each in judged for row in export_rows(each, "rate")]
    assert row == {"model_a": "m", "model_b": "n", "preference": 0.0, "length_a": 1, "length_b": 1, "annotator": "me"}
    with pytest.raises(DataError, match="no form 'nonsense'; there are trl, trl-unpaired, arena, rate"):
        export_rows(judged[0], "nonsense")


@pytest.mark.parametrize("form", ["trl", "trl-unpaired"])
def test_an_export_counts_preferences_by_a_share(tmp_path: Path, form: str) -> None:
    pairs = [Pair(USER, said("4"), said("5"), share) for share in (0.0, 0.3, 0.5, 0.9)]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    command = ["prefer", "export", str(tmp_path / "pairs.jsonl"), str(tmp_path / "out.jsonl"), "--to", form]
    assert f"2 preferences by a share are written as whole: {form} has" in CliRunner().invoke(app, command).output
