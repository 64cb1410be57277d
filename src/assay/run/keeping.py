"""Files that a run keeps: checkpoints to resume from, the best model, and a link to the model to use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.curriculum import Curriculum
from assay.engines import Engine
from assay.errors import RunFolderError
from assay.observe.activity import doing
from assay.recipe import CheckpointSettings
from assay.run.events import StepDone
from assay.run.position import Clock, Position
from assay.run.records import Records
from assay.run.services import Learner, Sampler
from assay.training.checkpoint import latest_checkpoint, prune, read_best
from assay.training.random_state import random_state

CHECKPOINTS = "checkpoints"
"""The folder of a run that they are in."""


class Keeping:
    """Writes checkpoints; the last to be told of a step, when all else about it is written down.

    Args:
        folder: the run folder.
        checkpointed_at: the step of the checkpoint that the run goes on from; None for a new run.
    """

    def __init__(
        self,
        folder: Path,
        settings: CheckpointSettings,
        records: Records,
        *,
        position: Position,
        clock: Clock,
        learner: Learner,
        curriculum: Curriculum,
        sampler: Sampler,
        engine: Engine,
        checkpointed_at: int | None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._records = records
        self._position = position
        self._clock = clock
        self._learner = learner
        self._curriculum = curriculum
        self._sampler = sampler
        self._engine = engine
        self._checkpointed_at = checkpointed_at
        self.watching: Callable[[], Mapping[str, Any]] = dict
        """Gives the state of the watch, which a checkpoint holds."""
        self._held: Path | None = None
        self._uses_held = False
        self._num_updates = learner.num_updates
        """Number of updates after the last whole step: tells whether the step under way has touched the weights."""

    def step_made(self) -> None:
        """The step under way is whole: from here on it can be kept, whatever comes of measuring it."""
        self._num_updates = self._learner.num_updates

    async def step_done(self, done: StepDone) -> None:
        """Makes permanent what was written down, and writes a checkpoint where one is due."""
        self._records.commit()
        every = self._settings.every_steps
        is_due = bool(every) and self._position.step % every == 0
        # A new best replaces the one before it, so the checkpoint that knows it must be there too.
        if is_due or self._clock.stop_requested or self._position.best_step == self._position.step:
            self.checkpoint()

    def keep_whole_steps(self) -> None:
        """Save the steps made after a failure: writes a checkpoint, unless the step under way has touched the
        weights."""
        untouched = self._learner.num_updates == self._num_updates
        if untouched and self._position.step and self._checkpointed_at != self._position.step:
            # The checkpoint holds that the step is made: nothing sends its point later.
            self._records.send()
            self.checkpoint()

    def keep_last(self) -> None:
        """A checkpoint of the steps made so far, unless there is one."""
        if self._checkpointed_at != self._position.step:
            self.checkpoint()

    @doing("writing a checkpoint")
    def checkpoint(self) -> Path:
        """Writes a checkpoint of the steps made so far, and removes those that are not kept."""
        self._records.store.sync()
        state: dict[str, Any] = {
            "position": {**vars(self._position), "seconds": self._clock.seconds},
            "curriculum": self._curriculum.state(),
            "collector": self._sampler.state(),
            "events": self._records.trackers.flush(),
            "random": random_state(),
            "watch": dict(self.watching()),
        }
        # What is sampled next must not depend on what the engine happens to have cached: a resumed run has nothing.
        self._engine.forget()
        place = self._folder / CHECKPOINTS
        path = self._learner.write_checkpoint(place, self._position.step, state)
        prune(place, self._settings.keep_last, [] if self._held is None else [self._held])
        self._checkpointed_at = self._position.step
        return path

    def hold(self, *, use: bool) -> int | None:
        """Keep the newest checkpoint, whatever is written after it.

        Args:
            use: whether it is the model to use from now on.

        Returns:
            The steps that it holds; None where there is no checkpoint.
        """
        if self._held is None:
            self._held = latest_checkpoint(self._folder / CHECKPOINTS)
        self._uses_held = use and self._held is not None
        return None if self._held is None else int(self._held.name.removeprefix("step-"))

    def keep_best(self, accuracy: float) -> None:
        """The model as it is, in place of the best so far."""
        self._position.best_step = self._position.step
        with doing("writing the best model"):
            self._learner.write_best(self._folder / CHECKPOINTS, self._position.step, accuracy)

    def newest_step(self) -> int | None:
        """Steps that the newest checkpoint holds; None where there is none."""
        newest = latest_checkpoint(self._folder / CHECKPOINTS)
        return None if newest is None else int(newest.name.removeprefix("step-"))

    @property
    def model_to_use(self) -> Path:
        """The best model by validation, or the last one where none was better than the untrained; after an alarm that
        rolls the run back, that of the checkpoint before it."""
        if self._held is not None and self._uses_held:
            return self._held / "model"
        best = read_best(self._folder / CHECKPOINTS)
        if best is not None and self._position.best_step is not None:
            return best.path.resolve()
        newest = latest_checkpoint(self._folder / CHECKPOINTS)
        if newest is None:
            raise RunFolderError(f"{self._folder} holds no checkpoint yet")
        return newest / "model"

    def load_model_to_use(self) -> None:
        """Puts the weights of the model to use in place of the last ones, once nothing is trained any more."""
        if self._uses_held or self._position.best_step not in (None, self._position.step):
            self._learner.load_trained(self.model_to_use)

    def link_model(self) -> None:
        """Points the run folder's link at the model to use."""
        link = self._folder / ".model"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.model_to_use, self._folder.resolve()), target_is_directory=True)
        link.replace(self._folder / "model")
