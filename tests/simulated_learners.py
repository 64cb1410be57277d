"""Models whose skill is known, in cells of worlds that are none: what a map must find again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assay.evaluation import EvalRow
from assay.evaluation.map import MapCell, MapEpisode
from assay.types import Message, Score, Task


def make_cells(environment: str, complexities: Sequence[float], horizons: Sequence[float], num: int) -> list[MapCell]:
    return [
        MapCell(
            environment,
            complexity,
            horizon,
            tuple(
                Task(environment, (Message("user", f"{complexity} {horizon} {i}"),), "", complexity, horizon)
                for i in range(num)
            ),
        )
        for complexity in complexities
        for horizon in horizons
    ]


class Learners:
    """Models whose chance of solving a task, and whose tokens for it, are known."""

    def __init__(
        self, chances: dict[str, Callable[[Task], float]], tokens: Callable[[Task], int], seed: int = 0
    ) -> None:
        self.chances, self.tokens, self.seed = chances, tokens, seed
        self.num_played = 0
        self.kept: dict[tuple[str, str], EvalRow] = {}

    async def play(self, model: str, episodes: Sequence[MapEpisode]) -> list[EvalRow]:
        return [self._row(model, episode.task, episode.position) for episode in episodes]

    def _row(self, model: str, task: Task, position: int) -> EvalRow:
        if (model, task.task_id) not in self.kept:
            self.num_played += 1
            luck = np.random.default_rng([self.seed, int(task.task_id, 16) % 2**31, len(model)]).random()
            score = Score.solved() if luck < self.chances[model](task) else Score.failed("wrong")
            self.kept[model, task.task_id] = EvalRow(
                task_id=task.task_id,
                task_index=position,
                sample=0,
                domain=task.domain,
                level=task.level,
                complexity=task.complexity,
                horizon=task.horizon,
                prompt="",
                answer="",
                response="",
                ending="finished",
                num_tokens=self.tokens(task),
                scores={"strict": score},
            )
        return self.kept[model, task.task_id]
