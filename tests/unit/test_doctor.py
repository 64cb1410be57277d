"""The doctor names faults that are planted in real runs of a tiny model, and is quiet about healthy ones."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import load
from assay.doctor import RULES, Chart, Diagnosis, examine, examine_folder, read_chart
from assay.doctor.chart import Attempt
from assay.errors import ConfigError, RunFolderError
from assay.observe.store import STORE_NAME, RunStore
from assay.recipe import RunConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def driver() -> ModuleType:
    """What measures the doctor's error rates."""
    spec = importlib.util.spec_from_file_location("doctor_driver", ROOT / "docs" / "results" / "doctor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def played(driver: ModuleType, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of some planted faults what was named, by fault and way; and the folder of a healthy run."""
    place = tmp_path_factory.mktemp("doctor")
    found: dict[str, Any] = {}
    for rule in ("", "stale weights", "verifier fails", "seen in test"):
        fault = next(each for each in driver.FAULTS if each.rule == rule)
        found[rule] = driver.play(fault, 0, 1, tiny_model, place / (rule or "healthy"))["named"]
    return {**found, "folder": place / "healthy", "ill": place / "verifier fails"}


def test_it_names_what_was_planted_and_nothing_in_a_healthy_run(played: dict[str, Any]) -> None:
    assert played[""] == []
    for rule in ("stale weights", "verifier fails", "seen in test"):
        assert played[rule] == [rule]


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command_says_numbers_step_transcript_and_remedy(played: dict[str, Any]) -> None:
    assert run(played["folder"])[0] == 0
    code, output = run(played["ill"])
    assert code == 3
    for said in ("FOUND: verifier fails (step ", "share 0.", "assay show", "--member", "--set rollout_retries=0"):
        assert said in output
    code, output = run(played["ill"], "--json")
    data = json.loads(output)
    assert code == 3
    assert not data["healthy"]
    (finding,) = data["findings"]
    assert finding["rule"] == "verifier fails"
    place = finding["transcript"]
    shown = CliRunner().invoke(
        app,
        ["show", str(played["ill"]), *(f"--{name}={place[name]}" for name in ("step", "group", "member")), "--json"],
    )
    assert json.loads(shown.output)[0]["verdict"] == "not_measured"
    assert "no reward: of at least" in run(played["folder"], "--rules")[1]


def test_its_remedies_are_settings(played: dict[str, Any], tmp_path: Path) -> None:
    for chart in (ill_chart(), quiet_chart()):
        for finding in examine(chart).findings:
            for remedy in finding.remedies:
                setting = remedy.partition("  ")[0]
                if "..." in setting or "FILE" in setting:
                    continue
                assert why_not(setting) == "", remedy


def why_not(setting: str) -> str:
    """What is wrong with a setting itself; "" where nothing is, or it only does not fit the other settings."""
    try:
        load(RunConfig, {"model": {"lora": {}}}, [setting])
    except ConfigError as error:
        if "unknown" in str(error) or "Input should be" in str(error):
            return str(error)
    return ""


def attempt(step: int, group: int, member: int, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "task_id": f"t{group}",
        "level": "c1 h1",
        "ending": "finished",
        "ending_reason": "",
        "boundary": "",
        "verdict": "solved" if (step + group + member) % 2 else "failed",
        "value": float((step + group + member) % 2),
        "reason": "",
        "num_turns": 1,
        "num_tokens": 9,
        "version": step,
        "response": f"said {group} {member}",
    }
    return Attempt(step, group, member, **{**values, **changes})


def chart_of(settings: dict[str, Any] | None = None, steps: int = 12, **changes: Any) -> Chart:
    """A run of groups of four whose attempts all have these changes."""
    attempts = [
        attempt(step, 4 * step + group, member, **changes)
        for step in range(steps)
        for group in range(4)
        for member in range(4)
    ]
    return Chart(Path("run"), settings or {}, {}, attempts, [], [], len(attempts))


def quiet_chart() -> Chart:
    return chart_of({"model": {"lora": {"rank": 4, "alpha": 1e-4}}, "num_steps": 12})


def ill_chart() -> Chart:
    return chart_of(verdict="failed", value=0.0, ending="truncated", ending_reason="length", response="one thing")


def named(diagnosis: Diagnosis) -> set[str]:
    return {finding.rule for finding in diagnosis.findings}


def test_what_explains_a_finding_is_said() -> None:
    found = examine(ill_chart())
    assert {"cut off", "no reward", "no variance", "entropy collapse"} <= named(found)
    by_rule = {finding.rule: finding for finding in found.findings}
    assert "cut off" in by_rule["no reward"].causes
    assert set(by_rule["no variance"].causes) >= {"no reward", "entropy collapse", "cut off"}
    assert found.named == {"cut off", "entropy collapse"}
    assert not named(examine(chart_of()))


@pytest.mark.parametrize(
    ("response", "wrong"),
    [
        ("assistant\nThe answer is 4", True),
        ("<|im_start|>assistant\n4", True),
        ("4<|im_end|>\n<|im_start|>user\nWhat is 5?", True),
        ("4<|im_end|>and more", True),
        ("4\nUser: and what is 5?", True),
        ("4<|im_end|>", False),
        ("an assistant says 4", False),
        ("the user: says 4", False),
    ],
)
def test_signs_of_a_wrong_template(response: str, wrong: bool) -> None:
    assert ("template" in named(examine(chart_of(response=response)))) is wrong


def test_a_curriculum_that_stands_and_one_that_goes() -> None:
    levels = {"name": "level_by_level", "levels": [{"complexity": 1}, {"complexity": 2}], "window": 8, "advance_at": 1}
    settings = {"curriculum": levels, "groups_per_step": 4, "num_steps": 12}

    def metrics(level: float, gain: float) -> dict[str, list[tuple[int, float | None]]]:
        return {
            "curriculum/frontier_level": [(step, level * (step > 6)) for step in range(12)],
            "curriculum/frontier_solved_share": [(step, 0.3 + gain * step) for step in range(12)],
        }

    def with_metrics(level: float, gain: float) -> Chart:
        whole = chart_of(settings)
        return Chart(whole.folder, settings, metrics(level, gain), whole.attempts, [], [], whole.num_rollouts)

    assert named(examine(with_metrics(0.0, 0.0))) == {"curriculum stands still"}
    assert not named(examine(with_metrics(1.0, 0.0)))
    assert not named(examine(with_metrics(0.0, 0.05)))


def test_a_store_half_written_or_of_another_version(played: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / STORE_NAME).write_bytes((played["folder"] / STORE_NAME).read_bytes()[:5000])
    with pytest.raises(RunFolderError, match=r"is not a run store|cannot be read"):
        examine_folder(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    connection = sqlite3.connect(other / STORE_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(RunFolderError, match="format 99"):
        examine_folder(other)
    empty = tmp_path / "empty"
    empty.mkdir()
    RunStore(empty).close()
    diagnosis = examine_folder(empty)
    assert not diagnosis.findings
    assert set(diagnosis.unsaid) == {rule.name for rule in RULES}
    began = tmp_path / "began"
    began.mkdir()
    (began / "config.json").write_text('{"settings": {}}')
    result = CliRunner().invoke(app, ["doctor", str(began)])
    assert isinstance(result.exception, RunFolderError)
    assert "no steps yet" in str(result.exception)


def test_it_reads_a_run_that_is_being_written_and_ten_thousand_rollouts_in_seconds(
    played: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / STORE_NAME).write_bytes((played["folder"] / STORE_NAME).read_bytes())
    connection = sqlite3.connect(tmp_path / STORE_NAME)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(rollouts)")]
    rest = ", ".join(columns[1:])
    connection.execute(
        f"WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 52) "
        f"INSERT INTO rollouts SELECT step + 100 * n, {rest} FROM rollouts, many"
    )
    connection.commit()
    # A transaction is open while it is read, as that of a run is.
    connection.execute("DELETE FROM steps")
    started = time.process_time()
    chart = read_chart(tmp_path)
    examine(chart)
    assert chart.num_rollouts > 10_000
    assert time.process_time() - started < 5.0
    assert chart.metrics
    connection.close()


def test_every_rule_is_explained_on_its_page() -> None:
    page = (ROOT / "docs" / "concepts" / "doctor.md").read_text()
    for rule in RULES:
        assert f"\n| {rule.name} | " in page
    names = {rule.name for rule in RULES}
    assert all(set(rule.explained_by) <= names for rule in RULES)
