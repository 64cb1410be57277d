"""Schema: what a text says, filled into a JSON Schema."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.schema.orders import MAX_COMPLEXITY, aside, drawn_order, schema_of, told
from assay.environments.schema.reward import Extracted
from assay.environments.schema.scripts import MEMORY, LimitedReader, json_text, misses
from assay.environments.schema.validator import parse
from assay.environments.script import Says, Script
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier

MAX_HORIZON = 32
_MAX_REPEATS = 1000
_ASK = (
    "Put all orders of the text into one JSON object that is valid under the schema (JSON Schema, draft 2020-12), in "
    "the order of the text. Write the JSON and nothing else."
)


class Schema(Environment):
    """Fill a JSON Schema with what a text says.

    Horizon, 1 to 32, is the number of orders that a text tells of. Complexity, 1 to 4: names and whole numbers; prices
    to the cent, dates and a choice, beside sentences about something else; objects in objects and lists; one of two
    forms, null, and members that are there only where the text has them. The answer must be valid and right in every
    field; numbers are exact decimals, and dates are dates (`validator.py`, docs/concepts/fields.md).
    """

    name: Literal["schema"] = "schema"

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The whole response as JSON, and leniently the JSON found in it."""
        return {"strict": Extracted(), "lenient": Extracted(reading="found")}

    def levels(self) -> tuple[Level, ...]:
        return tuple((float(c), float(h)) for h in (1, 2, 4, 8) for c in range(1, MAX_COMPLEXITY + 1))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level = whole_dial(self.name, "complexity", complexity, 2, MAX_COMPLEXITY)
        orders = whole_dial(self.name, "horizon", horizon, 2, MAX_HORIZON)
        return require_tasks(self._generate(split, level, orders, seed), self, split, level, orders)

    def expert(self, task: Task) -> Script:
        return LimitedReader()

    def weak(self, task: Task) -> Script:
        return Says('{"orders": [{"item": "item", "quantity": 1}]}')

    def limited(self, task: Task) -> Script:
        """Reads four orders, and leaves out what is nested."""
        return LimitedReader(MEMORY, is_flat=True)

    def near_misses(self, task: Task) -> Sequence[str]:
        return misses(task.answer, parse(task.answer))

    def _generate(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        rng = random.Random(derive_seed(seed, self.name, split, complexity, horizon))
        schema = schema_of(complexity)
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            orders = [drawn_order(rng, complexity) for _ in range(horizon)]
            answer = json_text({"orders": orders})
            if answer in seen or hashed_split(self.name, answer) != split:
                repeats += 1
                continue
            seen.add(answer)
            repeats = 0
            sentences: list[str] = []
            for order in orders:
                sentences.append(told(order, rng))
                if complexity >= 2 and rng.random() < 0.5:
                    sentences.append(aside(rng))
            text = f"{' '.join(sentences)}\n\nThe schema:\n{json.dumps(schema)}\n{_ASK}"
            yield Task(
                domain=self.name,
                prompt=(Message("user", text),),
                answer=answer,
                complexity=complexity,
                horizon=horizon,
                metadata={"canonical": answer, "schema": schema},
            )
