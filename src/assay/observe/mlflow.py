"""MLflow as a tracker."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from assay.config import Settings
from assay.errors import ConfigError
from assay.home import assay_home
from assay.observe.tracker import RunStart, flat, load_library, shown, without_users

_MAX_VALUE = 500
"""Characters of a setting; older servers take no more."""
_BATCH = 100
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_SQLITE_FILE = re.compile(r"sqlite:///([^:/?][^:?]*)")
"""Pattern of an SQLite address with a relative path: an absolute one has a fourth slash."""
_NOT_IN_A_NAME = re.compile(r"[^\w\-./ ]")


class MlflowSettings(Settings):
    """MLflow: a server, or an SQLite file that needs none. A resumed run goes on under the id that it began with."""

    tracking_uri: str | None = None
    """"http://host:5000" or "sqlite:///path/mlflow.db"; None for $MLFLOW_TRACKING_URI, and without that a file that all
    runs share, ~/.assay/mlflow.db."""
    experiment: str = Field(default="assay", min_length=1)
    """Name of the experiment that the run is filed under."""

    @field_validator("tracking_uri")
    @classmethod
    def _without_password_and_absolute(cls, uri: str | None) -> str | None:
        if uri and without_users(uri) != uri:
            raise ValueError(
                "tracking_uri holds a user or password, and a run folder records it; put them in "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return uri and _absolute(uri)


class MlflowTracker:
    """Logs settings as parameters and each step as a batch of metrics."""

    name = "mlflow"

    def __init__(self, settings: MlflowSettings) -> None:
        self.settings = settings
        self._library: Any = None
        self._client: Any = None
        self._run_id = ""

    @property
    def place(self) -> str:
        return f"{without_users(self._uri)} {self.settings.experiment}"

    @property
    def _uri(self) -> str:
        return _absolute(self.settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _default_uri())

    def start(self, run: RunStart) -> Mapping[str, str]:
        # A server that is gone must be given up soon: its own defaults retry for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
        self._library = load_library("mlflow")
        for library in ("mlflow", "alembic"):
            logging.getLogger(library).setLevel(logging.WARNING)
        uri = self._uri
        try:
            self._client = self._library.MlflowClient(tracking_uri=uri)
            if "run_id" in run.memory:
                self._run_id = run.memory["run_id"]
                self._client.update_run(self._run_id, status="RUNNING")
            else:
                self._run_id = self._begin(run)
        except Exception as error:
            raise ConfigError(
                f"tracking.mlflow: {without_users(uri)} cannot be used ({shown(error)}); start that server, or "
                "keep the run in a file with tracking.mlflow.tracking_uri=sqlite:///mlflow.db"
            ) from error
        return {"run_id": self._run_id}

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        now, entities = int(time.time() * 1000), self._library.entities
        points = [entities.Metric(_NOT_IN_A_NAME.sub("_", name), value, now, step) for name, value in metrics.items()]
        for start in range(0, len(points), _BATCH):
            self._client.log_batch(self._run_id, metrics=points[start : start + _BATCH])

    def finish(self, step: int, summary: Mapping[str, float], status: str) -> None:
        self.write(step, {f"summary/{name}": value for name, value in summary.items()})
        self._client.set_terminated(self._run_id, _STATUS[status])

    def _begin(self, run: RunStart) -> str:
        found = self._client.get_experiment_by_name(self.settings.experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(self.settings.experiment)
        run_id = self._client.create_run(experiment, run_name=run.folder.name).info.run_id
        params = [
            self._library.entities.Param(_NOT_IN_A_NAME.sub("_", name), str(value)[:_MAX_VALUE])
            for name, value in flat(run.settings).items()
        ]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(run_id, params=params[start : start + _BATCH])
        return run_id


def _default_uri() -> str:
    home = assay_home()
    home.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{home / 'mlflow.db'}"


def _absolute(uri: str) -> str:
    """An SQLite file wherever the run is resumed from; other addresses as they are."""
    found = _SQLITE_FILE.fullmatch(uri)
    return f"sqlite:///{Path(found[1]).absolute()}" if found else uri
