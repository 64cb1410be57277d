"""Suite: the tests of a programming task, in one of these forms. Files hold it as JSON.

    {"cases": [{"input": "1 2\\n", "output": "3\\n"}]}                            a program from stdin to stdout
    {"tests": ["assert add(1, 2) == 3"], "setup": ""}                            asserts (MBPP)
    {"prompt": "def add(a, b):\\n", "entry_point": "add", "test": "def check..."}  a test file (HumanEval)
    {"entry_point": "add", "calls": [{"arguments": [1, 2], "expected": 3}]}      calls with JSON values
    {"entry_point": "f", "prediction": {"of": "output", "code": "def f...", "input": "1", "output": "2"}}    CRUXEval

They are in `Task.suite` and nowhere else: an environment that wants some of them shown writes them into the prompt.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import pydantic

from assay.config import Settings, validate
from assay.errors import ConfigError, DataError

Language = Literal["python", "cpp"]
Comparison = Literal["exact", "tokens", "floats"]


class InputOutputCase(Settings):
    """One run of the program."""

    input: str = ""
    """The text that the program reads from stdin."""
    output: str = ""
    """The text that it should write to stdout."""


class Call(Settings):
    """One call of the entry point, with values that JSON has."""

    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = pydantic.Field(default_factory=dict)
    expected: Any = None
    """JSON knows one kind of sequence: a tuple counts as the list of its members."""
    wrapped: bool = False
    """True where the one member of `expected` will do as well: APPS has values in lists of one."""


class Referee(Settings):
    """A program that judges: a checker or an interactor."""

    source: str = pydantic.Field(min_length=1)
    language: Language = "python"


class Prediction(Settings):
    """A function, an input and its output, one of which the response must say (CRUXEval)."""

    of: Literal["output", "input"]
    code: str = pydantic.Field(min_length=1)
    input: str = ""
    """Arguments, as Python."""
    output: str = ""
    """As a Python literal."""


def _function_name(entry_point: object) -> object:
    """The name without the class that LeetCode's form has around it."""
    return entry_point.strip().removeprefix("Solution().") if isinstance(entry_point, str) else entry_point


_ENTRY_POINT = re.compile(r"[^\W\d]\w*(?:\(\))?(?:\.[^\W\d]\w*)?")


class Suite(Settings):
    """The tests of one task; exactly one of `cases`, `tests`, `test`, `calls` and `prediction`."""

    cases: tuple[InputOutputCase, ...] = ()
    tests: tuple[str, ...] = ()
    """Asserts, each a statement."""
    test: str = ""
    """A file that defines check(candidate)."""
    calls: tuple[Call, ...] = ()
    prediction: Prediction | None = None
    entry_point: Annotated[str, pydantic.BeforeValidator(_function_name)] = ""
    """The function that is asked for; where empty, the one that the asserts call. A method of this name of a class
    `Solution`, which is made without arguments, will do (LeetCode's form), and "Solution().f" is the same as "f"."""
    prompt: str = ""
    """Code that a response may go on from, for one that does not define the entry point."""
    setup: str = ""
    """Code that runs before `tests`."""
    checker: Referee | None = None
    """Judges each output, in place of a comparison. Gets the paths of input, output and expected output."""
    interactor: Referee | None = None
    """Talks to the program; its stdin is the case's input, then what the program says. Gets the paths of input and
    expected output."""
    comparison: Comparison | None = None
    """The comparison of outputs; None for the verifier's own."""
    tolerance: float | None = pydantic.Field(default=None, ge=0, le=1)
    """For "floats", and for numbers in `calls` where it is given."""
    seconds: float | None = pydantic.Field(default=None, gt=0, le=600)
    """CPU seconds of a test; None for the verifier's own."""
    memory_mb: int | None = pydantic.Field(default=None, ge=16, le=1 << 16)
    """Memory of a test; None for the verifier's own."""
    language: Language | None = None
    """The language of the program; None for the verifier's own."""
    reference: str = ""
    """A program that passes."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        given = [form for form in ("cases", "tests", "test", "calls", "prediction") if getattr(self, form)]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given)} are given: one form is needed"
                if given
                else "there are no tests; give cases, tests, test with entry_point, or calls"
            )
        if (self.test or self.calls or self.prediction) and not self.entry_point:
            raise ValueError(f"{given[0]} needs entry_point, the name of the function that is tested")
        if not self.cases and (self.checker or self.interactor):
            raise ValueError("a checker or interactor judges cases; there are none")
        if self.checker and self.interactor:
            raise ValueError("an interactor gives the verdict itself: leave out checker")
        if self.entry_point and not _ENTRY_POINT.fullmatch(self.entry_point):
            raise ValueError(
                f"entry_point {self.entry_point!r} is no name of a function nor of a method (Solution().f)"
            )
        return self

    @property
    def answer(self) -> str:
        """The value that a prediction asks for, else the reference; empty where there is neither."""
        if self.prediction is None:
            return self.reference
        return self.prediction.output if self.prediction.of == "output" else self.prediction.input

    def fenced_reference(self, language: Language = "python") -> str:
        """Return the reference in a fence, as a response has it; empty where there is none. `language` is that of the
        program where the suite says none."""
        if not (program := self.reference.strip("\r\n").rstrip()):
            return ""
        runs = (len(list(run)) for character, run in itertools.groupby(program) if character == "`")
        fence = "`" * max(3, 1 + max(runs, default=0))
        return f"{fence}{self.language or language}\n{program}\n{fence}"

    def to_dict(self) -> dict[str, Any]:
        """Return the suite as JSON data: only what differs from the defaults, in a fixed order."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def to_json(self) -> str:
        """Return the suite as the text that records and files hold."""
        return json.dumps(self.to_dict(), ensure_ascii=False)


def read_suite(data: Mapping[str, Any], place: str) -> Suite:
    """The tests in plain data.

    Raises:
        DataError: there are none, or something about them is wrong; names `place`.
    """
    try:
        return validate(Suite, _pairs_read(data) if {"inputs", "outputs"} <= data.keys() else data)
    except (ConfigError, ValueError) as error:
        raise DataError(f"{place}: {str(error)[:400]}") from None


def _pairs_read(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with cases or calls in the place of two lists: {"inputs": [...], "outputs": [...], "fn_name": "f"}, as
    APPS has them, and verl's rows. An input of a function is a list of arguments, or a text with one as JSON a line.

    Raises:
        ValueError: the lists are none, or of different lengths.
    """
    rest = {key: value for key, value in data.items() if key not in ("inputs", "outputs", "fn_name")}
    inputs, outputs, name = data["inputs"], data["outputs"], data.get("fn_name")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError("inputs and outputs are not two lists of one length")
    pairs = list(zip(inputs, outputs, strict=True))
    if not name:
        return {**rest, "cases": [{"input": _text(given), "output": _text(expected)} for given, expected in pairs]}
    calls = []
    for given, expected in pairs:
        if isinstance(given, str):
            arguments = [_json(line) for line in given.split("\n") if line.strip()]
            calls.append({"arguments": arguments, "expected": _json(expected)})
        else:
            calls.append({"arguments": given, "expected": expected, "wrapped": True})
    return {**rest, "entry_point": name, "calls": calls}


def _text(value: object) -> str:
    """Return the text that is read or printed: a list is its lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else str(value)


def _json(value: object) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except RecursionError:
        raise ValueError("a value that is nested too deep") from None
