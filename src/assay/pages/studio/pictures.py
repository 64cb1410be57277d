"""Pictures of charts, to be saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from assay.errors import ConfigError, RunFolderError
from assay.observe.curves import Curve
from assay.pages.studio import reading
from assay.pages.studio.address import StudioAddress
from assay.pages.studio.charts import picture

_KINDS = {"png": "image/png", "svg": "image/svg+xml"}
BY_LEVEL = "by level"
"""The name of the chart of levels, beside those of curves."""


def picture_of(
    runs: Mapping[str, Path], address: StudioAddress, parameters: Mapping[str, str]
) -> tuple[bytes, str, str]:
    """Return the picture of a chart, its media type, and a name for its file.

    Args:
        parameters: `curve`, the name of the chart, and `form`, "png" or "svg".

    Raises:
        ConfigError: there is no such form or chart.
        RunFolderError: the run is gone, or cannot be read.
    """
    name, form = parameters.get("curve", ""), parameters.get("form", "png")
    if form not in _KINDS:
        raise ConfigError(f"there is no form {form!r:.20}; pictures are png or svg")
    folders = {run: runs[run] for run in address.runs if run in runs}
    if not folders:
        raise RunFolderError("there is no such run (any more)")
    first = next(iter(folders.values()))
    if name == BY_LEVEL:
        title, curves = reading.by_level(first)
    else:
        curves = {}
        title = name
        for run, folder in folders.items():
            for curve in _all(folder, name):
                if curve.name == name:
                    curves[run], title = curve, curve.title
    if not curves:
        raise ConfigError(f"there is no chart {name!r:.60}")
    alarms = [event.step for event in reading.events_of(first)[0]]
    safe = re.sub(r"\W+", "_", f"{next(iter(folders))}_{name}").strip("_")
    return picture(title, curves, form, alarms), _KINDS[form], f"{safe}.{form}"


def _all(folder: Path, name: str) -> list[Curve]:
    if name == "reward":
        return [reading.first_curve(folder)]
    return [*reading.other_curves(folder), *reading.evaluation_curves(folder)]
