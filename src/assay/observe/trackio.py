"""trackio as a tracker: local, with a dashboard of its own (`trackio show`)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from assay.config import Settings
from assay.errors import ConfigError
from assay.observe.tracker import RunStart, flat, load_library, shown


class TrackioSettings(Settings):
    """trackio: a file on this machine, in $TRACKIO_DIR or the library's own place. A resumed run goes on under the name
    that it began with."""

    project: str = Field(default="assay", pattern=r"^[A-Za-z0-9._-]+$")
    """Name of the project that the run is filed under."""


class TrackioTracker:
    """Logs each step as one row, and the summary as a last one."""

    name = "trackio"

    def __init__(self, settings: TrackioSettings) -> None:
        self.settings = settings
        self._run: Any = None

    @property
    def place(self) -> str:
        return f"{os.environ.get('TRACKIO_DIR', '')} {self.settings.project}".strip()

    def start(self, run: RunStart) -> Mapping[str, str]:
        trackio = load_library("trackio")
        name = run.memory.get("name", run.folder.name)
        try:
            with _silence():
                self._run = trackio.init(
                    self.settings.project,
                    name=name,
                    resume="allow" if run.memory else "never",
                    config=flat(run.settings),
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
        except Exception as error:
            raise ConfigError(
                f"tracking.trackio: it could not be started ({shown(error)}); check that $TRACKIO_DIR can be written to"
            ) from error
        return {"name": self._run.name}

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def finish(self, step: int, summary: Mapping[str, float], status: str) -> None:
        if summary:
            self._run.log({f"summary/{name}": value for name, value in summary.items()}, step=step)
        with _silence():
            self._run.finish()


def _silence() -> contextlib.AbstractContextManager[object]:
    """Silence standard output: trackio prints how to open its dashboard, which would tear the live panel."""
    return contextlib.redirect_stdout(io.StringIO())
