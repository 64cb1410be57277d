"""Comparisons by simulated raters of what a model answered.

    assay eval MODEL --environment arithmetic --split train --samples 8 ... --output answers
    python recipes/rlhf_vs_rlvr/pairs.py answers pairs.jsonl

Raters prefer a right answer, the less surely the harder the task: the log odds are 3 on two-digit sums (95 % of the
time), 2 on three-digit ones (88 %) and 1 on products (73 %). Of two answers that are both right, or both wrong, they
know nothing and go by length: the log odds of an answer twice as long are -0.2, as `assay prefer stats` finds it in
people's labels of HH-RLHF. Raters are simulated, and the pairs say so.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from assay.environments.arithmetic import Arithmetic
from assay.evaluation import EvalRow
from assay.evaluation.folder import read_rows
from assay.preferences import Pair, write_pairs
from assay.preferences.raters import Candidate, SimulatedRater, simulate_pairs
from assay.types import Message, Task

DIFFICULTY = {2: 0.0, 4: 1.0, 6: 2.0}
"""Difficulty to raters of each complexity."""
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
    """Return comparisons of the answers to each task, the simulated rater's."""
    tasks = tasks_of({int(row.complexity) for row in rows})
    answers: dict[str, list[EvalRow]] = defaultdict(list)
    for row in rows:
        answers[row.task_id].append(row)
    pairs: list[Pair] = []
    for number, (task_id, group) in enumerate(sorted(answers.items())):
        candidates = [
            Candidate((Message("assistant", row.response),), float(row.scores["strict"].value == 1.0)) for row in group
        ]
        complexity = int(group[0].complexity)
        groups = [(tasks[task_id].prompt, candidates, DIFFICULTY[complexity])]
        found = simulate_pairs([RATER], groups, pairs_each=pairs_each, seed=number)
        pairs += [replace(pair, metadata={**pair.metadata, "complexity": complexity}) for pair in found]
    return pairs


def tasks_of(complexities: Iterable[int]) -> dict[str, Task]:
    """Return the training tasks of these complexities by id, as rl.toml asks them."""
    environment = Arithmetic(example=True, instruction="")
    return {
        task.task_id: task
        for level in complexities
        for task in islice(environment.tasks("train", complexity=level), 2000)
    }


def told(complexity: int, pairs: Sequence[Pair]) -> None:
    """Print what the rater did at one complexity."""
    known = [pair for pair in pairs if pair.metadata["quality"][0] != pair.metadata["quality"][1]]
    right = sum(pair.metadata["quality"][int(pair.preference)] == 1.0 for pair in known)
    print(f"complexity {complexity}: {len(pairs)} pairs; {right} of {len(known)} with one right answer preferred it")


if __name__ == "__main__":
    main()
