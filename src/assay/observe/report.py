"""The report of a run: one HTML page that needs nothing else, made from the run folder alone.

Model output is hostile. Every text goes through the template's escaping, control characters are made visible first, and
the page forbids scripts and anything loaded from elsewhere.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from assay.errors import RunFolderError
from assay.observe import plots
from assay.observe.console import duration
from assay.observe.curves import (
    LEFT_OUT_SHARE,
    TURN_REWARD,
    level_curves,
    level_title,
    main_curves,
    natural_key,
    turn_curve,
)
from assay.observe.folder import read_json
from assay.observe.records import EvaluationRecord, LevelShare
from assay.observe.store import STORE_NAME, RunStore
from assay.observe.visible import visible
from assay.statistics import clustered_proportion, t_interval

REPORT_FOLDER = "report"
REPORT_PAGE = "index.html"
_MAX_TRANSCRIPTS = 12
_MAX_TEXT = 6000
"""Characters of a transcript's text that are shown."""
_MAX_EVENTS = 60


def write_report(folder: Path) -> Path:
    """Writes `report/index.html` and its PNG files into a run folder; what the run lacks is left out of the page.

    Reads only the run folder: `run.sqlite`, `summary.json`, `config.json`. Works on a run that is still going.

    Returns:
        The page.

    Raises:
        RunFolderError: the folder holds neither a run store nor a summary.
    """
    folder = Path(folder)
    summary = read_json(folder / "summary.json")
    has_store = (folder / STORE_NAME).is_file()
    if not has_store and not summary:
        raise RunFolderError(f"{folder} holds no run to report on: neither {STORE_NAME} nor summary.json")
    report = folder / REPORT_FOLDER
    report.mkdir(exist_ok=True)
    for stale in report.glob("*.png"):
        stale.unlink()
    view = _summary_view(summary, read_json(folder / "config.json"), folder)
    if has_store:
        with RunStore.open_readonly(folder) as store:
            view |= _store_view(store, report, summary)
    page = report / REPORT_PAGE
    unfinished = page.with_suffix(".part")
    unfinished.write_text(_render(view), encoding="utf-8")
    os.replace(unfinished, page)
    return page


def _render(view: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": _percent,
        "score": _score,
        "gain": _gain,
        "interval": _interval,
        "text": _text,
    }
    return environment.get_template("report.html").render(view)


