"""The real libraries, offline, through whole runs of a tiny model; and a tracker that fails."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import math
import sqlite3
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.config import load, validate
from assay.errors import ConfigError, DataError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.mlflow import MlflowSettings, MlflowTracker
from assay.observe.tracker import RunStart, TrackerQueue, flat, load_library, numbers_in, without_secrets
from assay.observe.tracking import Trackers, TrackingSettings
from assay.observe.trackio import TrackioSettings, TrackioTracker
from assay.observe.wandb import WandbSettings, WandbTracker
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.run import StepDone


class Recorder:
    """Keeps what it is told; fails at the steps it is told to fail at."""

    name = "recorder"

    def __init__(self, fails_at: tuple[int, ...] = (), place: str = "here", problem: str = "gone") -> None:
        self.fails_at = fails_at
        self.place = place
        self.problem = problem
        self.points: list[tuple[int, dict[str, float]]] = []
        self.began_with: Mapping[str, str] = {}
        self.settings: Mapping[str, Any] = {}
        self.end: tuple[int, dict[str, float], str] | None = None

    def start(self, run: RunStart) -> Mapping[str, str]:
        self.began_with, self.settings = run.memory, run.settings
        return {"id": run.memory.get("id", "first")}

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        if step in self.fails_at:
            raise ConnectionError(self.problem)
        self.points.append((step, dict(metrics)))

    def finish(self, step: int, summary: Mapping[str, float], status: str) -> None:
        self.end = (step, dict(summary), status)


def test_a_point_holds_what_is_finite_and_no_step_is_sent_twice_after_a_resume(tmp_path: Path) -> None:
    first = Recorder()
    queue = TrackerQueue(first, tmp_path / "recorder.json")
    queue.start(tmp_path, "run", {"model": {"api_key": "hush"}})
    for step in range(4):
        queue.write(step, {"reward/mean": step / 4, "gap": math.nan})
    queue.finish({"gain": {"value": 0.5, "low": math.inf, "name": "x"}}, "interrupted")
    assert first.points == [(step, {"reward/mean": step / 4}) for step in range(4)]
    assert first.settings == {"model": {"api_key": "(secret)"}}
    assert first.end == (3, {"gain.value": 0.5}, "interrupted")

    second = Recorder()
    queue = TrackerQueue(second, tmp_path / "recorder.json")
    queue.start(tmp_path, "run", {})
    assert second.began_with == {"id": "first"}
    for step in range(2, 6):  # from the checkpoint after step 2 on
        queue.write(step, {"reward/mean": 1.0})
    queue.finish({}, "finished")
    assert [step for step, _ in second.points] == [4, 5]


def test_at_another_place_a_run_begins_anew(tmp_path: Path) -> None:
    for place in ("here", "there"):
        recorder = Recorder(place=place)
        queue = TrackerQueue(recorder, tmp_path / "recorder.json")
        queue.start(tmp_path, "run", {})
        assert recorder.began_with == {}
        for step in range(3):
            queue.write(step, {"reward/mean": 1.0})
        queue.finish({}, "finished")
        assert [step for step, _ in recorder.points] == [0, 1, 2]


def test_places_have_no_password_and_files_are_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = validate(MlflowSettings, {"tracking_uri": "sqlite:///m.db"})
    assert settings.tracking_uri == f"sqlite:///{tmp_path / 'm.db'}"
    assert validate(MlflowSettings, {"tracking_uri": "sqlite:////a/m.db"}).tracking_uri == "sqlite:////a/m.db"
    assert validate(MlflowSettings, {"tracking_uri": "http://host:5000"}).tracking_uri == "http://host:5000"
    assert MlflowTracker(settings).place == f"sqlite:///{tmp_path / 'm.db'} assay"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert MlflowTracker(MlflowSettings()).place == "http://host:5000 assay"
    assert MlflowTracker(MlflowSettings(experiment="e")).place == "http://host:5000 e"
    places = [WandbTracker(WandbSettings(project=name)).place for name in "pq"]
    places += [WandbTracker(WandbSettings(project="p", entity="e")).place]
    places += [TrackioTracker(TrackioSettings(project=name)).place for name in "pq"]
    assert len(set(places[:3])) == 3
    assert places[3] != places[4]


def test_no_error_text_has_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Beyond the first @ too, and where the text is cut.
    url = "http://me:se@cret@127.0.0.1:9/api"
    recorder = Recorder(fails_at=(0,), problem=f"{'x' * 260} {url}")
    queue = TrackerQueue(recorder, tmp_path / "recorder.json")
    queue.start(tmp_path, "run", {})
    queue.write(0, {"reward/mean": 0.0})
    queue.finish({}, "finished")
    problem = queue.take_problem() or ""
    assert "http://127" in problem
    assert "me:" not in problem
    assert "cret" not in problem
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9 cannot be used") as raised:
        Trackers(validate(TrackingSettings, {"mlflow": {}}), tmp_path).start("run", {})
    assert "secret" not in str(raised.value)


def test_failures_are_counted_told_once_and_end_nothing(tmp_path: Path) -> None:
    recorder = Recorder(fails_at=(1, 2))
    queue = TrackerQueue(recorder, tmp_path / "recorder.json")
    queue.start(tmp_path, "run", {})
    for step in range(4):
        queue.write(step, {"reward/mean": 0.0})
    queue.finish({}, "finished")
    assert [step for step, _ in recorder.points] == [0, 3]
    assert queue.num_failures == 2
    assert "ConnectionError: gone" in (queue.take_problem() or "")
    assert queue.take_problem() is None


def test_secrets_and_numbers() -> None:
    data = {
        "hf_token": "t",
        "API_KEY": "k",
        "password": "p",
        "max_new_tokens": 64,
        "uri": "http://me:secret@host/x",
        "list": [{"auth_token": "t"}],
    }
    assert without_secrets(data) == {
        "hf_token": "(secret)",
        "API_KEY": "(secret)",
        "password": "(secret)",
        "max_new_tokens": 64,
        "uri": "http://host/x",
        "list": [{"auth_token": "(secret)"}],
    }
    assert numbers_in({"a": 1, "b": {"c": 0.5, "d": True, "e": [1]}, "f": math.nan}) == {"a": 1.0, "b.c": 0.5}
    assert flat({"a": {"b": 1}, "c": [2]}) == {"a.b": 1, "c": [2]}
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD"):
        validate(MlflowSettings, {"tracking_uri": "https://me:secret@host"})


def test_a_missing_library_is_named_with_its_command() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'assay\[no_such_tracker\]'"):
        load_library("no_such_tracker")


def test_wandb_offline_keeps_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    folder = _resumed_run(tmp_path, {"wandb": {"mode": "offline", "project": "p"}})
    legs = sorted((folder / "wandb").glob("offline-run-*"))
    assert len(legs) == 2
    run_id = json.loads((folder / "trackers" / "wandb.json").read_text())["memory"]["id"]
    assert {leg.name.rsplit("-", 1)[1] for leg in legs} == {run_id}
    steps = [step for leg in legs for step, _ in _wandb_rows(leg)]
    assert steps == [0, 1, 2, 3, 4]
    names = {name for leg in legs for _, row in _wandb_rows(leg) for name in row}
    assert {"reward/mean", "validation/greedy_strict"} <= names


def test_wandb_runs_of_one_process_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    trackers = [WandbTracker(WandbSettings(mode="offline")) for _ in range(2)]
    ids = []
    for number, tracker in enumerate(trackers):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        ids.append(tracker.start(RunStart(folder, folder.name, {}, {}))["id"])
    assert ids[0] != ids[1]
    for number, tracker in enumerate(trackers):
        tracker.write(0, {"number": number})
        tracker.finish(0, {}, "failed")
        (leg,) = (tmp_path / f"run{number}" / "wandb").glob(f"offline-run-*-{ids[number]}")
        deadline = time.monotonic() + 30
        # The library's other process may write a moment after the run has ended here.
        while not (rows := _wandb_rows(leg)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [row["number"] for _, row in rows] == [str(number)]


def test_a_failed_run_ends_as_failed_with_the_steps_it_made(tmp_path: Path) -> None:
    class Fails:
        async def step_done(self, done: StepDone) -> None:
            if done.step == 1:
                raise DataError("a task that cannot be used")

    folder, recorder = tmp_path / "run", Recorder()
    silent = Console(stream=io.StringIO(), live=False)
    run = build_run(_config(tmp_path, {}), folder, console=silent)
    run.subscribers.insert(1, Fails())
    queue = TrackerQueue(recorder, tmp_path / "recorder.json")
    queue.start(folder, "run", {})
    vars(run.records.trackers)["_queues"].append(queue)
    with pytest.raises(DataError):
        asyncio.run(train(run))
    assert run.keeping.newest_step() == 2
    # Step 2 was made; its point waited for the validation that failed.
    assert [step for step, _ in recorder.points] == [0, 1, 2]
    assert recorder.end is not None
    assert recorder.end[2] == "failed"


def test_mlflow_in_a_file_keeps_one_run(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    place = f"sqlite:///{tmp_path / 'm.db'}"
    folder = _resumed_run(tmp_path, {"mlflow": {"tracking_uri": place, "experiment": "e"}})
    client = mlflow.MlflowClient(tracking_uri=place)
    (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert run.info.run_name == folder.name
    assert run.info.status == "FINISHED"
    assert run.data.params["algorithm.name"] == "grpo"
    history = client.get_metric_history(run.info.run_id, "reward/mean")
    assert [point.step for point in history] == [1, 2, 3, 4]
    validation = client.get_metric_history(run.info.run_id, "validation/greedy_strict")
    assert [point.step for point in validation] == [0, 2, 4]
    assert "summary/before.accuracy" in run.data.metrics


@pytest.mark.skipif(importlib.util.find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio_keeps_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before the library is imported, which reads it then.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    _resumed_run(tmp_path, {"trackio": {"project": "p"}})
    (path,) = (tmp_path / "trackio").glob("*.db")
    rows = sqlite3.connect(path).execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
    assert len({name for name, _, _ in rows}) == 1
    steps = [step for _, step, metrics in rows if "reward/mean" in json.loads(metrics)]
    assert steps == [1, 2, 3, 4]


def test_wandb_online_without_a_login_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    trackers = Trackers(validate(TrackingSettings, {"wandb": {}}), tmp_path)
    with pytest.raises(ConfigError, match=r'wandb login.*tracking.wandb.mode="offline"'):
        trackers.start("run", {})


def test_a_server_that_does_not_answer_is_an_error_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    trackers = Trackers(validate(TrackingSettings, {"mlflow": {"tracking_uri": "http://127.0.0.1:9"}}), tmp_path)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9 cannot be used.*sqlite"):
        trackers.start("run", {})


def test_events_can_be_left_out(tmp_path: Path) -> None:
    trackers = Trackers(validate(TrackingSettings, {"tensorboard": False}), tmp_path)
    trackers.add(1, {"reward/mean": 1.0})
    assert trackers.send() == []
    assert trackers.finish({}, "finished") == []
    assert not (tmp_path / "events").exists()


def _resumed_run(tmp_path: Path, tracking: Mapping[str, Any]) -> Path:
    """Four steps; stopped as by a kill after the third, of which the newest checkpoint knows nothing; resumed."""
    folder, config = tmp_path / "run", _config(tmp_path, tracking)

    class Killed(BaseException):
        pass

    class Stops(Console):
        def step(self, view: Any) -> None:
            super().step(view)
            if view.step == 3:
                raise Killed

    run = build_run(config, folder, console=Stops(stream=io.StringIO(), live=False))
    with pytest.raises(Killed):
        asyncio.run(train(run))
    run.records.trackers.finish({}, "failed")
    run.lock.close()
    run.records.store.close()
    run = build_run(config, folder, resume=True, console=Console(stream=io.StringIO(), live=False))
    assert run.position.step == 2
    assert asyncio.run(train(run)).status == "finished"
    return folder


def _config(tmp_path: Path, tracking: Mapping[str, Any]) -> RunConfig:
    model = write_tiny_model(tmp_path / "model")
    return load(
        RunConfig,
        {
            "num_steps": 4,
            "num_threads": 1,
            "groups_per_step": 2,
            "group_size": 2,
            "model": {"source": str(model), "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 4},
            "evaluation": {"every_steps": 2, "validation_tasks": 2, "test_tasks": 2, "test_max_new_tokens": 4},
            "checkpoint": {"every_steps": 2},
            "tracking": dict(tracking),
        },
    )


def _wandb_rows(leg: Path) -> list[tuple[int, dict[str, str]]]:
    """(step, row) of each record of history in an offline run's file."""
    from wandb.proto import wandb_internal_pb2

    (path,) = leg.glob("*.wandb")
    rows = []
    for data in _records(path.read_bytes()[7:]):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            values = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            rows.append((record.history.step.num, values))
    return rows


def _records(log: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of 32 KiB (the first one here began with a header of 7 bytes); each part of a record
    has a checksum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last)."""
    position, whole = 0, b""
    while position + 7 <= len(log):
        left = 32768 - (position + 7) % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", log[position + 4 : position + 7])
        whole += log[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""
