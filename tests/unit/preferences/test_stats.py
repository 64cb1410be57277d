"""What comparisons say of themselves: by hand, and with raters whose biases are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import DataError
from assay.preferences import Pair, write_pairs
from assay.preferences.stats import median, pair_stats
from assay.types import Message


def pair(prompt: str, first: str, second: str, preference: float, **known: object) -> Pair:
    sides = ((Message("assistant", first),), (Message("assistant", second),))
    return Pair((Message("user", prompt),), *sides, preference, **known)  # pyright: ignore[reportArgumentType]


def simulated(num: int, length: float, second: float, seed: int = 0) -> list[Pair]:
    """Pairs judged by somebody who knows nothing but length (log odds of a doubling) and place (log odds)."""
    generator = np.random.default_rng(seed)
    pairs = []
    for number in range(num):
        lengths = generator.integers(20, 400, 2)
        logit = length * math.log2(lengths[1] / lengths[0]) + second
        preference = float(generator.random() < 1 / (1 + math.exp(-logit)))
        pairs.append(pair(f"q{number}", "a" * lengths[0], "b" * lengths[1], preference, order_known=True))
    return pairs


def test_known_biases_are_recovered() -> None:
    covered = []
    for seed in range(12):
        found = pair_stats(simulated(150, 0.8, 0.5, seed)).position.coefficient
        assert found is not None
        covered.append(found.low <= 0.5 <= found.high)
    assert np.mean(covered) >= 0.75
    found = pair_stats(simulated(1000, 0.8, 0.0))
    assert found.length.coefficient is not None
    assert found.length.coefficient.low < 0.8 < found.length.coefficient.high
    assert found.position.coefficient is not None
    assert found.position.coefficient.low < 0 < found.position.coefficient.high


def test_the_length_bias_is_the_same_whichever_response_stands_first() -> None:
    pairs = simulated(100, 1.0, 0.0)
    chosen_first = [each if each.preference == 0 else each.swapped() for each in pairs]
    one, other = pair_stats(pairs).length, pair_stats(chosen_first).length
    assert one.share == other.share
    assert one.coefficient is not None
    assert other.coefficient is not None
    assert one.coefficient.value == pytest.approx(other.coefficient.value, abs=1e-8)


def test_length_by_hand() -> None:
    # Of pairs with one response twice as long, the longer wins 3 of 4: log odds of a doubling are log 3.
    pairs = [pair(f"q{number}", "aa", "bbbb", float(number > 0)) for number in range(4)]
    found = pair_stats(pairs)
    assert found.length.coefficient is not None
    assert found.length.coefficient.value == pytest.approx(math.log(3))
    assert found.length.share is not None
    assert found.length.share.value == 0.75
    assert found.position.num == 0
    always = pair_stats(pairs[1:])
    assert always.length.is_separated
    assert always.length.coefficient is not None
    assert math.isfinite(always.length.coefficient.value)


def test_ties_repeats_and_contradictions() -> None:
    pairs = [
        pair("p", "a", "b", 0.0, annotator="x", order_known=True),
        pair("p", "b", "a", 1.0, annotator="x", order_known=True),  # the same, seen the other way round
        pair("q", "a", "b", 0.0, annotator="x", order_known=True),
        pair("q", "b", "a", 0.0, annotator="x", order_known=True),  # the first again: the other response
        pair("q", "a", "b", 0.0, annotator="y"),
        pair("r", "a", "b", 0.5, annotator="y"),
    ]
    found = pair_stats(pairs)
    assert (found.num, found.num_distinct, found.num_prompts, found.num_ties) == (6, 3, 3, 1)
    assert found.repeats.num == 2
    assert found.repeats.same is not None
    assert found.repeats.same.value == 0.5
    assert found.repeats.swapped == found.repeats.same
    assert found.num_contradictions == 1
    assert list(found.annotators) == ["x", "y"]
    assert found.annotators["y"].repeats.same is None
    # x's first judgement of q is y's: unanimous, on one pair.
    assert found.agreement.is_unanimous
    assert found.agreement.num_units == 1


def test_agreement_sees_through_the_order() -> None:
    pairs = [each for number in range(20) for each in _twice(number)]
    found = pair_stats(pairs).agreement
    assert found.is_unanimous
    assert found.num_units == 20
    apart = pair_stats([pair("p", "a", "b", 0.0, annotator="x"), pair("p", "b", "a", 0.0, annotator="y")]).agreement
    assert apart.alpha.value is not None
    assert apart.alpha.value <= 0


def _twice(number: int) -> list[Pair]:
    judged = pair(f"q{number}", f"a{number}", "b", float(number % 2), annotator="x")
    other = judged.swapped()
    return [judged, Pair(**{**vars(other), "annotator": "y"})]


def test_the_median_has_the_interval_that_any_distribution_allows() -> None:
    assert median([]).value is None
    few = median([3.0, 1.0, 2.0])
    assert (few.value, few.low, few.high) == (2.0, None, None)
    # 10 values: the second smallest and second largest, since 1 + 10 of 1024 are below 2.5 %, and 1 + 10 + 45 are not.
    ten = median([float(value) for value in range(10)])
    assert (ten.value, ten.low, ten.high) == (4.5, 1.0, 8.0)


def test_the_command_says_it_all(tmp_path: Path) -> None:
    pairs = [
        Pair(**{**vars(each), "annotator": f"judge {number % 2}", "seconds": 2.0 + number})
        for number, each in enumerate(simulated(40, 1.0, 0.5))
    ]
    write_pairs(tmp_path / "pairs.jsonl", [*pairs, *pairs[:2]])
    arguments = ["prefer", "stats", str(tmp_path / "pairs.jsonl"), "--json", str(tmp_path / "out.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    said = " ".join(result.output.split())
    assert "42, 40 of them distinct, of 40 prompts" in said
    assert "undefined: no pair was judged by two annotators" in said
    assert "2 pairs judged again by one annotator, alike in 100.0 %" in said
    assert "judge 1" in said
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["agreement"]["alpha"]["value"] is None
    assert data["seconds"]["value"] == pytest.approx(
        np.median([each.seconds for each in [*pairs, *pairs[:2]] if each.seconds])
    )
    assert data["annotators"]["judge 0"]["num"] == 21


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pairs"):
        pair_stats([])
    (tmp_path / "rows.jsonl").write_text('{"prompt": "q", "completion": "a", "label": true}\n')
    result = CliRunner().invoke(app, ["prefer", "stats", str(tmp_path / "rows.jsonl")])
    assert isinstance(result.exception, DataError)
    assert "1 labelled responses" in str(result.exception)


def test_import_and_export_there_and_back(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"q{number}",
            "chosen": "yes" if number else "",
            "rejected": "no",
            "score_chosen": 2,
            "score_rejected": 1 + number % 2,
        }
        for number in range(40)
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "pairs.jsonl"
    result = CliRunner().invoke(app, ["prefer", "import", str(source), str(out), "--held-out", "0.25", "--chat"])
    assert result.exit_code == 0, result.exception
    said = " ".join(result.output.split())
    assert "1 with an empty response" in said
    held_out = tmp_path / "pairs.held-out.jsonl"
    counts = [len(path.read_text().splitlines()) for path in (out, held_out)]
    assert sum(counts) == 39
    assert min(counts) > 0
    result = CliRunner().invoke(app, ["prefer", "export", str(out), str(tmp_path / "trl.jsonl")])
    assert result.exit_code == 0, result.exception
    row = json.loads((tmp_path / "trl.jsonl").read_text().splitlines()[0])
    assert row["chosen"] == [{"role": "assistant", "content": "yes"}]
    assert "that trl has no form for" in result.output
