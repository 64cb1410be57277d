"""The outputs environment: a small program and a call of it, whose value is to be said. Verified by `code`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

import pydantic

from assay.environments.environment import Environment, require_tasks
from assay.environments.outputs.proposals import OutputPrograms
from assay.environments.programs import Programs
from assay.environments.programs.composer import Composed
from assay.environments.proposals import Proposals
from assay.environments.splits import SPLITS
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.suite import Prediction, Suite
from assay.types import Message, Split, Task
from assay.verifiers import Code, Verifier

QUESTION = "What does the last line return? Answer with the Python value alone."
GIVE_UP_AFTER = 300
"""Known functions in a row after which a level counts as given out."""


class Outputs(Environment):
    """Say what a call of a small Python program returns: CRUXEval's question, on generated programs.

    The programs, their dials and their splits are those of the environment `programs`: complexity is the level of the
    functions, horizon their number, and what a function computes decides its split by a hash, whatever its names. A
    task is a program and one call of its last function; each function is asked about once. The model may also propose
    programs (curriculum `propose`): a sandbox then settles what they return.
    """

    name: Literal["outputs"] = "outputs"
    complexities: tuple[int, ...] = pydantic.Field(default=Programs().complexities, min_length=1)
    """Levels that tables list; the first is the default."""
    horizons: tuple[int, ...] = pydantic.Field(default=(1,), min_length=1)
    """Horizons that tables list; the first is the default."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The value that the response says, compared as a Python literal."""
        return {"strict": Code()}

    def levels(self) -> tuple[tuple[float, float], ...]:
        return self._programs.levels()

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of the split in an order fixed by the seed, until functions repeat themselves.

        Raises:
            DataError: a dial that is not a whole number in its range, or an unknown split.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level, length = self._programs.dials(complexity, horizon)
        return require_tasks(self._generate(split, level, length, seed), self, split, level, length)

    def proposals(self) -> Proposals:
        return OutputPrograms(self._task)

    @cached_property
    def _programs(self) -> Programs:
        """The source of programs; what is shown beside a program there is of no use here."""
        return Programs(
            complexities=self.complexities,
            horizons=self.horizons,
            hidden_tests=4,
            shown_tests=0,
            function_names="letters",
        )

    def _generate(self, split: Split, level: int, horizon: int, seed: int) -> Iterator[Task]:
        seen: set[str] = set()
        num_known = 0
        for composed in self._programs.programs(split, level, horizon, derive_seed(seed, self.name, split, level)):
            num_known = num_known + 1 if composed.canonical in seen else 0
            if num_known >= GIVE_UP_AFTER:
                return
            if not num_known:
                seen.add(composed.canonical)
                yield self._given(composed, level, horizon)

    def _given(self, composed: Composed, level: int, horizon: int) -> Task:
        tests = composed.suites[-1].hidden
        # The first ones are at the edges of what is valid, such as empty lists.
        call = tests[derive_seed(self.name, composed.canonical) % len(tests)]
        shown = ", ".join(map(repr, call.arguments))
        facts = {"complexity": level, "horizon": horizon, "metadata": {"canonical": composed.canonical}}
        return self._task(composed.source, call.function, shown, repr(call.expected), **facts)

    def _task(self, source: str, function: str, arguments: str, output: str, **facts: Any) -> Task:
        """A program and a call of it as a task."""
        prediction = Prediction(of="output", code=source, input=arguments, output=output)
        shown = f"```python\n{source.rstrip()}\n\n{function}({arguments})\n```\n{QUESTION}"
        suite = Suite(entry_point=function, prediction=prediction)
        return Task(self.name, (Message("user", shown),), suite.answer, suite=suite, **facts)
