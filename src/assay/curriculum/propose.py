"""A curriculum of tasks that the model sets for itself: it proposes some, an executor settles their truth, and those
that are neither trivial nor hopeless are kept.

Zhao et al. 2025, "Absolute Zero: Reinforced Self-play Reasoning with Zero Data", https://arxiv.org/abs/2505.03335: one
policy proposes and solves, is shown its own earlier tasks, and is paid for proposals by how often they are solved. A
step here is theirs in one: some groups propose, all others attempt, what was just proposed first. So a task's solved
share is that of groups which are trained on anyway; no further attempts are made to estimate it (`run/proposing.py`).

Differs: the default reward is the learnability p (1 - p) (see `curriculum.learnability`), by its unbiased estimate;
theirs, 1 - p where 0 < p < 1, is the option "difficulty". Doubles are refused; R-Zero
(https://arxiv.org/abs/2508.05004) lowers their reward instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.arms import ArmCurriculum, drawn
from assay.curriculum.curriculum import CurriculumSettings, require_verdict
from assay.curriculum.learnability import learnability
from assay.environments import Environment
from assay.environments.mixture import Mixture
from assay.errors import ConfigError
from assay.observe.metrics import metric
from assay.seeds import derive_seed, uniform
from assay.types import PROPOSAL, Group, Task, Verdict

HELD = metric("propose/buffer_count", "Proposed tasks that the curriculum holds.")
HELD_SOLVED = metric(
    "propose/buffer_solved_share",
    "Mean solved share of the held tasks at their last attempts; those not tried left out.",
)
HELD_LEVEL = metric("propose/buffer_level_share/NAME", "Share of the held tasks that are of this level.")
FROM = {
    source: metric(f"propose/from_{source}_share", f"Share of the step's groups of attempts at {what}.")
    for source, what in (
        ("proposals", "tasks proposed in this step"),
        ("buffer", "tasks proposed before"),
        ("given", "given tasks, for want of proposed ones"),
    )
}


class Propose(CurriculumSettings):
    """A curriculum of tasks that the policy itself proposes."""

    name: Literal["propose"] = "propose"
    groups: int = Field(default=1, ge=1)
    """Groups of each step that propose; every rollout of them proposes one task."""
    shown: int = Field(default=4, ge=1)
    """Tasks that a proposing group is shown: half of them held ones that were sometimes solved, as far as there are
    some, the others given ones, so that proposals stay near the levels."""
    capacity: int = Field(default=256, ge=1)
    """Number of proposed tasks held; beyond it the oldest goes."""
    memory: int = Field(default=4096, ge=1)
    """Number of the last accepted tasks that are not accepted again."""
    reward: Literal["learnability", "difficulty", "none"] = "learnability"
    """What a proposal earns by the share p of attempts at it that succeed: "learnability" 4 p (1 - p), unbiased;
    "difficulty" 1 - p where 0 < p < 1, else 0; "none": proposals are not trained on."""

    @property
    def min_group_size(self) -> int:
        return 2

    @property
    def needs_verdicts(self) -> bool:
        return True

    def begin(self, environment: Environment, seed: int) -> ProposeCurriculum:
        return ProposeCurriculum(self, environment, seed)


@dataclass
class _Held:
    """A proposed task."""

    index: int
    """Index of the arm whose place it takes."""
    task: Task
    solved: float | None = None
    """Solved share of its last attempts; None where none was measured."""


class ProposeCurriculum(ArmCurriculum):
    """Hands out proposing tasks while `asking`, and attempts otherwise: at the tasks accepted in this step, in their
    order, then at held ones, then at given ones.

    Raises:
        ConfigError: an environment whose tasks cannot be proposed.
    """

    def __init__(self, settings: Propose, environment: Environment, seed: int) -> None:
        super().__init__(settings, environment, seed)
        found = None if isinstance(environment, Mixture) else environment.proposals()
        if found is None:
            raise ConfigError(
                f"the curriculum 'propose' knows no way to propose tasks of {environment.name}; use an environment "
                "that has one (arithmetic, chain, outputs, or yours with a method `proposals`)"
            )
        self.proposals = found
        self.asking = False
        """True while the sampler collects proposals."""
        self.settings = settings
        self._fresh: list[_Held] = []
        """Tasks accepted in this step and not handed out yet."""
        self._held: dict[str, _Held] = {}
        """Task id to what is known of it, the oldest first."""
        self._known: dict[str, None] = {}
        """Normal forms of the last accepted tasks, the oldest first."""
        self._sources: Counter[str] = Counter()
        """Groups of attempts of this step, by where their tasks are from."""
        self._told: dict[str, float] = {}
        self._shows = derive_seed(seed, "curriculum", "shown")
        self._picks = derive_seed(seed, "curriculum", "held")

    def scores(self) -> list[float | None]:
        return [None for _ in self.arms]

    def choose(self, group_id: int) -> tuple[int, Task]:
        index = drawn(self.probabilities(), uniform(self._draws, group_id))
        if self.asking:
            return index, self.proposals.ask(self._to_show(group_id, index))
        if self._fresh:
            held, source = self._fresh.pop(0), "proposals"
            self._held[held.task.task_id] = held
        else:
            under_way = {task.task_id for _, task in self._issued.values()}
            free = [held for task_id, held in self._held.items() if task_id not in under_way]
            if not free:
                self._sources["given"] += 1
                return index, self.arms[index].tasks.draw()
            held, source = free[int(uniform(self._picks, group_id) * len(free))], "buffer"
        self._sources[source] += 1
        return held.index, held.task

    def _to_show(self, group_id: int, index: int) -> list[Task]:
        """Held tasks that were sometimes solved, drawn without repeats, and after them given ones."""
        good = [held.task for held in self._held.values() if held.solved is not None]
        seed = derive_seed(self._shows, group_id)
        order = sorted(range(len(good)), key=lambda place: uniform(seed, place))
        shown = [good[place] for place in order[: self.settings.shown // 2]]
        return shown + [self.arms[index].tasks.draw() for _ in range(self.settings.shown - len(shown))]

    def accept(self, task: Task, group_id: int) -> bool:
        """Take a proposed task, to be attempted in this step; False where it is one of the last accepted."""
        normal = str(task.metadata["canonical"])
        if normal in self._known:
            return False
        self._known[normal] = None
        while len(self._known) > self.settings.memory:
            del self._known[next(iter(self._known))]
        self._fresh.append(_Held(self._issued[group_id][0], task))
        return True

    def learn(self, index: int, group: Group, version: int) -> None:
        require_verdict(group, "propose")
        # As it was issued: what stands between, such as a scaffold, may have marked the group's.
        held = self._held.get(group.task.task_id)
        counts = attempts(group)
        if PROPOSAL in group.task.metadata or held is None or counts[1] < 2:
            return
        held.solved = counts[0] / counts[1]
        if held.solved in (0.0, 1.0):
            del self._held[group.task.task_id]

    def observe(self, groups: Iterable[Group]) -> None:
        """Takes note of a step: of what was accepted in it, tasks that nobody attempted are held to be attempted
        later."""
        super().observe(group for group in groups if PROPOSAL not in group.task.metadata)
        self._held |= {held.task.task_id: held for held in self._fresh}
        self._fresh = []
        while len(self._held) > self.settings.capacity:
            del self._held[next(iter(self._held))]
        total = self._sources.total()
        self._told = {name: self._sources[source] / total for source, name in FROM.items()} if total else {}
        self._sources.clear()

    def metrics(self) -> dict[str, float]:
        """Where the step's tasks came from, what is held, and of which levels."""
        solved = [held.solved for held in self._held.values() if held.solved is not None]
        levels = Counter(held.task.level.replace(" ", "_") for held in self._held.values())
        return {
            **self._told,
            HELD: float(len(self._held)),
            HELD_SOLVED: math.fsum(solved) / len(solved) if solved else math.nan,
            **{HELD_LEVEL.replace("NAME", name): count / levels.total() for name, count in sorted(levels.items())},
        }

    def own_state(self) -> dict[str, Any]:
        def listed(some: Iterable[_Held]) -> list[Any]:
            return [[held.index, held.task.to_dict(), held.solved] for held in some]

        return {"held": listed(self._held.values()), "fresh": listed(self._fresh), "known": list(self._known)}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        held, fresh = (
            [_Held(index, Task.from_dict(task), solved) for index, task, solved in state[name]]
            for name in ("held", "fresh")
        )
        self._held, self._fresh = {each.task.task_id: each for each in held}, fresh
        self._known = dict.fromkeys(state["known"])


def attempts(group: Group) -> tuple[int, int]:
    """Return the number of solved attempts, and of those with a verdict."""
    solved = [score.verdict is Verdict.SOLVED for score in group.scores if score.has_verdict]
    return sum(solved), len(solved)


def proposal_reward(num_solved: int, num_attempts: int, kind: Literal["learnability", "difficulty"]) -> float:
    """Return what a proposal earns of whose attempts k of n succeeded.

    "learnability": 4 k (n - k) / (n (n - 1)), whose mean is 4 p (1 - p). "difficulty": 1 - k / n where 0 < k < n, else
    0 (Zhao et al. 2025, https://arxiv.org/abs/2505.03335).

    Raises:
        ValueError: fewer than two attempts.

    Example:
        >>> [round(proposal_reward(k, 4, "learnability"), 3) for k in range(5)]
        [0.0, 1.0, 1.333, 1.0, 0.0]
        >>> [proposal_reward(k, 4, "difficulty") for k in range(5)]
        [0.0, 0.75, 0.5, 0.25, 0.0]
    """
    variance = learnability(num_solved, num_attempts)
    if kind == "learnability":
        return 4.0 * variance
    return 1.0 - num_solved / num_attempts if variance else 0.0
