"""Weights & Biases as a tracker."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from assay.config import Settings
from assay.errors import ConfigError
from assay.observe.tracker import RunStart, load_library, shown, without_users

_INIT_SECONDS = 60
_FINISH_SECONDS = 45


class WandbSettings(Settings):
    """W&B, online or offline. A resumed run goes on under the id that it began with."""

    project: str = Field(default="assay", min_length=1)
    """Name of the project that the run is filed under."""
    entity: str | None = None
    """The team or user; None for the default of whoever is logged in."""
    mode: Literal["online", "offline", "disabled"] = "online"
    """offline: into the run folder, to be sent later with `wandb sync`. disabled: nowhere."""


class WandbTracker:
    """Sends each step as one row. Neither code, git remote, console output nor machine statistics are sent."""

    name = "wandb"

    def __init__(self, settings: WandbSettings) -> None:
        self.settings = settings
        self._run: Any = None

    @property
    def place(self) -> str:
        server = without_users(os.environ.get("WANDB_BASE_URL", ""))
        return f"{server} {self.settings.entity or ''}/{self.settings.project}".strip()

    def start(self, run: RunStart) -> Mapping[str, str]:
        wandb = load_library("wandb")
        mode = self.settings.mode
        if mode == "online" and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
            raise ConfigError(
                "tracking.wandb: nobody is logged in; run `wandb login`, or set WANDB_API_KEY, or keep the run local "
                'with tracking.wandb.mode="offline"'
            )
        run_id = run.memory.get("id", uuid.uuid4().hex[:12])
        try:
            self._run = wandb.init(
                project=self.settings.project,
                entity=self.settings.entity,
                mode=mode,
                id=run_id,
                name=run.folder.name,
                resume="allow",
                # Without it, a run that is still open in this process is returned instead.
                reinit="create_new",
                dir=str(run.folder),
                config=dict(run.settings),
                allow_val_change=True,
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    save_code=False,
                    disable_git=True,
                    x_disable_stats=True,
                    x_disable_meta=True,
                    init_timeout=_INIT_SECONDS,
                    finish_timeout=_FINISH_SECONDS,
                ),
            )
        except Exception as error:
            raise ConfigError(
                f"tracking.wandb: W&B could not be reached ({shown(error)}); check the "
                'connection, or keep the run local with tracking.wandb.mode="offline"'
            ) from error
        return {"id": self._run.id}

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step, commit=True)

    def finish(self, step: int, summary: Mapping[str, float], status: str) -> None:
        self._run.summary.update({f"summary/{name}": value for name, value in summary.items()})
        self._run.finish(exit_code=1 if status == "failed" else 0)
