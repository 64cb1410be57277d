"""People beside a run: trials as trajectories, with thresholds and orders that are known beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import DataError
from assay.evaluation.trajectories import PeopleColumns, describe_people, read_people

EASY_AT, HARD_AT, TRIALS = 20, 50, 80


def rows(num_people: int = 12, *, spread: int = 2) -> list[tuple[str, dict[str, object]]]:
    """People who fail every trial of a skill until they know it, and solve all from then on."""
    found: list[tuple[str, dict[str, object]]] = []
    for person in range(num_people):
        for number in range(TRIALS):
            for skill, known_at in (("easy", EASY_AT), ("hard", HARD_AT)):
                right = number >= known_at + spread * (person % 3)
                row = {"who": f"p{person}", "level": skill, "right": right, "n": number, "took": 2.0}
                found.append((f"row {len(found) + 1}", row))
    return found


COLUMNS = PeopleColumns("who", "right", "level", "n", "took", block=5)


def test_thresholds_and_orders_are_those_that_were_made() -> None:
    people = read_people(rows(), COLUMNS, "trials")
    side = describe_people(people, "trials", 0.5)
    skills = side["runs"][0]["skills"]
    assert {name: each["num_tasks"] for name, each in skills.items()} == {"all": 12, "easy": 12, "hard": 12}
    # Known from trial 20, 22 or 24 on: in the block that begins at 20 five, three and one of five are solved.
    assert skills["easy"]["solved"][4]["value"] == pytest.approx((5 + 3 + 1) / 15)
    assert skills["easy"]["reached"]["value"] == pytest.approx(15 + 5 * 0.5 / 0.6)
    assert skills["hard"]["reached"]["value"] == pytest.approx(45 + 5 * 0.5 / 0.6)
    assert skills["easy"]["reached"]["low"] < skills["easy"]["reached"]["high"]
    assert side["order"] == ["easy", "hard"]
    assert (side["pairs"][0]["num_runs"], side["pairs"][0]["share"]["value"]) == (12, 1.0)
    # Five trials of each of two skills, of two seconds each.
    assert people.together.axes["seconds"][1] == 20.0
    # After 30 trials of each all know the easy one, and nobody the hard one.
    assert skills["all"]["solved"][6]["value"] == 0.5
    assert skills["all"]["area"] is not None


def test_the_table_may_stand_in_any_order_and_people_may_leave() -> None:
    table = rows()
    people = read_people(list(reversed(table)), COLUMNS, "trials")
    assert people.together.axes == read_people(table, COLUMNS, "trials").together.axes
    stayed = [row for row in table if row[1]["who"] != "p0" or int(str(row[1]["n"])) < 10]
    left = read_people(stayed, COLUMNS, "trials").together.skills["easy"]
    assert math.isnan(left.solved[2, left.task_ids.index("p0")])
    gone = [row for row in table if int(str(row[1]["who"])[1:]) < 3 or int(str(row[1]["n"])) < 10]
    # Nine of twelve leave after ten trials of each skill: what half of them have is followed, and no more.
    assert len(read_people(gone, COLUMNS, "trials").together.steps) == 2


def test_a_rating_is_a_verdict_from_a_number_on() -> None:
    table = [(f"row {n}", {"person": "a" if n % 2 else "b", "solved": 900 + 20 * n}) for n in range(40)]
    found = read_people(table, PeopleColumns(solved_at=1300, block=5), "ratings").together.skills["all"]
    assert found.solved[:, 0].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_bad_tables_are_said_to_be_so() -> None:
    with pytest.raises(DataError, match="fewer than two blocks of 100 trials"):
        read_people(rows(), PeopleColumns("who", "right", "level", "n", block=100), "trials")
    with pytest.raises(DataError, match="nobody"):
        read_people(rows(), PeopleColumns("nobody", "right"), "trials")
    with pytest.raises(DataError, match="900"):
        read_people([("row 1", {"person": "a", "solved": 900})], PeopleColumns(), "trials")


def test_the_command_shows_people_alone(tmp_path: Path) -> None:
    table, output = tmp_path / "trials.csv", tmp_path / "out.json"
    lines = [",".join(map(str, row.values())) for _, row in rows(num_people=6)]
    table.write_text("\n".join(["who,level,right,n,took", *lines]) + "\n")
    run = ["trajectories", "--people", str(table), "--person", "who", "--solved", "right", "--skill", "level"]
    result = CliRunner().invoke(app, [*run, "--trial", "n", "--people-block", "5", "--json", str(output)])
    assert result.exit_code == 0, result.output
    assert "order over 6 people: easy, then hard" in result.output
    assert json.loads(output.read_text())["sides"][0]["num_people"] == 6
    assert "name a run" in str(CliRunner().invoke(app, ["trajectories"]).exception)


def test_kinds_of_errors_are_shares_of_trials_over_people(tmp_path: Path) -> None:
    table: list[tuple[str, dict[str, object]]] = []
    for person, kinds in {
        "ann": ["sign", "sign", "carry", "", "carry", ""],
        "bob": ["carry", "", "", "", "sign", ""],
    }.items():
        for kind in kinds:
            table.append((f"row {len(table) + 1}", {"person": person, "solved": not kind, "slip": kind}))
    columns = PeopleColumns(block=3, error="slip")
    (skill,) = describe_people(read_people(table, columns, "trials"), "trials", 0.5)["runs"][0]["skills"].values()
    # Three trials a block: ann fails by sign twice and by carry once, bob by carry once; then each once, ann by carry.
    assert {kind: [point["value"] for point in points] for kind, points in skill["errors"].items()} == {
        "carry": [pytest.approx((1 / 3 + 1 / 3) / 2), pytest.approx((1 / 3 + 0) / 2)],
        "sign": [pytest.approx((2 / 3 + 0) / 2), pytest.approx((0 + 1 / 3) / 2)],
    }
    unnamed = [(place, {**row, "slip": "" if row["slip"] == "sign" else row["slip"]}) for place, row in table]
    (skill,) = describe_people(read_people(unnamed, columns, "trials"), "trials", 0.5)["runs"][0]["skills"].values()
    assert list(skill["errors"]) == ["carry", "failed"]
    with pytest.raises(DataError, match=r"no kind of error in a column 'slips' \(--error\)"):
        read_people(table, PeopleColumns(block=3, error="slips"), "trials")
    file = tmp_path / "trials.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for _, row in table))
    shown = CliRunner().invoke(
        app, ["trajectories", "--people", str(file), "--error", "slip", "--people-block", "3"], catch_exceptions=False
    )
    assert "all: failed by 'carry', first 33 % [5, 84], last 17 % [1, 76]" in shown.output
