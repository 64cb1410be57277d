"""A run's evaluation of itself: on validation tasks as it goes, and on test tasks before and after."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

import pydantic

from assay.config import Settings
from assay.curriculum import LevelSettings
from assay.engines.engine import Engine, Sampling
from assay.environments import Environment, choose_tasks, require_tasks, rewards_of
from assay.environments.file_environment import FileEnvironment
from assay.errors import DataError
from assay.evaluation.also import AlsoMeasured
from assay.evaluation.evaluate import evaluate
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.render.renderer import Renderer
from assay.rollout.limits import EpisodeLimits
from assay.scaffolds import Plain, Scaffold
from assay.types import Score, Split, Task
from assay.verifiers import AnyVerifier, Verifier, check_all_gold, check_gold
from assay.verifiers.left_out import left_out_tasks

DECODINGS: Mapping[str, float] = {"greedy": 0.0, "sampled": 1.0}
"""Name to temperature: the ways in which the closing test decodes."""
SEED = 0
"""Held-out tasks, and their samples, are the same ones in every run, whatever its seed."""
MIN_TEST_TOKENS = 64
"""The closing test's token limit is generous, so that a talkative model is not failed by it."""
GOLD_SECONDS = 60.0
"""Seconds within which the gold answers of a file are checked before a run."""