def _summary_view(summary: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    gain = _mapping(summary.get("gain")) or _mapping(summary.get("reward_gain"))
    settings = _mapping(summary.get("settings")) or _mapping(config.get("settings"))
    seconds = summary.get("seconds")
    commands = _mapping(summary.get("commands")) or {
        "look at it": f"assay show {folder}",
        "go on": f"assay train --resume {folder}",
    }
    return {
        "name": summary.get("name") or folder.resolve().name,
        "status": summary.get("status") or "running",
        "level": summary.get("level"),
        "num_steps": summary.get("num_steps"),
        "duration": duration(float(seconds)) if _is_number(seconds) else None,
        "gain": gain if _is_number(gain.get("value")) else None,
        "before": _mapping(summary.get("before")),
        "after": _mapping(summary.get("after")),
        "cautions": [text for text in summary.get("cautions") or [] if isinstance(text, str)],
        "readings": [_reading(entry) for entry in _mappings(summary.get("readings"))],
        "of_k": [_of_k(entry) for entry in _mappings(summary.get("of_k"))],
        "owed": _owed(_mapping(summary.get("owed_to"))),
        "also": {str(label): _mapping(moved) for label, moved in _mapping(summary.get("also")).items()},
        "transcripts": _mappings(summary.get("transcripts"))[:_MAX_TRANSCRIPTS],
        "settings": _flatten(settings),
        **{
            name: _flatten(_mapping(summary.get(name)) or _mapping(config.get(name)))
            for name in ("versions", "machine", "git")
        },
        "commands": {str(name): str(command) for name, command in commands.items()},
    }


def _reading(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "decoding": entry.get("decoding", ""),
        "reading": entry.get("reading", ""),
        **{name: _mapping(entry.get(name)) for name in ("before", "after", "gain")},
    }


def _of_k(entry: Mapping[str, Any]) -> dict[str, Any]:
    sides = {name: _mapping(entry.get(name)) for name in ("before", "after")}
    return {
        **{name: entry.get(name, "") for name in ("name", "reading")},
        **{name: {**side, "accuracy": side.get("value")} for name, side in sides.items()},
        "gain": _mapping(entry.get("gain")),
    }


def _owed(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the gain is owed to, part by part; None where the summary does not say."""
    parts = [part for part in _mappings(found.get("parts")) if _is_number(_mapping(part.get("gain")).get("value"))]
    if not parts:
        return None
    untold = [text for text in found.get("untold") or [] if isinstance(text, str)]
    return {"total": _mapping(found.get("total")), "parts": parts, "untold": untold}


def _store_view(store: RunStore, report: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    pictures: list[dict[str, str]] = []

    def add(name: str, alt: str) -> Path:
        path = report / f"{name}.png"
        pictures.append({"path": str(path), "name": path.name, "alt": alt})
        return path

    curves = main_curves(store)
    for curve in curves[:1]:
        plots.plot_curve(add(curve.name, curve.title), curve)
    levels = level_curves(store)
    if levels:
        title = level_title(levels)
        name = "solved" if title == "Solved share by level" else "reward_by_level"
        plots.plot_levels(add(name, title), levels)
    evaluations = store.evaluations()
    for (measure, split), series in _evaluation_series(evaluations).items():
        title = f"{measure} on the {split} split, with 95 % intervals"
        plots.plot_evaluations(add(re.sub(r"\W+", "_", f"{measure}_{split}").lower(), title), title, series)
    for curve in curves[1:]:
        plots.plot_curve(add(curve.name, curve.title), curve)
    for picture in pictures:
        data = base64.b64encode(Path(picture["path"]).read_bytes()).decode("ascii")
        picture["source"] = f"data:image/png;base64,{data}"
    outcomes = store.outcomes()
    events = store.events()
    num_steps = summary.get("num_steps")
    return {
        "pictures": pictures,
        "outcomes": outcomes,
        "num_rollouts": sum(outcome.count for outcome in outcomes),
        "level_table": _level_table(evaluations),
        "horizons": _horizons(store.level_shares(by_group=True)),
        "episodes": _episodes(store),
        "events": events[-_MAX_EVENTS:],
        "num_events": len(events),
        "num_steps": num_steps if num_steps is not None else store.num_steps(),
    }


def _horizons(shares: Sequence[LevelShare]) -> list[dict[str, Any]]:
    """The solved share of the rollouts by horizon, or where there are no verdicts their mean reward, over all steps and
    the last quarter, with intervals over groups; empty where there is one horizon only.

    Args:
        shares: of each group.
    """
    by_horizon: dict[str, list[LevelShare]] = {}
    for share in shares:
        by_horizon.setdefault(share.level.rpartition(" h")[2], []).append(share)
    steps = sorted({share.step for share in shares})
    late = steps[-max(len(steps) // 4, 1) :]

    def solved(some: Sequence[LevelShare]) -> str | None:
        judged = [share for share in some if share.measured]
        if judged:
            groups = [share.solved / share.measured for share in judged]
            return clustered_proportion(groups, sum(share.measured for share in judged)).as_percent()
        return str(t_interval([share.reward for share in some])) if len(some) > 1 else None

    rows = [
        {
            "horizon": horizon,
            "measured": sum(share.num_rewards for share in own),
            "share": solved(own),
            "last": solved([share for share in own if share.step in late]),
        }
        for horizon, own in sorted(by_horizon.items(), key=lambda entry: natural_key(entry[0]))
    ]
    return rows if len(rows) > 1 else []


def _episodes(store: RunStore) -> list[tuple[str, str]]:
    """Facts about episodes of several turns: turns and what was paid for them, first and last, and what broke."""
    turns = turn_curve(store).values
    if not turns:
        return []
    rows = [("turns of a rollout, first and last step", f"{turns[0]:.1f}, {turns[-1]:.1f}")]
    metrics = {name: [value for _, value in points if value is not None] for name, points in store.metrics().items()}
    if paid := metrics.get(TURN_REWARD):
        rows.append(("paid for turns, first and last step", f"{paid[0]:.3g}, {paid[-1]:.3g}"))
    if left_out := metrics.get(LEFT_OUT_SHARE):
        share = f"{_percent(sum(left_out) / len(left_out))}, {_percent(max(left_out))}"
        rows.append(("rollouts left out, mean and most of a step", share))
    for name, counts in sorted(metrics.items()):
        found = re.fullmatch(r"rollout/broken_at_(\w+)_count", name)
        if found and sum(counts):
            rows.append((f"broken at the boundary: {found[1]}", f"{sum(counts):g}"))
    return rows


def _evaluation_series(
    records: Sequence[EvaluationRecord],
) -> dict[tuple[str, str], dict[str, list[EvaluationRecord]]]:
    """(measure, split) -> label -> records of all levels together, for the splits that training was followed on.

    Not the test split: it is measured before and after, which the tables show.
    """
    series: dict[tuple[str, str], dict[str, list[EvaluationRecord]]] = {}
    for record in records:
        if record.level == "all" and record.split != "test" and record.measure[0] is not None:
            measure = "Mean reward" if record.accuracy is None else "Accuracy"
            label = f"{record.decoding}, {record.reading}"
            series.setdefault((measure, record.split), {}).setdefault(label, []).append(record)
    return {place: by_label for place, by_label in series.items() if any(len(r) > 1 for r in by_label.values())}


def _level_table(records: Sequence[EvaluationRecord]) -> list[dict[str, Any]]:
    """First and last accuracy, or mean reward, of each level, where a level was measured at two steps."""
    by_key: dict[tuple[str, str, str, str], list[EvaluationRecord]] = {}
    for record in records:
        if record.level != "all":
            by_key.setdefault((record.split, record.decoding, record.reading, record.level), []).append(record)
    rows = [
        {
            "split": key[0],
            "decoding": key[1],
            "reading": key[2],
            "level": key[3],
            "before": group[0],
            "after": group[-1],
        }
        for key, group in by_key.items()
        if group[0].step != group[-1].step
    ]
    return sorted(rows, key=lambda row: (row["split"], row["decoding"], row["reading"], natural_key(row["level"])))


# ---- reading plain data that may have any shape ----


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            rows += _flatten(value, f"{dotted}.")
        else:
            rows.append((dotted, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return rows


# ---- the template's filters ----


def _percent(value: Any) -> str:
    return f"{100 * value:.1f} %" if _is_number(value) else "–"


def _score(value: Any) -> str:
    """The accuracy of a side or a record; its mean reward where there is none."""
    number, _, _ = _measure(value)
    return _percent(number) if _accuracy(value) is not None else f"{number:.4g}" if _is_number(number) else "–"


def _gain(gain: Any) -> str:
    """A gain in points, or in the unit of the reward."""
    value = _mapping(gain).get("value")
    if not _is_number(value):
        return "–"
    return f"{value:+.4g}" if _mapping(gain).get("unit") == "reward" else f"{100 * value:+.1f}"


def _interval(value: Any, form: str = "score") -> str:
    """[low, high] of a mapping or record that has them, in the form "score" or "gain"; empty where it has not."""
    if form == "gain":
        is_share, (_, low, high) = _mapping(value).get("unit") != "reward", _ends(value, "value")
    else:
        is_share, (_, low, high) = _accuracy(value) is not None, _measure(value)
    if not (_is_number(low) and _is_number(high)):
        return ""
    sign = "+" if form == "gain" else ""
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]" if is_share else f"[{low:{sign}.4g}, {high:{sign}.4g}]"


def _accuracy(value: Any) -> Any:
    return value.accuracy if isinstance(value, EvaluationRecord) else _mapping(value).get("accuracy")


def _measure(value: Any) -> tuple[Any, Any, Any]:
    """The accuracy, or the mean reward, and the ends of its interval."""
    if isinstance(value, EvaluationRecord):
        return value.measure
    return _ends(value, "accuracy") if _accuracy(value) is not None else _ends(_mapping(value).get("mean_reward"))


def _ends(value: Any, key: str = "value") -> tuple[Any, Any, Any]:
    found = _mapping(value)
    return found.get(key), found.get("low"), found.get("high")


def _text(value: Any) -> str:
    """Model output, safe to show; Jinja escapes what is left of it."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, int | float | list | Mapping):
        text = json.dumps(value, ensure_ascii=False)
    else:  # None, or Jinja's stand-in for what the summary lacks
        text = ""
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]} … ({len(text) - _MAX_TEXT} more characters)"
    return visible(text)
