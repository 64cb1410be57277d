"""Our side of a whole step: the loop itself, one step for each line on standard input.

Usage: side_step.py SETTINGS RUN_FOLDER FORCED

FORCED is 1 where every response is as long as the limit. A line is JSON; with "evaluate", the path of held-out tasks,
the share that the model then solves comes with the answer. That takes no part in the step's seconds.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.config import validate
from assay.engines import Sampling
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.recipe import RunConfig
from assay.run import Run, StepDone
from assay.types import Task
from side import PREFIX, last_number_is_right


class Gate:
    """Lets a run make a step when it is told to, and says how long it took."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = 0.0
        self._job: dict[str, Any] = {}

    def steps(self, steps: Iterator[int]) -> Iterator[int]:
        for step in steps:
            line = sys.stdin.readline()
            if not line:
                return
            self._job = json.loads(line)
            self._began = time.perf_counter()
            yield step

    async def step_done(self, done: StepDone) -> None:
        num_tokens = sum(rollout.num_sampled_tokens for group in done.groups for rollout in group.rollouts)
        answer = {"seconds": time.perf_counter() - self._began, "tokens": num_tokens}
        if path := self._job.get("evaluate"):
            answer["accuracy"] = await self._solved_share(Path(path))
        print(PREFIX + json.dumps(answer), flush=True)

    async def _solved_share(self, path: Path) -> float:
        """Of held-out tasks, answered greedily."""
        tasks = [Task.from_dict(json.loads(line)) for line in path.read_text().splitlines()]
        sampling = Sampling(max_new_tokens=self._run.config.sampling.max_new_tokens, temperature=0.0)
        completions = await asyncio.gather(
            *(
                self._run.engine.generate(
                    self._run.renderer.render(task.prompt), sampling, request_id=f"held-out {i}", seed=i
                )
                for i, task in enumerate(tasks)
            )
        )
        # What was computed for them must not make the next step sooner.
        self._run.engine.forget()
        texts = [self._run.renderer.parse(completion.token_ids).content for completion in completions]
        return sum(last_number_is_right(text, task.answer) for text, task in zip(texts, tasks, strict=True)) / len(
            tasks
        )


def main() -> None:
    config = validate(RunConfig, json.loads(Path(sys.argv[1]).read_text()))
    start = time.perf_counter()
    run = build_run(config, Path(sys.argv[2]), console=Console(stream=io.StringIO(), live=False))
    gate, steps = Gate(run), run.clock.steps
    run.subscribers.append(gate)
    run.clock.steps = lambda: gate.steps(steps())
    if sys.argv[3] == "1":
        # No setting of a run does this: a model that may not end is of use to a benchmark only.
        run.engine._stop_token_ids = frozenset()
    print(PREFIX + json.dumps({"start_seconds": time.perf_counter() - start}), flush=True)
    asyncio.run(train(run))


if __name__ == "__main__":
    main()
