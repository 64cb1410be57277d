"""Measurements of a run on tasks that are never trained on: validation while it goes, and the closing test."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from assay.curriculum import Curriculum, LevelSettings
from assay.engines import Engine
from assay.evaluation import EvalRow, Evaluation
from assay.evaluation.also import AFTER, ALSO, also_lines, also_moved
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.held_out import HeldOut
from assay.evaluation.trajectories import PROBE, probe_row
from assay.models import Model
from assay.observe.store import BEFORE_TRAINING
from assay.run.events import StepDone
from assay.run.keeping import Keeping
from assay.run.position import Position
from assay.run.records import Records
from assay.training.memory import give_back_freed_memory


class Measurements:
    """Held-out measurement; told of a step after it was written down, and before it is kept.

    Args:
        every_steps: steps between validations; 0 for none.
    """

    decoding: ClassVar[str] = "greedy"
    """Name under which validations are kept."""

    def __init__(
        self,
        held_out: HeldOut,
        records: Records,
        keeping: Keeping,
        *,
        every_steps: int,
        position: Position,
        curriculum: Curriculum,
        engine: Engine,
    ) -> None:
        self.held_out = held_out
        self._records = records
        self._keeping = keeping
        self._every_steps = every_steps
        self._position = position
        self._curriculum = curriculum
        self._engine = engine

    async def step_done(self, done: StepDone) -> None:
        """Validates where it is due."""
        if self._every_steps and self._position.step % self._every_steps == 0:
            await self.validate(done.step)
        every = self.held_out.settings.also_every
        if self.held_out.settings.also and every and self._position.step % every == 0:
            await self.measure_others(done.step)

    async def validate_untrained(self) -> None:
        """Validates the model that training begins with, so that only a better one becomes the best."""
        self._records.store.rollback(BEFORE_TRAINING)
        if self._every_steps:
            await self.validate(BEFORE_TRAINING)
        if self.held_out.settings.also:
            await self.measure_others(BEFORE_TRAINING)
        self._records.commit()

    async def validate(self, step: int) -> None:
        """Measure the model on validation tasks, greedily and read strictly; one better than any before is kept.

        Better is a higher accuracy, or where the reward is graded a higher mean reward: verdicts may not move at all
        while it rises.
        """
        position = self._position
        result = await self.held_out.validate()
        self._engine.forget()
        position.seconds_per_test_task = self.held_out.seconds_per_test_task
        self._keep_probe(step, self.decoding, result)
        if (sampled := await self.held_out.probe()) is not None:
            self._engine.forget()
            self._keep_probe(step, "sampled", sampled)
        lacks_verdicts = result.lacks_verdicts("strict")
        mean = result.mean_reward("strict") if result.is_graded("strict") else None
        if mean is None and not lacks_verdicts:
            measure = result.accuracy("strict").value
        else:
            # Of plain verdicts the mean reward is the accuracy, so that validations of both kinds compare.
            measure = statistics.fmean(result.rewards("strict").values())
        is_best = step != BEFORE_TRAINING and measure > position.best_accuracy
        position.best_accuracy = max(position.best_accuracy, measure)
        if is_best:
            self._keeping.keep_best(measure)
        levels = "  ".join(f"{level} {_level_score(part)}" for level, part in result.parts().items())
        reward = "" if mean is None else f"mean reward {mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]  "
        shown = reward + ("" if mean is not None and lacks_verdicts else f"{result.as_text('strict')}  ")
        self._records.console.message(f"validation: {shown}{levels}{'  best so far' if is_best else ''}")

    def _keep_probe(self, step: int, decoding: str, result: Evaluation) -> None:
        """Writes down what was solved of the validation tasks, task by task, so that runs compare in pairs."""
        self._records.evaluation(step, PROBE, decoding, result)
        rows = [probe_row(row, "strict") for row in result.rows]
        self._records.store.record_evaluation_rows(step, PROBE, decoding, rows)

    async def measure_others(self, step: int) -> None:
        """Measure the other environments with the weights as they are, beside what they were before training."""
        before = {} if step == BEFORE_TRAINING else self._others_before()
        found = await self.held_out.others("before" if step == BEFORE_TRAINING else f"step {step + 1}")
        self._engine.forget()
        self._keep_others(step, ALSO, found)
        moved = also_moved(before, found) if before else {}
        said = [
            f"{label} {result.as_text('strict')}"
            + (f", {moved[label]['text']['gain']} since before" if label in moved else "")
            for label, result in found.items()
        ]
        self._records.console.message(f"also: {'  '.join(said)}")

    async def others_after(self, model: Model) -> dict[str, Any]:
        """What training did to the other environments, of the model to use: a part of the summary; empty where none are
        measured.

        Args:
            model: that training began with.
        """
        if not self.held_out.settings.also:
            return {}
        weights = model.trained(self._keeping.model_to_use).weights()
        await self._engine.load_weights(weights.items(), self._position.step)
        self._engine.forget()
        found = await self.held_out.others("after")
        self._keep_others(self._position.step - 1, AFTER, found)
        self._records.store.commit()
        moved = also_moved(self._others_before(), found)
        for line in also_lines(moved):
            self._records.console.message(f"also: {line}")
        return {"also": moved}

    def _keep_others(self, step: int, split: str, found: Mapping[str, Evaluation]) -> None:
        for label, result in found.items():
            self._records.evaluation(step, f"{split}/{label}", "greedy", result)
            rows = [row.to_dict() for row in result.rows]
            self._records.store.record_evaluation_rows(step, f"{split}/{label}", "greedy", rows)

    def _others_before(self) -> dict[str, Evaluation]:
        """The other environments before training, as the store has them: a resumed run measures them once."""
        store = self._records.store
        rows = {
            each.filed_as: store.evaluation_rows(BEFORE_TRAINING, f"{ALSO}/{each.filed_as}", "greedy")
            for each in self.held_out.settings.also
        }
        return {label: Evaluation(tuple(map(EvalRow.from_dict, of_label))) for label, of_label in rows.items()}

    async def test(self, model: Model) -> dict[str, Any]:
        """The closing test on the level that was trained on most, before and after: a part of the summary.

        Args:
            model: that training began with.
        """
        name_of_level, level = self._most_trained_level()
        # The weights of each side are read now, and nothing is trained any more.
        give_back_freed_memory()
        sides: list[dict[str, Evaluation]] = []
        for name, measured in (("before", model), ("after", model.trained(self._keeping.model_to_use))):
            # Not kept: beside everything else that a run holds, another copy may be one too many.
            await self._engine.load_weights(measured.weights().items(), self._position.step)
            self._engine.forget()
            sides.append(await self.held_out.test(level, name))
        # Both or none: a test that was stopped begins again when the run is resumed.
        for step, side in zip((BEFORE_TRAINING, self._position.step - 1), sides, strict=True):
            for decoding, result in side.items():
                self._records.evaluation(step, "test", decoding, result)
                self._records.store.record_evaluation_rows(
                    step, "test", decoding, [row.to_dict() for row in result.rows]
                )
        self._records.store.commit()
        trained_on = self._records.store.trained_task_ids()
        return {"level": name_of_level, **BeforeAfter(*sides, trained_on=trained_on).to_dict()}

    def _most_trained_level(self) -> tuple[str, LevelSettings]:
        """Name and dials; the easiest where several were trained on equally."""
        counts = Counter(self._position.groups_by_level)
        return max(self._curriculum.named_levels(), key=lambda level: counts[level[0]])


def _level_score(part: Evaluation) -> str:
    """The share solved of one level, or its mean reward."""
    if part.lacks_verdicts("strict"):
        return f"{statistics.fmean(part.rewards('strict').values()):.3f}"
    return f"{part.accuracy('strict').value:.0%}"
