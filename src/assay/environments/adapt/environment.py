"""The adapt environment: what is asked can only be learned inside the episode."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from assay.environments.adapt import bandit, code, sorting
from assay.environments.adapt.trials import Trials
from assay.environments.dials import Generated, numbered_tasks
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.script import Script
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task, Tool

Kind = Literal["sorting", "code", "bandit"]
MAX_COMPLEXITY, MAX_HORIZON = 4, 16
_MAX_TRIALS = 16
"""No stretch of any kind is longer."""


class Adapt(Generated):
    """Rules that are hidden, change without notice, and can only be learned inside the episode.

    - `sorting`: cards and piles; one feature decides the pile. Complexity 1 to 4: 2 features of 3 values, 3 of 3, 3 of
      4, 4 of 4.
    - `code`: a code and how near each guess is. Complexity: 2 letters out of 4, 3 of 4, 3 of 6, 4 of 6.
    - `bandit`: machines whose pay drifts. Complexity: 2, 3, 4, 5 machines.

    Horizon, 1 to 16, is the number of hidden rules (codes) that an episode has, one after the other. The rules of the
    test split are in no task of the others. The reward is the mean over all trials of what each gained; a task is
    solved where all late trials of every rule were right. The score's parts hold the curve over a rule's trials.
    """

    max_complexity: ClassVar[int] = MAX_COMPLEXITY
    max_horizon: ClassVar[int] = MAX_HORIZON
    horizon_unit: ClassVar[str] = "rules"

    name: Literal["adapt"] = "adapt"
    rules: Kind = "sorting"
    """Kind of the hidden rules."""
    feedback: bool = True
    """False for the control in which nothing is said about what a trial came to: the same tasks, which can then not be
    learned. What a model scores there it knew before, or guessed."""
    pays_turns: bool = False
    """True to pay each turn its trial's part of the episode's reward."""

    @property
    def max_turns(self) -> int:
        return MAX_HORIZON * _MAX_TRIALS

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""

        def make(number: int) -> Task | None:
            rng = random.Random(derive_seed(self.name, self.rules, split, complexity, horizon, number))
            world = _KINDS[self.rules].drawn(complexity, horizon, split, rng)
            return None if world is None else self._task(complexity, horizon, world)

        return numbered_tasks(make, derive_seed(seed, self.name, self.rules, split, complexity, horizon))

    def _task(self, complexity: int, horizon: int, world: Mapping[str, Any]) -> Task:
        prompt = [_opening(self.rules, complexity, world)]
        if not self.feedback:
            prompt.append("You are not told whether you are right.")
        canonical = f"{self.rules} {complexity} {_text(world)}"
        return Task(
            self.name,
            (Message("user", "\n".join([" ".join(prompt), _trials(self.rules, complexity, world).show()])),),
            answer=canonical,
            complexity=complexity,
            horizon=horizon,
            metadata={"canonical": canonical, "world": world},
        )

    def episode(self, task: Task) -> Episode:
        trials = _trials(self.rules, int(task.complexity or 1), task.metadata["world"])
        return AdaptEpisode(task, trials, self.feedback, self.pays_turns)

    def expert(self, task: Task) -> Script | None:
        """One that learns from the feedback; None without."""
        return AdaptScript(_KINDS[self.rules].expert(int(task.complexity or 1))) if self.feedback else None

    def weak(self, task: Task) -> Script:
        """Names the piles or machines in turn, or the same code again and again."""
        return AdaptScript(_Blind(self.rules, int(task.complexity or 1), task.prompt[0].content))


@dataclass
class AdaptEpisode(Episode):
    """Trial by trial: a move, what it came to, the next trial. A message without a legal move is a trial lost."""

    task: Task
    _trials: Trials
    _feedback: bool = True
    _pays_turns: bool = False

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        before = self._trials.gained
        played = self._trials.play(message.content)
        gained = (self._trials.gained - before) / self._trials.num_trials
        reward = gained if self._pays_turns else None
        if self._trials.over:
            return EpisodeStep(reward=reward, done=True)
        said = [played.illegal, played.result if self._feedback else "", self._trials.show()]
        return EpisodeStep((Message("user", "\n".join(filter(None, said))),), reward, state=self._trials.state)

    async def score(self) -> Score:
        return self._trials.score()


class Mover(Protocol):
    """A script's moves, from what is shown last."""

    def move(self, shown: str) -> str: ...


@dataclass
class AdaptScript:
    """A script that reads the last message alone, and remembers."""

    _mover: Mover

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        return Message("assistant", self._mover.move(messages[-1].content))


class _Blind:
    def __init__(self, rules: Kind, complexity: int, prompt: str) -> None:
        if rules == "code":
            length, _ = code.SHAPES[complexity]
            self._moves = [prompt.split(" out of ")[1][0] * length]
        else:
            count = sorting.SHAPES[complexity][1] if rules == "sorting" else bandit.NUM_MACHINES[complexity]
            self._moves = list(bandit.MACHINES[:count])

    def move(self, shown: str) -> str:
        self._moves.append(self._moves.pop(0))
        return self._moves[-1]


@dataclass(frozen=True)
class _KindParts:
    drawn: Any
    trials: Any
    expert: Any


_KINDS: Mapping[str, _KindParts] = {
    "sorting": _KindParts(sorting.drawn, sorting.Sorting, sorting.SortingExpert),
    "code": _KindParts(code.drawn, code.CodeBreaking, code.CodeExpert),
    "bandit": _KindParts(bandit.drawn, bandit.Bandit, bandit.BanditExpert),
}


def _trials(rules: Kind, complexity: int, world: Mapping[str, Any]) -> Trials:
    return _KINDS[rules].trials(complexity, world)


def _opening(rules: Kind, complexity: int, world: Mapping[str, Any]) -> str:
    if rules == "code":
        return code.opening(complexity, world)
    return sorting.opening(complexity) if rules == "sorting" else bandit.opening(complexity)


def _text(world: Mapping[str, Any]) -> str:
    return repr(world).replace(" ", "")
