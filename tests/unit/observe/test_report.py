from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from assay.errors import RunFolderError
from assay.observe.report import write_report
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.statistics import Interval
from assay.types import Group, Score

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} \x1b[2J "quoted"'


def decode(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", "replace")


def reading(value: float) -> dict[str, Any]:
    return {"accuracy": value, "low": value - 0.05, "high": value + 0.05, "num_tasks": 200}


SUMMARY = {
    "name": "demo",
    "status": "finished",
    "before": reading(0.2),
    "after": reading(0.7),
    "gain": {"value": 0.5, "low": 0.43, "high": 0.57, "p_value": 1e-12, "decoding": "greedy", "reading": "lenient"},
    "readings": [
        {
            "decoding": "greedy",
            "reading": "lenient",
            "before": reading(0.2),
            "after": reading(0.7),
            "gain": {"value": 0.5, "low": 0.43, "high": 0.57},
        }
    ],
    "level": "c2 h1",
    "seconds": 541.2,
    "num_steps": 2,
    "settings": {"optimizer": {"learning_rate": 1e-5}},
    "versions": {"torch": "2.13.0"},
    "transcripts": [{"prompt": HOSTILE, "answer": HOSTILE, "before": HOSTILE, "after": "4", "after_verdict": "solved"}],
    "commands": {"talk to it": "assay chat /tmp/run/best"},
    "machine": {"num_cores": 2},
}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where a closing tag has no opening one."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


@pytest.fixture
def run(tmp_path: Path, group: Group) -> Path:
    with RunStore(tmp_path) as store:
        for step in (0, 1):
            store.record_step(step, {"policy/entropy_nats": 1.0 - step, "train/grad_norm": 2.0})
            store.record_groups(step, [group], decode)
        for step, accuracy in ((BEFORE_TRAINING, 0.2), (1, 0.7)):
            for level in ("all", "c2 h1"):
                store.record_evaluation(
                    step,
                    split="validation",
                    decoding="greedy",
                    reading="strict",
                    level=level,
                    accuracy=accuracy,
                    low=accuracy - 0.1,
                    high=accuracy + 0.1,
                    num_tasks=64,
                )
        store.record_event(1, "level", HOSTILE)
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY))
    return tmp_path


