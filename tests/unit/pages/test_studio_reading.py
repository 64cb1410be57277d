"""What the studio reads from run folders, without a page: whole ones, and what is none."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest

from assay.errors import ConfigError, RunFolderError
from assay.observe.browse import RolloutFilter, RolloutLine, count_rollouts
from assay.observe.curves import Curve
from assay.observe.store import STORE_NAME, RunStore
from assay.pages.studio import reading
from assay.pages.studio.address import StudioAddress, read_address
from assay.pages.studio.charts import chart_options, thinned
from assay.pages.studio.frame import StudioTab
from assay.pages.studio.pictures import picture_of
from assay.pages.studio.rollouts_view import _RolloutList, shown_text, tokens_html
from studio_runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("reading") / "run")


def test_an_address_comes_back_as_it_was() -> None:
    wanted = RolloutFilter("solved", "finished", "c2 h1", 0.5, 1.0, 3, 9, "a & b = ç?")
    address = StudioAddress(("one, two", "ü/?"), "rollouts", wanted, "reward", 50, (3, 7, 1), True)
    path = address.path("secret")
    parameters = dict(part.split("=", 1) for part in path.partition("?")[2].split("&"))
    from urllib.parse import unquote_plus

    again = read_address({name: unquote_plus(value) for name, value in parameters.items()})
    assert again == address
    assert parameters["key"] == "secret"


def test_an_address_from_anywhere_is_read_as_far_as_it_is_one_of_ours() -> None:
    wild = {"view": "../etc", "offset": "-3", "place": "1.x.2", "low": "nan", "order": "; DROP", "last_step": "1e400"}
    assert read_address(wild) == StudioAddress()


def test_what_a_run_says(run: Path) -> None:
    state = reading.state_of(run)
    assert (state.num_steps, state.status) == (6, "finished")
    reward = reading.first_curve(run)
    assert len(reward.points) == len(reward.band) == 6
    assert {curve.name for curve in reading.other_curves(run)} >= {"entropy", "gradient_norm", "response_length"}
    title, levels = reading.by_level(run)
    assert title == "Solved share by level"
    assert list(levels) == ["c2 h1", "c3 h1"]
    (validation,) = reading.evaluation_curves(run)
    assert [value for _, value in validation.points] == [0.25, 0.4, 0.6]
    assert validation.band[0] == pytest.approx((0.15, 0.35))
    alarms, events = reading.events_of(run)
    assert [alarm.step for alarm in alarms] == [2]
    assert [event.kind for event in events] == ["level"]


def test_before_and_after_are_the_same_task(run: Path) -> None:
    found = reading.two_sides(run, 3)
    assert found is not None
    assert (found.number, found.num, found.task_id, found.answer) == (3, 8, "task-3", "4")
    assert found.before.startswith("before: ")
    assert found.after.startswith("after: ")
    assert set(found.before_verdicts) == {"strict"}
    beyond = reading.two_sides(run, 99)
    assert beyond is not None
    assert beyond.number == 7


def test_runs_in_pairs(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", seed=1, solved_after=0.1)
    (row,) = reading.paired_differences(run, other)
    assert (row["decoding"], row["reading"]) == ("greedy", "strict")
    assert row["difference"].startswith("-")
    (same,) = reading.paired_differences(run, run)
    assert same["changes"] == "0, 0"
    with RunStore(other) as store:
        store._connection.execute("UPDATE evaluation_rows SET row = replace(row, 'task-3', 'task-33')")
    (unlike,) = reading.paired_differences(run, other)
    assert "only in one" in unlike["why"] or "in only one" in unlike["why"]
    with RunStore(other) as store:
        store._connection.execute("DELETE FROM evaluation_rows")
    assert reading.paired_differences(run, other) == []


def test_results_of_other_commands_are_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "audit.json").write_text(json.dumps({"answerless_share": 0.25, "findings": [{"trick": "nothing"}]}))
    (folder / "map").mkdir()
    (folder / "map" / "map.json").write_text('{"cells": [')
    (folder / "map" / "report.md").write_text("# Map\n\n<script>alert(1)</script>")
    found = {result.name: result for result in reading.results_in(folder)}
    assert dict(found["audit.json"].facts)["answerless_share"] == "0.25"
    # Half written: nothing in it can be read, and nothing fails.
    assert found["map/map.json"].facts == []
    assert found["map/report.md"].text.startswith("# Map")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "is gone"),
        (lambda folder: (folder / STORE_NAME).unlink(), "no steps yet; wait"),
        (lambda folder: [(folder / name).unlink() for name in (STORE_NAME, "config.json")], "is no run"),
        (lambda folder: (folder / STORE_NAME).write_bytes(b"SQLite format 3\0" + b"x" * 5000), "as a run store"),
        (lambda folder: _half(folder), "cannot be read|is not"),
        (lambda folder: _version(folder, 99), "store format 99; this version of Assay reads"),
    ],
    ids=["deleted", "starting", "no run", "garbage", "half copied", "another version"],
)  # fmt: skip
def test_what_is_no_whole_run_gets_a_clear_answer(tmp_path: Path, spoil, says: str) -> None:
    folder = write_run(tmp_path / "run")
    spoil(folder)
    for ask in (reading.state_of, reading.first_curve, reading.other_curves):
        with pytest.raises(RunFolderError, match=says):
            ask(folder)


def _half(folder: Path) -> None:
    whole = (folder / STORE_NAME).read_bytes()
    (folder / STORE_NAME).write_bytes(whole[: int(0.6 * len(whole))])


def _version(folder: Path, version: int) -> None:
    connection = sqlite3.connect(folder / STORE_NAME)
    connection.execute(f"PRAGMA user_version={version}")
    connection.commit()
    connection.close()


def test_a_long_curve_is_thinned_to_means() -> None:
    points = tuple((step, float(step)) for step in range(1000))
    curve = Curve("a", "A", "", points, tuple((value - 1, value + 1) for _, value in points))
    drawn = thinned(curve, 100)
    assert len(drawn.points) == len(drawn.band) == 100
    assert drawn.points[0] == (5, 4.5)
    assert drawn.band[0] == (3.5, 5.5)
    assert thinned(curve, 1000) == curve
    axis = chart_options("A", {"run": curve})["xAxis"]
    assert (axis["min"], axis["max"]) == (1, 1000)


def test_a_chart_has_bands_and_alarms_and_no_nan() -> None:
    curve = Curve("a", "A", "u", ((0, 1.0), (1, math.nan), (2, 3.0)), ((0.5, 1.5), (math.nan, math.nan), (2.0, 4.0)))
    options = chart_options("A", {"run": curve}, [1])
    line, low, width = options["series"]
    assert line["data"] == [[1, 1.0], [2, None], [3, 3.0]]
    assert low["data"] == [[1, 0.5], [3, 2.0]]
    assert width["data"] == [[1, 1.0], [3, 2.0]]
    assert line["markLine"]["data"] == [{"xAxis": 2}]
    assert options["tooltip"]["renderMode"] == "richText"
    json.dumps(options, allow_nan=False)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_pictures_can_be_saved(run: Path, form: str) -> None:
    address = StudioAddress(("run",))
    for name in ("reward", "by level", "validation greedy strict"):
        content, kind, file = picture_of({"run": run}, address, {"curve": name, "form": form})
        assert content.startswith(b"\x89PNG" if form == "png" else b"<?xml")
        assert kind.startswith("image/")
        assert file.endswith(f".{form}")
    with pytest.raises(ConfigError, match="no chart"):
        picture_of({"run": run}, address, {"curve": "nothing", "form": form})
    with pytest.raises(RunFolderError, match="no such run"):
        picture_of({"run": run}, StudioAddress(("other",)), {"curve": "reward", "form": form})


def test_tokens_are_shown_with_their_masks_and_numbers_and_as_text(run: Path) -> None:
    with RunStore.open_readonly(run) as store:
        record = store.rollouts(0, 0, 0)[0]
    drawn = tokens_html(record, lambda token: f"<b onclick=x>{token}")
    assert "<b" not in drawn
    assert "&lt;b onclick=x&gt;60" in drawn
    assert drawn.count('class="masked"') == 2
    assert drawn.count("<tr>") == record.num_tokens + 1
    assert "\\x1b" in shown_text(record.response)


def test_an_answer_that_comes_late_is_not_shown(run: Path) -> None:
    address = StudioAddress(("run",), "rollouts")
    view = _RolloutList(cast(StudioTab, SimpleNamespace(address=address, folders={"run": run})))
    view._told, view._table = Mock(), Mock()
    view._select_row = Mock()
    late = threading.Event()

    def ask(question: Callable[..., object], *arguments: object) -> object:
        if question is count_rollouts:
            return 60
        offset = arguments[2]
        assert offset or late.wait(20)
        return [_line(member=int(cast(int, offset)))]

    async def turn_the_page() -> None:
        first = asyncio.create_task(view._show(counts=True))
        await asyncio.sleep(0)
        view._address = address.with_(offset=50)
        await view._show(counts=False)
        late.set()
        await first

    view._ask = ask
    asyncio.run(turn_the_page())
    assert [line.member for line in view._lines] == [50]
    assert view._told.set_text.call_args.args == ("51 to 51 of 60 rollouts",)


def _line(member: int) -> RolloutLine:
    return RolloutLine(0, 0, member, "a", "c2 h1", "solved", 1.0, "finished", 1, 5, "it is 3")
