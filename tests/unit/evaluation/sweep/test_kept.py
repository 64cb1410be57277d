"""What is kept of a sweep comes back as it went in, and what runs share stands once."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from assay.evaluation import EvalRow, Evaluation, accuracy_over_seeds, gain_over_seeds
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.sweep.kept import closing_test, read_runs, short_row, write_rows, write_summaries
from assay.evaluation.sweep.table import _over_both, number, tabulate
from assay.types import Score, Verdict

Rows = list[dict[str, Any]]


def rows(verdicts: str, samples: int = 1) -> Rows:
    """An answer for each sign: + solved, - failed, ? not measured."""
    scores = {"+": Score.solved(), "-": Score.failed("wrong"), "?": Score.not_measured("died")}
    return [
        short_row(
            {
                "task_id": f"t{i // samples}",
                "level": "c2 h1",
                "prompt": "user: 1 + 1",
                "answer": "2",
                "response": f"= {i} \u2028 \n",
                "ending": "finished",
                "num_tokens": i,
                "scores": {"strict": scores[sign].to_dict()},
            }
        )
        for i, sign in enumerate(verdicts)
    ]


def kept(folder: Path, answers: dict[tuple[str, int], dict[tuple[str, str], Rows]]) -> list[tuple[Any, Any, str]]:
    """Writes; the (cell, seed, side) that the file has."""
    write_summaries(folder / "summaries.json", {name: {"name": name[0], "seed": name[1]} for name in answers})
    write_rows(folder / "rows.jsonl.xz", answers)
    for run in read_runs(folder):
        assert run.summary == {"name": run.cell, "seed": run.seed}
        for block, given in answers[run.cell, run.seed].items():
            back = [short_row(row.to_dict()) for row in run.answers[block].rows]
            assert back == given
    with lzma.open(folder / "rows.jsonl.xz", "rt") as file:
        lines = [json.loads(line) for line in file]
    return list(dict.fromkeys((line["cell"], line["seed"], line["side"]) for line in lines))


def run(before: str, after: str) -> dict[tuple[str, str], Rows]:
    return {("before", "greedy"): rows(before), ("after", "greedy"): rows(after)}


def test_what_all_runs_share_stands_once(tmp_path: Path) -> None:
    names = [("a", 0), ("a", 1), ("b", 0)]
    found = kept(tmp_path, {name: run("+-?", "+++") for name in names})
    assert found == [(None, None, "before"), *((*name, "after") for name in names)]


def test_what_a_cell_shares_stands_once(tmp_path: Path) -> None:
    found = kept(tmp_path, {("a", 0): run("+-", "++"), ("a", 1): run("+-", "-+"), ("b", 0): run("--", "++")})
    assert [one for one in found if one[2] == "before"] == [("a", None, "before"), ("b", None, "before")]


def test_what_one_seed_has_otherwise_is_its_own(tmp_path: Path) -> None:
    found = kept(tmp_path, {("a", 0): run("+-", "++"), ("a", 1): run("++", "-+")})
    assert [one for one in found if one[2] == "before"] == [("a", 0, "before"), ("a", 1, "before")]


def test_a_run_without_answers_gets_none_of_others(tmp_path: Path) -> None:
    kept(tmp_path, {("a", 0): run("+-", "++"), ("b", 0): {("before", "greedy"): rows("+-")}})
    assert {run.cell: set(run.answers) for run in read_runs(tmp_path)} == {
        "a": {("before", "greedy"), ("after", "greedy")},
        "b": {("before", "greedy")},
    }


def test_reasons_partial_values_and_several_samples_come_back(tmp_path: Path) -> None:
    answers = {("before", "sampled"): rows("++--+-", samples=2), ("after", "sampled"): rows("+++???", samples=3)}
    answers["after", "sampled"][0]["values"] = {"strict": 0.25}
    kept(tmp_path, {("a", 0): answers})
    (found,) = read_runs(tmp_path)
    scores = [row.scores["strict"] for row in found.answers["after", "sampled"].rows]
    assert scores[0].value == 0.25
    assert (scores[3].verdict, scores[3].value, scores[3].reason) == (Verdict.NOT_MEASURED, None, "died")
    places = [(row.task_index, row.sample) for row in found.answers["before", "sampled"].rows]
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    "summaries",
    [
        [{"a": 1, "b": {"c": 1, "d": [1]}}, {"a": 1, "b": {"c": 2, "d": [1]}}],
        [{"a": {}}, {"a": {"b": 1}}],
        [{"a": None}, {"b": None}],
        [{"a": {"b": 1}}, {"a": 1}],
        [{"a": {"b": 1, "c": {"d": 1}}}, {"a": {"b": 1, "c": {"e": 1}}}],
        [{"a": [1, 2]}, {"a": [1, 3]}],
        [{}, {}],
    ],
)
def test_summaries_come_back_whatever_they_have_in_common(tmp_path: Path, summaries: list[dict[str, Any]]) -> None:
    write_summaries(tmp_path / "summaries.json", {("a", seed): one for seed, one in enumerate(summaries)})
    assert [run.summary for run in read_runs(tmp_path)] == summaries


def closing(before: str, after: str) -> Any:
    return closing_test({("before", "greedy"): rows(before), ("after", "greedy"): rows(after)})


def table_of(tests: dict[tuple[str, int], Any]) -> dict[str, Any]:
    keys = ["before.accuracy", "after.accuracy", "gain.value", "num_steps"]
    runs = []
    for (cell, seed), test in tests.items():
        said = test.to_dict()
        values = [said["before"]["accuracy"], said["after"]["accuracy"], said["gain"]["value"], 3 + seed]
        runs.append({"cell": cell, "seed": seed, "state": "finished", "values": dict(zip(keys, values, strict=True))})
    data = tabulate("demo", keys, [{"name": "a", "recipe": "r", "overrides": []}], runs, tests)
    return data["cells"][0]["columns"]


def test_a_table_has_intervals_over_seeds_and_tasks() -> None:
    """Three seeds that gain the same on other tasks: over seeds alone the interval would have no width at all."""
    tests = {
        ("a", seed): closing("--------+-", after)
        for seed, after in enumerate(("++--+-+-+-", "-++--+-++-", "+-+-++--+-"))
    }
    columns = table_of(tests)
    gain = columns["gain.value"]
    assert gain["mean"] == pytest.approx(0.4)
    assert gain["over"] == "seeds and tasks"
    assert gain["high"] - gain["low"] > 0.3
    assert columns["before.accuracy"]["over"] == columns["after.accuracy"]["over"] == "seeds and tasks"
    steps = columns["num_steps"]
    assert (steps["over"], steps["mean"]) == ("seeds", 4)
    expected = gain_over_seeds(
        [test.before["greedy"] for test in tests.values()],
        [test.after["greedy"] for test in tests.values()],
        ["strict"] * 3,
    )
    assert expected is not None
    assert (gain["low"], gain["high"]) == pytest.approx((expected.low, expected.high))


def test_without_the_answers_of_all_seeds_a_table_has_seeds_alone() -> None:
    tests = {("a", 0): closing("----", "++--"), ("a", 1): closing("----", "+++-")}
    runs = [{"cell": "a", "seed": s, "state": "finished", "values": {"gain.value": 0.5 + 0.25 * s}} for s in (0, 1)]
    cells = [{"name": "a", "recipe": "r", "overrides": []}]
    one = tabulate("demo", ["gain.value"], cells, runs, {("a", 0): tests["a", 0]})
    assert one["cells"][0]["columns"]["gain.value"]["over"] == "seeds"
    assert tabulate("demo", ["gain.value"], cells, runs, tests)["cells"][0]["columns"]["gain.value"]["over"] != "seeds"


def test_what_was_not_measured_by_a_seed_is_in_no_interval_and_no_zero() -> None:
    first, second = closing("--------", "+++-++-?"), closing("--------", "++-+++--")
    found = gain_over_seeds(
        [first.before["greedy"], second.before["greedy"]],
        [first.after["greedy"], second.after["greedy"]],
        ["strict"] * 2,
    )
    assert found is not None
    assert found.value == pytest.approx((5 / 7 + 5 / 7) / 2)


def test_seeds_with_other_tasks_have_no_interval_over_both() -> None:
    first, second = closing("----", "++--").after["greedy"], closing("---", "+--").after["greedy"]
    assert accuracy_over_seeds([first, second], ["strict", "strict"]) is None
    assert accuracy_over_seeds([first], ["strict"]) is None


def test_accuracy_by_horizon_follows_from_what_is_kept():
    """Two tasks at each of two horizons: h1 from 1 of 2 to 2 of 2, h4 from 0 of 2 to 1 of 2 and one not measured."""

    def side(verdicts: str) -> list[EvalRow]:
        scores = {"+": Score.solved(), "-": Score.failed("wrong"), "?": Score.not_measured("died")}
        return [
            EvalRow(
                *(f"t{i}", i, 0, "d", f"c1 h{horizon}", 1, horizon, "?", "1", "2", "finished", 3),
                scores={"strict": scores[verdict]},
                num_turns=horizon,
            )
            for i, (verdict, horizon) in enumerate(zip(verdicts, (1, 1, 4, 4), strict=True))
        ]

    sides = {"before": side("+---"), "after": side("+++?")}
    whole = BeforeAfter(*({"greedy": Evaluation(tuple(rows))} for rows in sides.values())).to_dict()
    # Wilson, 1 of 2 and 0 of 2 at z = 1.96: (k + z^2 / 2 +- z sqrt(k (n - k) / n + z^2 / 4)) / (n + z^2).
    assert whole["before"]["by_horizon"] == {
        "h1": pytest.approx({"value": 0.5, "low": 0.0945, "high": 0.9055, "num_tasks": 2}, abs=1e-4),
        "h4": pytest.approx({"value": 0.0, "low": 0.0, "high": 0.6576, "num_tasks": 2}, abs=1e-4),
    }
    assert number(whole, "before.by_horizon.h4.high") == pytest.approx(0.6576, abs=1e-4)
    assert number(whole, "after.by_horizon.h4") == 1.0
    assert whole["after"]["mean_turns"] == 2.5
    found = _over_both(
        "after.by_horizon.h1", [BeforeAfter(*({"greedy": Evaluation(tuple(rows))} for rows in sides.values()))] * 2
    )
    assert found is not None
    assert found.value == 1.0
    assert _over_both("after.by_horizon.h2", [None]) is None
    kept = closing_test({(name, "greedy"): [short_row(row.to_dict()) for row in rows] for name, rows in sides.items()})
    assert kept is not None
    assert kept.to_dict()["readings"] == whole["readings"]


def test_accuracy_by_environment_follows_from_what_is_kept():
    """Two tasks of each of two environments: a from 1 of 2 to 2 of 2, b from 0 of 2 to 1 of 2."""

    def side(verdicts: str) -> list[EvalRow]:
        scores = {"+": Score.solved(), "-": Score.failed("wrong")}
        return [
            EvalRow(
                *(f"t{i}", i, 0, domain, "c1 h1", 1, 1, "?", "1", "2", "finished", 3),
                scores={"strict": scores[verdict]},
            )
            for i, (verdict, domain) in enumerate(zip(verdicts, "abab", strict=True))
        ]

    sides = {"before": side("+---"), "after": side("+++-")}
    test = BeforeAfter(*({"greedy": Evaluation(tuple(rows))} for rows in sides.values()))
    whole = test.to_dict()
    assert {name: part["value"] for name, part in whole["before"]["by_environment"].items()} == {"a": 0.5, "b": 0.0}
    assert number(whole, "after.by_environment.a") == 1.0
    assert number(whole, "after.by_environment.b.num_tasks") == 2
    found = _over_both("after.by_environment.b", [test] * 2)
    assert found is not None
    assert found.value == 0.5
    assert _over_both("after.by_environment.c", [test]) is None
    kept = closing_test({(name, "greedy"): [short_row(row.to_dict()) for row in rows] for name, rows in sides.items()})
    assert kept is not None
    assert kept.to_dict()["after"] == whole["after"]