def test_the_page_says_what_the_run_did(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report" / "index.html"
    page = Page(path.read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", page.text)
    assert page.open == []
    assert "+50.0 points [+43.0, +57.0]" in text
    assert "20.0 % [15.0, 25.0] before, 70.0 % [65.0, 75.0] after, 200 tasks" in text
    assert "p = 1e-12" in text
    assert "finished, 2 steps in 9m01s, trained most on level c2 h1" in text
    assert "optimizer.learning_rate 1e-05" in text
    assert "assay chat /tmp/run/best" in text
    assert "All 8 rollouts" in text
    assert "truncated (length) failed no answer 2 25.0 %" in text


@pytest.mark.usefixtures("pictures")
def test_pictures_are_beside_the_page_and_in_it(run: Path) -> None:
    page = Page(write_report(run).read_text(encoding="utf-8"))
    names = {path.name for path in (run / "report").glob("*.png")}
    assert names == {
        *("reward.png", "solved.png", "response_length.png", "entropy.png", "gradient_norm.png"),
        "accuracy_validation.png",
    }
    for name in names:
        with Image.open(run / "report" / name) as image:
            assert image.width >= 600
            # More than a blank sheet: ink in several colours.
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert len(sources) == len(names)
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_hostile_text_stays_text(run: Path) -> None:
    html = write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") == 4  # prompt, answer, before, event: as text
    assert "{{ 7*7 }}" in page.text
    assert "\x1b" not in html
    assert "default-src 'none'" in html


def test_nothing_is_loaded_from_elsewhere(run: Path) -> None:
    assert "http" not in re.sub(r"http-equiv", "", write_report(run).read_text(encoding="utf-8"))


def test_missing_pieces_are_left_out(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    for heading in ("Before and after", "Curves", "Outcomes", "Transcripts", "Settings"):
        assert heading not in page.text
    assert tmp_path.name in page.text
    assert "img" not in page.tags


def test_a_run_under_way_has_its_settings_from_its_configuration(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    (tmp_path / "config.json").write_text(json.dumps({"settings": {"seed": 5}, "versions": {"torch": "2.13.0"}}))
    text = re.sub(r"\s+", " ", Page(write_report(tmp_path).read_text(encoding="utf-8")).text)
    assert "running" in text
    assert "seed 5" in text
    assert "torch 2.13.0" in text


@pytest.mark.parametrize(
    "summary",
    [
        {"gain": None, "before": None, "readings": "none", "transcripts": [None, {}], "settings": [1]},
        {"gain": {"value": "much"}, "before": {"accuracy": None}, "readings": [{}], "seconds": "long", "commands": {}},
        {"gain": {"value": 0.1}, "after": {"accuracy": 0.5}, "transcripts": [{"before": 3}], "num_steps": 0},
        {"gain": {"value": 0.1, "p_value": None}, "name": {"x": 1}, "status": 4, "level": 2, "machine": {"gpu": None}},
    ],
)
def test_a_summary_of_another_shape_does_not_stop_the_report(tmp_path: Path, summary: dict[str, Any]) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert Page(write_report(tmp_path).read_text(encoding="utf-8")).open == []


def test_a_second_report_leaves_no_stale_picture(run: Path) -> None:
    write_report(run)
    (run / "report" / "old.png").write_bytes(b"old")
    write_report(run)
    assert not (run / "report" / "old.png").exists()


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run to report on"):
        write_report(tmp_path)


def test_episodes_are_told_turn_by_turn(run: Path, group: Group) -> None:
    """Two rollouts of three turns at the step; h1 solved 1 of 3 measured at each of two steps, h4 1 of 1."""
    turns = tuple(group.rollouts[0].turns * 3)
    long = dataclasses.replace(group.rollouts[0], turns=turns)
    far = Group(8, dataclasses.replace(group.task, horizon=4), (long, long), (group.scores[0], group.scores[3]))
    counts = {"rollout/broken_at_tool_count": 2.0, "rollout/broken_at_engine_count": 0.0}
    with RunStore(run) as store:
        store.record_step(2, {"credit/turn_reward_mean": 0.5, "rollout/left_out_share": 0.25, **counts})
        store.record_groups(2, [dataclasses.replace(far, rollouts=(long, dataclasses.replace(long, member=1)))], decode)
    said = [
        {"who": "turn 1, state hall", "text": ""},
        {"who": "assistant", "text": f"north {HOSTILE}"},
        {"who": "call", "text": 'look(at="box")'},
        {"who": "reward", "text": "-"},
    ]
    shown = {"prompt": "P", "answer": "7", "before": "only this", "after": "the last", "after_turns": said}
    ended = {"after_verdict": "failed", "after_ending": "truncated: turns"}
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "transcripts": [shown | ended]}))
    html = write_report(run).read_text(encoding="utf-8")
    page = Page(html)
    text = re.sub(r"\s+", " ", page.text)
    assert page.open == []
    assert "script" not in page.tags
    assert "only this" in text
    assert "the last" not in text, "it is the last turn of those shown"
    assert "after: failed, truncated: turns turn 1, state hall assistant north" in text
    assert 'call look(at="box") reward -' in text
    assert "turns of a rollout, first and last step 1.0, 3.0" in text
    assert "paid for turns, first and last step 0.5, 0.5" in text
    assert "rollouts left out, mean and most of a step 25.0 %, 25.0 %" in text
    assert "broken at the boundary: tool 2" in text
    assert "boundary: engine" not in text
    # Wilson over groups: 1 of 3 at an effective 2, and 1 of 1.
    assert "1 6 33.3 % [4.5, 84.1] – 4 1 100.0 % [20.7, 100.0] 100.0 % [20.7, 100.0]" in text
    assert (run / "report" / "turns.png").is_file()


def test_single_turns_have_no_table_of_episodes(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert "Episodes" not in page
    assert "By horizon" not in page


def test_a_run_of_numbers_without_a_verdict_reports_mean_rewards(tmp_path: Path, group: Group) -> None:
    graded = dataclasses.replace(group, scores=tuple(Score.graded(10.0 * i) for i in range(len(group.rollouts))))
    with RunStore(tmp_path) as store:
        for step in (0, 1):
            store.record_groups(step, [graded], decode)
        for step, mean in ((BEFORE_TRAINING, 12.0), (1, 15.0)):
            for level in ("all", "c2 h1"):
                store.record_evaluation(
                    step,
                    split="validation",
                    decoding="greedy",
                    reading="strict",
                    level=level,
                    accuracy=None,
                    low=None,
                    high=None,
                    num_tasks=9,
                    mean_reward=Interval(mean, mean - 1, mean + 1),
                )
    side = {"accuracy": None, "low": None, "high": None, "num_tasks": 9}
    sides = {
        name: {**side, "mean_reward": {"value": value, "low": value - 1, "high": value + 1}}
        for name, value in (("before", 12.0), ("after", 15.0))
    }
    gain = {"value": 3.0, "low": 1.5, "high": 4.5, "p_value": 0.01, "unit": "reward"}
    reading = {**sides, "decoding": "greedy", "reading": "strict", "gain": gain}
    summary = {**sides, "reward_gain": {**gain, "decoding": "greedy", "reading": "strict"}, "readings": [reading]}
    (tmp_path / "summary.json").write_text(json.dumps({"status": "finished", **summary}))
    text = re.sub(r"\s+", " ", Page(write_report(tmp_path).read_text(encoding="utf-8")).text)
    assert "+3 [+1.5, +4.5] held-out mean reward 12 [11, 13] before, 15 [14, 16] after, 9 tasks" in text
    assert "c2 h1 validation greedy strict 12 [11, 13] 15 [14, 16] 9" in text
    assert "finished graded" in text
    assert "solved" not in text.replace("solved, or mean reward", "")
    names = {path.name for path in (tmp_path / "report").glob("*.png")}
    assert names == {"reward.png", "reward_by_level.png", "response_length.png", "mean_reward_validation.png"}
