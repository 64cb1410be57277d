"""The arithmetic environment: integer expressions, and chains of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from assay.environments.arithmetic.expression import ExpressionSpace, Shape, Term, canonical_form, expression_text
from assay.environments.arithmetic.permutation import permuted
from assay.environments.arithmetic.proposals import Expressions
from assay.environments.arithmetic.scripts import Calculator, FirstNumber
from assay.environments.environment import Environment, require_tasks
from assay.environments.proposals import Proposals
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Exact, Numeric, Verifier

SHAPES = {
    1: Shape(digits=(1,), terms=2),
    2: Shape(digits=(2,), terms=2),
    3: Shape(digits=(2,), terms=2, subtraction=True),
    4: Shape(digits=(3,), terms=2),
    5: Shape(digits=(2,), terms=3, subtraction=True, negative=True),
    6: Shape(digits=(2, 1), subtraction=True, negative=True),
    7: Shape(digits=(3, 1), subtraction=True, negative=True),
    8: Shape(digits=(2, 2), subtraction=True, negative=True),
    9: Shape(digits=(2, 2), terms=2, subtraction=True, negative=True),
}
"""The complexity dial."""

MAX_HORIZON = 100
DEFAULT_COMPLEXITY = 2
DEFAULT_HORIZON = 1


class Arithmetic(Environment):
    """Integer arithmetic with one right answer.

    Complexity, the first dial, whole numbers:

    | level | bare expression                          | operators | results      | digit operations | tasks          |
    |-------|------------------------------------------|-----------|--------------|------------------|----------------|
    | 1     | two one-digit terms, 3 + 8               | +         |              | 1                | 45             |
    | 2     | two two-digit terms, 37 + 45             | +         |              | 2                | 4,095          |
    | 3     | two two-digit terms, 82 - 45             | + -       | 0 or more    | 2                | 8,190          |
    | 4     | two three-digit terms, 371 + 458         | +         |              | 3                | 405,450        |
    | 5     | three two-digit terms, 37 - 45 + 12      | + -       | any          | 4                | 862,680        |
    | 6     | two digits times one, 37 * 4             | *         |              | 4                | 720            |
    | 7     | three digits times one, 371 * 4          | *         |              | 6                | 7,200          |
    | 8     | two digits times two, 37 * 45            | *         |              | 11               | 4,095          |
    | 9     | two such products, 37 * 45 - 12 * 68     | * + -     | any          | 26               | 25,155,585     |

    Digit operations are those of the schoolbook method; they never fall from one level to the next. Of the two ties,
    level 3 adds a second operator to level 2, and level 6 trades additions of digits for products.

    Horizon, the second dial, is the number of chained steps, 1 to 100. One step is the bare expression. Each further
    step adds to the result so far, or takes from it, as many terms as the bare expression has beyond its first (at
    least one): "Start with 37. Add 45. Then add 12." is level 2 at horizon 2.

    A canonical task is an expression up to the order of its terms and factors. It has a single wording at each setting
    of the dials, is given once by `tasks`, and falls into train, validation or test (80, 10 and 10 of 100) by a hash
    of its canonical form alone: neither a repeat nor a mirrored sum crosses over, nor does a sum that appears at two
    levels, or once bare and once as a chain.
    """

    horizon_unit: ClassVar[str] = "chained operations"
    name: Literal["arithmetic"] = "arithmetic"
    instruction: str = "Answer with just the number."
    """Ends the prompt; empty for none."""
    example: bool = False
    """True to put an exchange about one-digit numbers before the question: it shows the form of an answer, the equation
    "3 + 4 = 7". Those numbers are then asked about nowhere."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The whole response, or with `example` what follows its last "=", and leniently any number of it."""
        return {"strict": Exact(after="=") if self.example else Exact(), "lenient": Numeric(reading="any")}

    def levels(self) -> tuple[tuple[float, float], ...]:
        """Every complexity at one step, and chains of 2, 4 and 8 steps of levels 2 and 3, by digit operations."""
        settings = [(complexity, 1) for complexity in SHAPES]
        settings += [(complexity, horizon) for complexity in (2, 3) for horizon in (2, 4, 8)]
        settings.sort(key=lambda setting: (SHAPES[setting[0]].digit_operations(setting[1]), setting))
        return tuple(settings)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Every task of the split at this setting of the dials, once, in an order fixed by the seed.

        Raises:
            DataError: a dial that is not a whole number in its range, an unknown split, or an empty one.
        """
        if split not in ("train", "validation", "test"):
            raise DataError(f"arithmetic has no split {split!r}; use train, validation or test")
        level = _whole("complexity", DEFAULT_COMPLEXITY if complexity is None else complexity, max(SHAPES))
        steps = _whole("horizon", DEFAULT_HORIZON if horizon is None else horizon, MAX_HORIZON)
        return require_tasks(self._generate(split, level, steps, seed), self, split, level, steps)

    def expert(self, task: Task) -> Script:
        """Reads the terms and adds them up."""
        return Calculator(self.example)

    def weak(self, task: Task) -> Script:
        """Repeats the first number of the question."""
        return FirstNumber()

    def _generate(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        space = ExpressionSpace(SHAPES[complexity], horizon)
        for index in permuted(space.size, derive_seed(seed, self.name, split, complexity, horizon)):
            terms = space.terms_at(index)
            if terms is None or split_of(canonical_form(terms)) != split:
                continue
            if self._is_example(terms, complexity, horizon):
                continue
            yield self._task(terms, complexity, horizon)

    def proposals(self) -> Proposals:
        """Bare expressions, whatever the horizon."""
        return Expressions(SHAPES, lambda terms, level: self._task(terms, level, 1), split_of, self._is_example)

    def _is_example(self, terms: tuple[Term, ...], complexity: int, horizon: int = 1) -> bool:
        """Return True where the exchange before the question shows these terms."""
        return self.example and canonical_form(terms) == canonical_form(_example_terms(SHAPES[complexity], horizon))

    def _task(self, terms: tuple[Term, ...], complexity: int, horizon: int) -> Task:
        shape = SHAPES[complexity]
        return Task(
            domain=self.name,
            prompt=(*self._example(shape, horizon), self._ask(terms, shape, horizon)),
            answer=str(sum(term.value for term in terms)),
            complexity=complexity,
            horizon=horizon,
            metadata={
                "canonical": canonical_form(terms),
                "expression": expression_text(terms),
                "demonstration": self._demonstrate(terms, shape, horizon),
            },
        )

    def _ask(self, terms: tuple[Term, ...], shape: Shape, horizon: int) -> Message:
        return Message("user", f"{_question(terms, shape, horizon)} {self.instruction}".rstrip())

    def _demonstrate(self, terms: tuple[Term, ...], shape: Shape, horizon: int) -> str:
        """The answer in the form that the example shows, or the number alone where there is none."""
        if not self.example:
            return str(sum(term.value for term in terms))
        if horizon == 1:
            return _equation(terms)
        # The first step may have no more than the first term; each further one works on what the last one left.
        steps = [terms[: shape.terms]] if shape.terms > 1 else []
        running, later = sum(term.value for term in terms[: shape.terms]), terms[shape.terms :]
        worked = [_equation(step) for step in steps]
        for start in range(0, len(later), shape.terms_per_step):
            step = later[start : start + shape.terms_per_step]
            left = " ".join(f"{'-' if term.sign < 0 else '+'} {term}" for term in step)
            result = running + sum(term.value for term in step)
            worked.append(f"{running} {left} = {result}")
            running = result
        return ", ".join(worked)

    def _example(self, shape: Shape, horizon: int) -> tuple[Message, ...]:
        if not self.example:
            return ()
        terms = _example_terms(shape, horizon)
        # Chains of any length are shown one of two steps.
        shown = Shape(digits=(1,), terms=2)
        answer = f"{_equation(terms[:2])}, {_equation((Term(1, (7,)), terms[2]))}" if horizon > 1 else _equation(terms)
        return self._ask(terms, shown, min(horizon, 2)), Message("assistant", answer)


def _example_terms(shape: Shape, horizon: int) -> tuple[Term, ...]:
    """3 + 4, or 3 * 4 where terms are products, or 3 + 4 - 2 as a chain."""
    if horizon > 1:
        return Term(1, (3,)), Term(1, (4,)), Term(-1, (2,))
    return (Term(1, (3, 4)),) if len(shape.digits) == 2 else (Term(1, (3,)), Term(1, (4,)))


def _equation(terms: tuple[Term, ...]) -> str:
    return f"{expression_text(terms)} = {sum(term.value for term in terms)}"


def split_of(canonical: str) -> Split:
    """The split that a canonical form is in, whatever the seed, the level or the wording."""
    return hashed_split("arithmetic", canonical)


def _whole(dial: str, value: float, largest: int) -> int:
    if not 1 <= value <= largest or value != int(value):
        raise DataError(f"arithmetic has no {dial} {value:g}; {dial} is a whole number from 1 to {largest}")
    return int(value)


def _question(terms: tuple[Term, ...], shape: Shape, horizon: int) -> str:
    """The bare expression, or the chain in words."""
    if horizon == 1:
        return f"What is {expression_text(terms)}?"
    sentences = [f"Start with {terms[0]}."]
    first_step, later = terms[1 : shape.terms], terms[shape.terms :]
    if first_step:
        sentences.append(f"{_instructions(first_step).capitalize()}.")
    for start in range(0, len(later), shape.terms_per_step):
        sentences.append(f"Then {_instructions(later[start : start + shape.terms_per_step])}.")
    return " ".join([*sentences, "What is the result?"])


def _instructions(terms: tuple[Term, ...]) -> str:
    return " and ".join(f"{'subtract' if term.sign < 0 else 'add'} {term}" for term in terms)
