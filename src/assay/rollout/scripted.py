"""play_script: an episode played by a script, and scored as a model's would be."""

from __future__ import annotations

from dataclasses import dataclass

from assay.engines.engine import Sampling
from assay.environments.environment import Environment
from assay.environments.script import Script
from assay.rollout.runner import run_rollout
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers.score import score_rollout


@dataclass(frozen=True)
class ScriptedResult:
    """An episode that a script played."""

    rollout: Rollout
    score: Score

    @property
    def solved(self) -> bool:
        return self.score.verdict is Verdict.SOLVED

    @property
    def value(self) -> float:
        """The reward; NaN where it was not measured."""
        return float("nan") if self.score.value is None else self.score.value

    @property
    def why(self) -> str:
        """The reason that the score or the ending gives."""
        return self.score.reason or self.rollout.ending.reason or self.rollout.ending.kind.value


async def play_script(environment: Environment, task: Task, script: Script) -> ScriptedResult:
    """Return the episode of a task as a script plays it, as text, scored by the environment's own reward."""
    rollout = await run_rollout(
        task,
        environment.episode,
        script,
        None,
        Sampling(),
        run_seed=0,
        group_id=0,
        member=0,
        max_turns=environment.turns_of,
    )
    return ScriptedResult(rollout, await score_rollout(environment.rewards["strict"], rollout, task))
