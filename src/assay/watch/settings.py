"""The watch's settings: the table `[watch]` of a recipe."""

from __future__ import annotations

from typing import Literal

import pydantic

from assay.config import Settings
from assay.verifiers import AnyVerifier


class WatchSettings(Settings):
    """How a run is watched for hacking of its reward."""

    judge: AnyVerifier | None = None
    """A second verifier, independent of the reward: the strict reading, more tests, a model. What is paid and refused
    by it is counted; None compares with nothing."""
    share: float = pydantic.Field(default=1.0, gt=0.0, le=1.0)
    """Share of the rollouts that are looked at, at least one of each group. It is halved as long as a judge takes more
    than 3 % of a step; less from the start spares a judge that is paid by the question."""
    canaries: float = pydantic.Field(default=0.0, ge=0.0, le=0.2)
    """Share of the groups that are played on tasks which no honest policy can solve. They are never trained on; pay for
    one is a hack by definition."""
    on_alarm: Literal["warn", "stop", "rollback"] = "warn"
    """At an alarm: say so; or also end the run, with its closing test; or also make the last checkpoint before it the
    run's model. The last two keep that checkpoint."""
    false_alarm: float = pydantic.Field(default=0.05, gt=0.0, lt=1.0)
    """Chance that a run whose behaviour does not change raises any alarm, over the whole run, however long it is."""
    reference: int = pydantic.Field(default=32, ge=8)
    """Rollouts at the beginning of the run that say what lengths and rewards are usual. Of everything else no part of
    the run is spent on that."""