class EvaluationSettings(Settings):
    """Held-out measurement, during the run and at its end."""

    every_steps: int = pydantic.Field(default=10, ge=0)
    """Steps between validations; 0 for none (then the last weights are the best)."""
    validation_tasks: int = pydantic.Field(default=96, ge=1)
    """Validation tasks, spread evenly over the curriculum's levels; decoded greedily, read strictly."""
    probe_samples: int = pydantic.Field(default=0, ge=0)
    """Attempts at each validation task at temperature 1, beside the greedy one, so that `assay trajectories` can tell
    pass@1 from pass@k; 0 for none. Each costs as much as a validation."""
    test_tasks: int = pydantic.Field(default=256, ge=0)
    """Test tasks on the level that was trained on most, before and after; 0 leaves the test out."""
    test_samples: int = pydantic.Field(default=1, ge=1)
    """Attempts at each test task at temperature 1, beside the greedy one, before and after; with several the report
    tells decoding and sharpening from new solutions, and has pass@k. Each costs as much as the greedy test."""
    test_max_new_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Token limit in the test, for both sides; None for that of sampling, and at least 64."""
    also: tuple[AlsoMeasured, ...] = ()
    """Other environments that are measured before, during and after training, in pairs: names with settings
    ("units", "chain:horizon=4"), or tables as in `[[environments]]`."""
    also_tasks: int = pydantic.Field(default=64, ge=2)
    """Test tasks of each of them, the same each time; decoded greedily."""
    also_every_steps: int | None = pydantic.Field(default=None, ge=0)
    """Steps between their measurements; None for as often as validations, 0 for before and after training only."""
    strict: AnyVerifier | None = None
    """The strict reading of held-out answers; None for the reward."""
    lenient: AnyVerifier | None = None
    """The lenient reading beside it; None for the environment's, or the reward's own, where there is one."""

    @pydantic.model_validator(mode="after")
    def _labels_differ(self) -> Self:
        labels = [each.filed_as for each in self.also]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"also: two environments are filed as {twice[0]!r}; give one of them a label of its own")
        if not self.also and self.also_every_steps is not None:
            raise ValueError("also_every_steps has no effect without also, the environments that it is about")
        return self

    @property
    def also_every(self) -> int:
        """Steps between measurements of other environments; 0 for before and after only."""
        return self.every_steps if self.also_every_steps is None else self.also_every_steps


class HeldOut:
    """Measures the weights that the engine has, on tasks that are never trained on.

    Args:
        readings: reading to verifier; "strict" is among them.
        levels: those of the curriculum.
        sampling: as in training; validation has its token limit, and all have its stop strings.
        engine: may be left out where the tasks are checked and nothing is measured.
        progress: called with what is measured, samples done, and samples in all.
        seconds_per_test_task: as it stood in the run that is resumed.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        environment: Environment,
        readings: Mapping[str, Verifier],
        levels: Sequence[LevelSettings],
        sampling: Sampling,
        *,
        engine: Engine | None = None,
        renderer: Renderer,
        limits: EpisodeLimits = EpisodeLimits(),  # noqa: B008, frozen
        scaffold: Scaffold = Plain(),  # noqa: B008, frozen
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
        seconds_per_test_task: float = 0.0,
    ) -> None:
        self.settings = settings
        self.on_score: Callable[[Task, str, Score], None] = lambda task, response, score: None
        """Told of each task as it is measured: the response, and its score under the strict reading."""
        self.seconds_per_test_task = seconds_per_test_task
        """Reckoned for one task of the closing test, from the slowest validation so far."""
        self._environment = environment
        self._readings = readings
        self.test_max_new_tokens = settings.test_max_new_tokens or max(MIN_TEST_TOKENS, sampling.max_new_tokens)
        self._levels = levels
        self._sampling = sampling
        self._engine = engine
        self._renderer = renderer
        self._limits = limits
        self._scaffold = scaffold
        self._progress = progress
        self._validation_tasks: list[Task] = []
        self._also_tasks: dict[str, list[Task]] = {}
        self._others_seconds = 0.0
        """The longest that one measurement of all other environments has taken in this process."""
        self.examples: list[Task] = []
        """A training task of each level, easiest first; known from `check_tasks` on."""
        self.sizes = ""
        """The number of held-out tasks, and where they are fewer than asked for, in a sentence; known from
        `check_tasks` on."""

    async def check_tasks(self, reward: Verifier, *, gold_seconds: float = GOLD_SECONDS) -> str:
        """Chooses the validation tasks. Every level has tasks in the splits that are used, and the verifiers accept
        their gold answers: of training tasks those of the first 32, and of a file's those of all, where that is cheap.

        Args:
            gold_seconds: after which no more of a file's gold answers are checked.

        Returns:
            What was not checked, in a sentence; empty where all was.

        Raises:
            DataError: an empty split, or an answer that its own verifier rejects.
        """
        asked = self.settings.validation_tasks
        per_level = math.ceil(asked / len(self._levels))
        self._validation_tasks, self.examples = [], []
        fewest_test = self.settings.test_tasks
        seen: set[str] = set()
        for level in self._levels:
            first = list(itertools.islice(self._tasks("train", level), 32))
            self.examples.append(first[0])
            await check_gold(reward, first, leaves_out=True)
            # Levels may share tasks (a sum of two terms is also one of sums and differences): each counts once.
            fresh = (task for task in self._tasks("validation", level) if task.task_id not in seen)
            validation = list(itertools.islice(fresh, per_level))
            seen |= {task.task_id for task in validation}
            for verifier in self._readings.values():
                await check_gold(verifier, [*validation, *self._test_tasks(level)], leaves_out=True)
            validation = [task for task in validation if task.task_id not in left_out_tasks()]
            fewest_test = min(fewest_test, len(self._test_tasks(level)))
            self._validation_tasks += validation
        num_validation = _of(len(self._validation_tasks), asked) if self.settings.every_steps else "no"
        self.sizes = (
            f"held out: {num_validation} validation tasks, {_of(fewest_test, self.settings.test_tasks)} test tasks"
        )
        if num := len(left_out_tasks()):
            self.sizes += f"; {num} tasks left out, whose reference program returns what no test can look at"
        await self._check_also()
        return await self._check_file(reward, gold_seconds)

    async def _check_also(self) -> None:
        """Choose the tasks of other environments: the first of their test splits, whose gold answers pass."""
        for each in self.settings.also:
            source = each.environment.to_measure()
            tasks = choose_tasks(source, "test", [each.level], self.settings.also_tasks, SEED)
            if len(tasks) < 2:
                raise DataError(f"evaluation.also: {each.filed_as} has {len(tasks)} test tasks; an interval needs two")
            for verifier in rewards_of(source).values():
                await check_gold(verifier, tasks, leaves_out=True)
            self._also_tasks[each.filed_as] = [task for task in tasks if task.task_id not in left_out_tasks()]

    async def _check_file(self, reward: Verifier, seconds: float) -> str:
        """The gold answers of all training tasks, where a file has them: those of a generator have no end."""
        if not isinstance(self._environment, FileEnvironment):
            return ""
        tasks = list({task.task_id: task for level in self._levels for task in self._tasks("train", level)}.values())
        began = time.monotonic()

        def progress(done: int, total: int) -> None:
            if time.monotonic() - began > 1:
                self._progress("gold answers", done, total)

        num_checked = await check_all_gold(reward, tasks, seconds=seconds, progress=progress)
        if num_checked == len(tasks):
            return ""
        return (
            f"{num_checked} of {len(tasks)} gold answers were checked in {seconds:g} s; one of the others that "
            f"{reward.name} cannot read would end the run. All of them: assay check env {self._environment.name}"
        )

    def tasks(self) -> list[Task]:
        """Return every task of the environment that the run measures itself on. `check_tasks` comes first."""
        return [*self._validation_tasks, *(task for level in self._levels for task in self._test_tasks(level))]

    async def validate(self) -> Evaluation:
        """Greedy answers to the validation tasks, read strictly. `check_tasks` comes first."""
        began = time.monotonic()
        limit = self._sampling.max_new_tokens
        result = await self._measure(
            self._validation_tasks, {"strict": self._readings["strict"]}, 0.0, limit, "validation"
        )
        # Answers that were cut off may use all of the test's larger limit.
        counts = [row.num_tokens or 0 for row in result.rows]
        tokens = sum(counts)
        cut_off = sum(count >= limit for count in counts)
        expected = tokens + cut_off * max(0, self.test_max_new_tokens - limit)
        seconds = (time.monotonic() - began) * expected / max(tokens, 1) / len(result.rows)
        self.seconds_per_test_task = max(self.seconds_per_test_task, seconds)
        return result

    async def probe(self) -> Evaluation | None:
        """Several answers to each validation task at temperature 1, read strictly; None where none are asked for."""
        if not self.settings.probe_samples:
            return None
        verifiers = {"strict": self._readings["strict"]}
        return await self._measure(
            self._validation_tasks,
            verifiers,
            DECODINGS["sampled"],
            self._sampling.max_new_tokens,
            "validation, sampled",
            samples_per_task=self.settings.probe_samples,
        )

    async def test(self, level: LevelSettings, side: str) -> dict[str, Evaluation]:
        """Decoding to evaluation, over the test tasks of a level, under both readings.

        Args:
            side: "before" or "after", for the progress display.
        """
        tasks, limit = self._test_tasks(level), self.test_max_new_tokens
        return {
            decoding: await self._measure(
                tasks,
                self._readings,
                temperature,
                limit,
                f"test, {side}, {decoding}",
                samples_per_task=self.settings.test_samples if temperature else 1,
            )
            for decoding, temperature in DECODINGS.items()
        }

    async def others(self, when: str) -> dict[str, Evaluation]:
        """Label to evaluation of the other environments, greedily, under each of their readings. `check_tasks` comes
        first.

        Args:
            when: for the progress display.
        """
        began, found = time.monotonic(), dict[str, Evaluation]()
        for each in self.settings.also:
            source = each.environment.to_measure()
            found[each.filed_as] = await self._measure(
                self._also_tasks[each.filed_as],
                rewards_of(source),
                DECODINGS["greedy"],
                self.test_max_new_tokens,
                f"{each.filed_as}, {when}",
                environment=source,
            )
        self._others_seconds = max(self._others_seconds, time.monotonic() - began)
        return found

    @property
    def test_seconds(self) -> float:
        """Estimated seconds of the closing test, both sides of it, and of the other environments."""
        num_answers = self.settings.test_tasks * (1 + self.settings.test_samples)
        return 2 * num_answers * self.seconds_per_test_task + self._others_seconds

    def _test_tasks(self, level: LevelSettings) -> list[Task]:
        if not self.settings.test_tasks:
            return []
        return list(itertools.islice(self._tasks("test", level), self.settings.test_tasks))

    def _tasks(self, split: Split, level: LevelSettings) -> Iterator[Task]:
        dials = {"complexity": level.complexity, "horizon": level.horizon}
        tasks = self._environment.tasks(split, **dials, seed=SEED)
        return require_tasks(tasks, self._environment, split, **dials)

    async def _measure(
        self,
        tasks: Sequence[Task],
        verifiers: Mapping[str, Verifier],
        temperature: float,
        max_new_tokens: int,
        what: str,
        samples_per_task: int = 1,
        environment: Environment | None = None,
    ) -> Evaluation:
        if self._engine is None:
            raise ValueError("an engine is needed to measure: this one was made to check its tasks alone")
        environment = environment or self._environment
        num_done = itertools.count(1)
        self._progress(what, 0, samples_per_task * len(tasks))

        def ended(row: EvalRow) -> None:
            strict = row.scores.get("strict")
            if strict is not None:
                self.on_score(tasks[row.task_index], row.response, strict)
            self._progress(what, next(num_done), samples_per_task * len(tasks))

        return await evaluate(
            tasks,
            engine=self._engine,
            renderer=self._renderer,
            verifiers=verifiers,
            sampling=Sampling(temperature=temperature, max_new_tokens=max_new_tokens, stop=self._sampling.stop),
            seed=SEED,
            samples_per_task=samples_per_task,
            make_episode=self._scaffold.episodes(environment),
            max_turns=self._scaffold.turns(environment),
            limits=self._limits,
            on_row=ended,
        )


def _of(there: int, asked: int) -> str:
    """Return the number of tasks found, and the number asked for where that is more."""
    return f"{there} of {asked}" if there < asked else str(there)
