"""The dispatch environment: a world that does not wait, neither for turns nor for thoughts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pydantic

from assay.environments.dials import Generated, numbered_tasks
from assay.environments.dispatch.day import MINUTES_AT_LEAST, MINUTES_PER_ROUND, OTHER_VAN, Day, drawn
from assay.environments.dispatch.scripts import FirstOnTheList, Planner
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.moves import plain, read_word
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task

MAX_COMPLEXITY, MAX_HORIZON = 4, 9
_MAX_CHARACTERS_COUNTED = 1_000_000


class Dispatch(Generated):
    """Send a van to jobs that come, expire and change on a clock that runs with turns and with characters written.

    A turn takes a minute, and one more for each `characters_per_minute` characters of its message, thoughts included;
    then a job takes its own minutes. A job pays its worth if it is finished in time. Horizon, 1 to 9, is the length of
    the day: 4 minutes and 6 for each. Complexity: few jobs (1), more (2), another van that takes the best open job
    every 5 minutes (3), and jobs whose worth and time change (4).

    The reward is what was earned over the target, which the prompt names: what a plan that is made anew each turn, of
    the jobs shown, earns with short messages. A task is solved where the target is reached; more than 1 can be earned.
    """

    max_complexity: ClassVar[int] = MAX_COMPLEXITY
    max_horizon: ClassVar[int] = MAX_HORIZON
    listed_horizons: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    horizon_unit: ClassVar[str] = "stretches of six minutes"

    name: Literal["dispatch"] = "dispatch"
    characters_per_minute: int = pydantic.Field(default=60, ge=10)
    """Characters of a message that take a minute to write, about 15 tokens of English; a message's first minute is the
    turn's own."""
    pays_turns: bool = False
    """True to pay each turn what its job paid, over the target."""

    @property
    def max_turns(self) -> int:
        return MINUTES_AT_LEAST + MINUTES_PER_ROUND * MAX_HORIZON

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""

        def make(number: int) -> Task | None:
            world = drawn(complexity, horizon, random.Random(derive_seed(self.name, complexity, horizon, number)))
            if hashed_split(self.name, repr(world)) != split:
                return None
            target = _earned(world, self._task(complexity, horizon, world, 0), Planner())
            task = self._task(complexity, horizon, world, target)
            # Where taking the first job on the list earns as much, there is nothing to plan.
            return task if _earned(world, task, FirstOnTheList()) < target else None

        return numbered_tasks(make, derive_seed(seed, self.name, split, complexity, horizon))

    def _task(self, complexity: int, horizon: int, world: Mapping[str, Any], target: int) -> Task:
        others = " Another van takes jobs too." if complexity >= OTHER_VAN else ""
        text = (
            "Send a van to jobs: say do and a letter, or wait. A job pays its worth if done by its time. A message "
            f"takes 1 minute, plus 1 per {self.characters_per_minute} characters.{others} Earn {target} or more.\n"
            f"{_shown(Day.of(world))}"
        )
        return Task(
            self.name,
            (Message("user", text),),
            answer=f"earn {target} of: {world['jobs']}",
            complexity=complexity,
            horizon=horizon,
            metadata={"canonical": repr(world), "world": world, "target": target},
        )

    def episode(self, task: Task) -> Episode:
        return DispatchEpisode(task, self.characters_per_minute, self.pays_turns)

    def expert(self, task: Task) -> Script:
        """Plans anew each turn, of the jobs that are shown, and says no more than its move."""
        return Planner()

    def weak(self, task: Task) -> Script:
        """Does the job that came first."""
        return FirstOnTheList()


def _shown(day: Day) -> str:
    lines = [f"Minute {day.time} of {day.end}. Earned {day.earned}."]
    lines += [f"{job.name}: {job.minutes} min, by {job.by}, worth {job.worth}" for job in day.open] or ["No jobs."]
    return "\n".join(lines)


def _earned(world: Mapping[str, Any], task: Task, script: Script) -> int:
    """Return what a script earns whose messages take no time to write."""
    day = Day.of(world)
    shown = task.prompt
    while not day.over:
        text = script.reply(shown, ()).content
        day.pass_minutes(1)
        _decide(day, text)
        shown = (Message("user", _shown(day)),)
    return day.earned


def _decide(day: Day, text: str) -> tuple[str, int]:
    """Carry a message's decision out, and return what came of it, and what it paid."""
    if day.over:
        return "", 0
    name = _job_named(text)
    if name is None:
        waits = read_word(text, ("wait",)) is not None
        return ("" if waits else "Say do and a job's letter, such as do A, or say wait."), 0
    if name not in {job.name for job in day.open}:
        return f"{name} is not open.", 0
    paid = day.do(name)
    return (f"{name} paid {paid}." if paid else f"{name} was too late, and paid nothing."), paid


def _job_named(text: str) -> str | None:
    """The one job that a message sends the van to: "do A" in any sentence, or nothing but the letter."""
    said = plain(text)
    alone = re.fullmatch(r"\W*(?:do\W+)?([a-z])\W*", said, re.IGNORECASE)
    found = {alone[1].upper()} if alone else set(re.findall(r"\b[Dd]o\W+(?:job\W+)?([A-Z])\b", said))
    return found.pop() if len(found) == 1 else None


@dataclass
class DispatchEpisode(Episode):
    """Minute by minute: a message's time, then what it decides, until the day is over."""

    task: Task
    _characters_per_minute: int
    _pays_turns: bool
    _characters: int = field(default=0, init=False)
    _turns: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._day = Day.of(self.task.metadata["world"])

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        length = min(len(message.content), _MAX_CHARACTERS_COUNTED)
        self._characters += length
        self._turns += 1
        self._day.pass_minutes(1 + length // self._characters_per_minute)
        result, paid = _decide(self._day, message.content)
        reward = paid / self.task.metadata["target"] if self._pays_turns else None
        if self._day.over:
            return EpisodeStep(reward=reward, done=True)
        shown = _shown(self._day)
        text = "\n".join(filter(None, [" ".join(filter(None, [result, *self._day.news])), shown]))
        self._day.news.clear()
        return EpisodeStep((Message("user", text),), reward, state=shown)

    async def score(self) -> Score:
        target, earned = self.task.metadata["target"], self._day.earned
        parts = {"earned": float(earned), "characters_per_turn": self._characters / max(1, self._turns)}
        if earned >= target:
            return Score.solved(earned / target, parts=parts)
        return Score.failed("below the target", earned / target, parts=parts)
