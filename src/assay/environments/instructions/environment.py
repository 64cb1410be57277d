"""Instructions: write a text that obeys several constraints at once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.instructions.drawing import drawn_constraints, drawn_request, said_of
from assay.environments.instructions.families import Constraint, is_answer
from assay.environments.instructions.misses import misses
from assay.environments.instructions.reading import AnswerText
from assay.environments.instructions.reward import InstructionsFollowed, constraints_of
from assay.environments.instructions.writer import written
from assay.environments.script import Says, Script
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier

MAX_COMPLEXITY = 8
MEANS = 2
"""Constraints that the script of limited means can keep in mind."""
_MAX_REPEATS = 1000


class Instructions(Environment):
    """A short text on an everyday topic, under constraints of the 25 families of IFEval.

    Complexity, 1 to 8, is the number of constraints, all of different families that go together; there is no horizon.
    Each task was made with a text that obeys all of them, so that they can be obeyed. Solved is the response that obeys
    every one; the share is among the score's parts, and with the verifier's `partial_credit` its value. Which split a
    task is in depends on the request and the constraints, not on their order or wording.

    Zhou et al. 2023, https://arxiv.org/abs/2311.07911; prompts of that paper are the environment `ifeval`.
    """

    name: Literal["instructions"] = "instructions"

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": InstructionsFollowed()}

    def levels(self) -> tuple[Level, ...]:
        return tuple((float(complexity), None) for complexity in (1, 2, 3, 4, 6, 8))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if horizon is not None:
            raise DataError(f"{self.name} has no horizon, and {horizon:g} was asked for; leave it out")
        level = whole_dial(self.name, "complexity", complexity, 2, MAX_COMPLEXITY)
        return require_tasks(self._generate(split, level, seed), self, split, level, None)

    def expert(self, task: Task) -> Script:
        return Says(task.answer)

    def weak(self, task: Task) -> Script:
        return Says(written([], "", random.Random(0)))

    def limited(self, task: Task) -> Script:
        """Obeys the first two constraints of a prompt, and forgets the others."""
        return Says(written(constraints_of(task)[:MEANS], task.metadata["request"], random.Random(task.task_id)))

    def near_misses(self, task: Task) -> Sequence[str]:
        return [each for constraint in constraints_of(task) for each in misses(constraint, task.answer)]

    def _generate(self, split: Split, complexity: int, seed: int) -> Iterator[Task]:
        rng = random.Random(derive_seed(seed, self.name, split, complexity))
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            repeats += 1
            request = drawn_request(rng)
            constraints = drawn_constraints(rng, complexity, request)
            if constraints is None:
                continue
            canonical = _canonical(request, constraints)
            if canonical in seen or hashed_split(self.name, canonical) != split:
                continue
            answer = _answered(constraints, request, rng)
            if answer is None:
                continue
            seen.add(canonical)
            repeats = 0
            yield Task(
                domain=self.name,
                prompt=(Message("user", "\n".join([request, *(f"- {said_of(each)}" for each in constraints)])),),
                answer=answer,
                complexity=complexity,
                metadata={
                    "canonical": canonical,
                    "request": request,
                    "constraints": [each.to_dict() for each in constraints],
                },
            )


def _canonical(request: str, constraints: list[Constraint]) -> str:
    return json.dumps([request, *sorted(json.dumps(each.to_dict(), sort_keys=True) for each in constraints)])


def _answered(constraints: list[Constraint], request: str, rng: random.Random) -> str | None:
    """A text that obeys all constraints; None where the writer finds none."""
    try:
        answer = written(constraints, request, rng)
    except StopIteration:  # it ran out of sentences
        return None
    text = AnswerText(answer)
    return answer if is_answer(text) and all(each.obeyed(text) for each in constraints) else None
