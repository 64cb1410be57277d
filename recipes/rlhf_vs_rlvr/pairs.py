"""Comparisons by simulated raters of what two models answered to the same tasks.

    assay eval MODEL --environment arithmetic --complexity 2,3,4 --split train --samples 4 ... --output answers
    python recipes/rlhf_vs_rlvr/pairs.py answers others-answers pairs.jsonl

Raters are shown one right and one wrong answer, of each task that has both, and prefer the right one, the less surely
the harder the task: the log odds are 3 on sums of two digits (95 % of the time), 2 where there are differences too (88
%), and 1 on sums of three digits (73 %). Beside that they go by length: the log odds of an answer twice as long are
-0.2, as `assay prefer stats` finds it in people's labels of HH-RLHF. Raters are simulated, and the pairs say so.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

from assay.environments.arithmetic import Arithmetic
from assay.evaluation import EvalRow
from assay.evaluation.folder import read_rows
from assay.preferences import Pair, write_pairs
from assay.preferences.raters import Candidate, SimulatedRater
from assay.seeds import derive_seed
from assay.types import Message, Task

DIFFICULTY = {2: 0.0, 3: 1.0, 4: 2.0}
"""Difficulty to raters of each complexity."""
MOST_TASKS = 2000
"""Tasks of each complexity and seed that answers may be of."""
RATER = SimulatedRater(log_odds=3.0, fall=1.0, length=-0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path, nargs="+", help="folders of assay eval")
    parser.add_argument("output", type=Path, help="the comparisons, as JSON lines")
    parser.add_argument("--pairs-each", type=int, default=2, help="most comparisons of a task")
    options = parser.parse_args()
    rows = [row for folder in options.answers for row in read_rows(folder / "rows.jsonl")]
    pairs = judged(rows, options.pairs_each)
    write_pairs(options.output, pairs)
    for complexity in DIFFICULTY:
        told(complexity, [pair for pair in pairs if pair.metadata["complexity"] == complexity])


def judged(rows: Sequence[EvalRow], pairs_each: int) -> list[Pair]:
    """Return comparisons of a right and a wrong answer to each task that has both, the simulated rater's."""
    tasks = tasks_of({int(row.complexity or 0) for row in rows})
    answers: dict[str, dict[str, EvalRow]] = defaultdict(dict)
    for row in rows:
        answers[row.task_id][row.response.strip()] = row
    pairs: list[Pair] = []
    for number, (task_id, group) in enumerate(sorted(answers.items())):
        complexity = int(next(iter(group.values())).complexity or 0)
        right, wrong = (
            [
                Candidate((Message("assistant", row.response),), value)
                for row in group.values()
                if is_right(row) == value
            ]
            for value in (1.0, 0.0)
        )
        couples = list(product(right, wrong))
        random.Random(derive_seed(0, "couples", task_id)).shuffle(couples)
        for place, (one, other) in enumerate(couples[:pairs_each]):
            seed = derive_seed(number, "pair", place)
            pair = RATER.judge(tasks[task_id].prompt, (one, other), seed=seed, difficulty=DIFFICULTY[complexity])
            pairs.append(replace(pair, metadata={**pair.metadata, "complexity": complexity}))
    return pairs


def is_right(row: EvalRow) -> float:
    """Whether an answer is right, by the strict reading: 1 or 0."""
    return float(row.scores["strict"].value == 1.0)


def tasks_of(complexities: Iterable[int]) -> dict[str, Task]:
    """Return training tasks of these complexities by id, as rl.toml asks them: the first of `assay eval --seed` 0 and
    1."""
    environment = Arithmetic(example=True, instruction="")
    found: dict[str, Task] = {}
    for complexity, seed in product(complexities, (0, 1)):
        tasks = islice(environment.tasks("train", complexity=complexity, seed=seed), MOST_TASKS)
        found |= {task.task_id: task for task in tasks}
    return found


def told(complexity: int, pairs: Sequence[Pair]) -> None:
    """Print what the rater did at one complexity."""
    right = sum(pair.metadata["quality"][int(pair.preference)] == 1.0 for pair in pairs)
    print(f"complexity {complexity}: {len(pairs)} pairs; the right answer is preferred in {right}")


if __name__ == "__main__":
    main()
