"""`assay prefer rate`: the command on tables as people have them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import DataError
from assay.preferences.rate import ELO, rate_models, read_matches

WINS = [("x", "y", "model_a", 7), ("x", "y", "model_b", 3)]


def written(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def table(*wins: tuple[str, str, str, int], **more: Any) -> list[dict[str, Any]]:
    return [
        {"model_a": a, "model_b": b, "winner": winner, **more} for a, b, winner, times in wins for _ in range(times)
    ]


def rated(tmp_path: Path, rows: list[dict[str, Any]], *options: str) -> tuple[dict[str, Any], str]:
    out = tmp_path / "out.json"
    source = written(tmp_path / "rows.jsonl", *rows)
    result = CliRunner().invoke(app, ["prefer", "rate", source, "--json", str(out), *options])
    assert result.exit_code == 0, result.output or result.exception
    return json.loads(out.read_text()), " ".join(result.output.split())


def test_ratings_win_rates_and_scales(tmp_path: Path) -> None:
    found, said = rated(tmp_path, table(*WINS))
    rating = math.log(7 / 3) / 2
    assert found["x"]["rating"] == pytest.approx(rating)
    assert found["y"]["rating"] == pytest.approx(-rating)
    assert (found["x"]["win_rate"], found["y"]["win_rate"]) == (pytest.approx(0.7), pytest.approx(0.3))
    assert found["x"]["length_controlled_win_rate"] is None
    assert "no lengths (length_a, length_b)" in said
    assert list(found) == ["x", "y"]
    elo, _ = rated(tmp_path, table(*WINS), "--scale", "elo")
    assert elo["x"]["rating"] == pytest.approx(rating * 400 / math.log(10))
    assert elo["x"]["high"] == pytest.approx(found["x"]["high"] * ELO)


def test_preferences_and_winners_are_the_same(tmp_path: Path) -> None:
    words, _ = rated(tmp_path, table(*WINS, ("x", "y", "tie", 2)))
    of_word = {"model_a": 0, "model_b": 1, "tie": 0.5}
    rows = [{**row, "preference": of_word[row.pop("winner")]} for row in table(*WINS, ("x", "y", "tie", 2))]
    numbers, said = rated(tmp_path, rows)
    assert numbers == words
    assert "2 of 12 comparisons are ties" in said


def test_a_model_that_never_lost_and_parts_are_said(tmp_path: Path) -> None:
    rows = table(*WINS, ("top", "x", "model_a", 4), ("p", "q", "tie", 1))
    found, said = rated(tmp_path, rows)
    assert found["top"]["high"] is None
    assert found["top"]["low"] < found["top"]["rating"]
    assert found["top"]["notes"] == ["never lost"]
    assert (found["p"]["part"], found["x"]["part"]) == (2, 1)
    assert sum(found[name]["rating"] for name in ("x", "y", "top")) == pytest.approx(0, abs=1e-9)
    assert found["p"]["rating"] == pytest.approx(0, abs=1e-9)
    assert "top: never lost" in said
    assert "fall into 2 parts that cannot be compared, each with mean 0: top, x, y; p, q" in said


def test_a_baseline(tmp_path: Path) -> None:
    rows = table(*WINS, ("z", "x", "model_a", 1), ("z", "y", "model_b", 1), ("z", "x", "model_b", 1))
    found, said = rated(tmp_path, rows, "--baseline", "y")
    assert found["x"]["win_rate"] == pytest.approx(0.7)
    assert found["z"]["win_rate"] == 0.0
    assert found["y"]["win_rate"] is None
    assert "against y" in said
    result = CliRunner().invoke(app, ["prefer", "rate", str(tmp_path / "rows.jsonl"), "--baseline", "w"])
    assert isinstance(result.exception, DataError)
    assert "no comparison has the baseline 'w'; the models are x, y, z" in str(result.exception)


def test_lengths_are_taken_away(tmp_path: Path) -> None:
    # x wins where it is longer, whichever side it is on.
    longer, shorter = {"length_a": 200, "length_b": 100}, {"length_a": 100, "length_b": 200}
    rows = table(("x", "y", "model_a", 16), ("x", "y", "model_b", 4), **longer)
    rows += table(("x", "y", "model_a", 1), ("x", "y", "model_b", 4), **shorter)
    rows += table(("y", "x", "model_b", 1), ("y", "x", "model_a", 4), **longer)
    found, _ = rated(tmp_path, rows)
    assert found["x"]["win_rate"] == pytest.approx(18 / 30)
    assert found["x"]["length_controlled_win_rate"] == pytest.approx(0.5)
    assert found["y"]["length_controlled_win_rate"] == pytest.approx(0.5)
    assert found["x"]["length_effect"]["value"] > 0
    part, said = rated(tmp_path, [*rows, *table(("x", "y", "model_b", 10))])
    assert part["x"]["length_controlled_win_rate"] == pytest.approx(0.5)
    assert "10 of 40 comparisons have no lengths" in said


def test_annotators_are_allowed_for(tmp_path: Path) -> None:
    rows = [
        row
        for judge in range(6)
        for row in table(("x", "y", "model_b" if judge < 2 else "model_a", 8), annotator=judge)
    ]
    over, said = rated(tmp_path, rows)
    plain, _ = rated(tmp_path, [{**row, "annotator": None} for row in rows])
    assert "allow for 6 annotators" in said
    assert over["x"]["rating"] == pytest.approx(plain["x"]["rating"])
    assert over["x"]["high"] - over["x"]["low"] > 2 * (plain["x"]["high"] - plain["x"]["low"])


def test_pairs_that_name_their_models_are_rated_too(tmp_path: Path) -> None:
    rows = [
        {
            "model_a": "x",
            "model_b": "y",
            "winner": "model_a" if number % 3 else "model_b",
            "conversation_a": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "long " * (1 + number % 4)},
            ],
            "conversation_b": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
        }
        for number in range(12)
    ]
    found, _ = rated(tmp_path, rows)
    assert found["x"]["win_rate"] == pytest.approx(2 / 3)
    assert found["x"]["length_controlled_win_rate"] is not None


def test_rows_without_a_result_are_counted(tmp_path: Path) -> None:
    rows = table(*WINS, ("x", "x", "tie", 2), ("x", "y", "", 3))
    found, said = rated(tmp_path, rows)
    assert found["x"]["num"] == 10
    assert "2 rows with a model beside itself" in said
    assert "3 rows with neither preference nor winner" in said


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"model_a": "x", "model_b": "y", "winner": "z"},
        r"line 2: column 'winner' is 'z'; expected model_a, model_b or tie",
    ),
    (
        {"model_a": "x", "model_b": "y", "preference": -1},
        r"line 2: column 'preference' is -1; expected a number from 0",
    ),
    (
        {"model_a": "x", "model_b": "y", "preference": "high"},
        r"line 2: column 'preference' is 'high'; expected a number",
    ),
    ({"model_a": "x", "winner": "tie"}, r"line 2: its columns \(model_a, winner\) are not those of comparisons"),
    ({"model_a": "x", "model_b": "y", "winner": "tie", "length_a": -1}, r"line 2: a length is below 0"),
    ({"model_a": "x", "model_b": "y", "winner": "tie", "length_b": "12 words"}, r"line 2: column 'length_b' is"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_names_its_line(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_matches(written(tmp_path / "rows.jsonl", *table(WINS[0])[:1], row))


def test_no_comparison_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no comparison of two models: 1 with a model beside itself"):
        read_matches(written(tmp_path / "rows.jsonl", *table(("x", "x", "tie", 1))))
    with pytest.raises(DataError, match="no comparisons"):
        rate_models([])


def test_names_are_the_same_with_and_without_white_space(tmp_path: Path) -> None:
    rows = [{"model_a": "x", "model_b": " y", "winner": "model_a", "annotator": "me "}]
    rows += [{"model_a": "y ", "model_b": "x", "winner": " model_a", "annotator": "me"}]
    found, _ = rated(tmp_path, rows)
    assert {name: each["num"] for name, each in found.items()} == {"x": 2, "y": 2}


@pytest.mark.parametrize(("winner", "preference"), [("model_a", 0.9), ("model_b", 0.5), ("tie", 1)])
def test_a_winner_and_a_preference_that_contradict_each_other(tmp_path: Path, winner: str, preference: float) -> None:
    row = {"model_a": "x", "model_b": "y", "winner": winner, "preference": preference}
    texts = {"prompt": "q", "response_a": "one", "response_b": "two"}
    for each in (row, {**row, **texts}):
        with pytest.raises(DataError, match=f"line 1: column 'winner' is '{winner}', and 'preference'.*contradict"):
            read_matches(written(tmp_path / "rows.jsonl", each))
    read_matches(written(tmp_path / "rows.jsonl", {**row, "winner": "model_b", "preference": 0.9}))
