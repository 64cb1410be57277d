"""Learners whose transfer and forgetting are known, in place of models: what a matrix must find again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from assay.evaluation import EvalRow, Evaluation
from assay.evaluation.transfer import ArmResults
from assay.types import Score


def evaluation(solved: Sequence[bool]) -> Evaluation:
    """An evaluation of tasks 0, 1, ..., one answer each, read strictly."""
    score = (Score.failed("wrong"), Score.solved())
    return Evaluation(
        tuple(
            EvalRow(
                task_id=f"task-{index}",
                task_index=index,
                sample=0,
                domain="",
                level="c1 h1",
                complexity=1.0,
                horizon=1.0,
                prompt="",
                answer="",
                response="",
                ending="finished",
                num_tokens=1,
                scores={"strict": score[each]},
            )
            for index, each in enumerate(solved)
        )
    )


class SimulatedTransfer:
    """Models that solve each task of an environment with its own probability, which training moves.

    Args:
        gains: arm to environment to the true gain.
        start: mean probability before training.
        between_seeds: standard deviation of a seed's gain about the true one.
    """

    def __init__(
        self,
        gains: Mapping[str, Mapping[str, float]],
        *,
        num_tasks: int = 96,
        num_seeds: int = 3,
        start: float = 0.4,
        between_seeds: float = 0.03,
        seed: int = 0,
    ) -> None:
        generator = np.random.default_rng(seed)
        environments = list(next(iter(gains.values())))
        # Tasks differ in difficulty, and are the same before and after.
        chances = {name: start + generator.uniform(-0.25, 0.25, num_tasks) for name in environments}

        def play(name: str, gain: float) -> Evaluation:
            return evaluation((generator.random(num_tasks) < chances[name] + gain).tolist())

        self.base = {name: play(name, 0.0) for name in environments}
        self.arms = [
            ArmResults(
                arm,
                (arm,) if arm in environments else tuple(environments),
                {
                    seed: {name: play(name, gain + generator.normal(0, between_seeds)) for name, gain in of_arm.items()}
                    for seed in range(num_seeds)
                },
            )
            for arm, of_arm in gains.items()
        ]
        self.environments = environments
