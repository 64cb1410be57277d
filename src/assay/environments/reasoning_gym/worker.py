"""reasoning-gym inside a worker process (see `pool`): makes entries, and asks a family's own scorer about a response.

Nothing else imports reasoning_gym: its generators may hang, and its scorers were written for friendly text. Four of
them hand the response to `eval` and five to sympy's parser, which evaluates it too; here `eval` reads literals only,
and the parser is given nothing but plain formulas. Where a scorer also pays wrong answers, `exact` has the last
word.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import logging
import math
import random
import re
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.environments.reasoning_gym.exact import NOT_EXACTLY_SCORED, is_readable, solves_exactly
from assay.environments.reasoning_gym.numbers import MAX_FORMULA

CHUNK = 500
"""Entries of one dataset of the library: some of its families make them all at once, so there is a dataset a chunk."""
JUNK = (
    "",
    " ",
    "?",
    "xyzzy",
    "I do not know.",
    "The answer is what was asked for, as everybody can see who looks at the question.",
    "{not an answer}",
    "xyzzy " * 50,
)
"""Responses that answer nothing. What a scorer pays for the best of them, it pays for no answer."""
BATCH_SECONDS = 2.0
BATCH_CHARACTERS = 200_000
"""Characters after which `entries` returns what it has, as after `BATCH_SECONDS`: a worker's reply is bounded."""

_EVALUATES = (
    "algorithmic.string_insertion",
    "algorithmic.spiral_matrix",
    "algorithmic.binary_matrix",
    "games.n_queens",
)
"""Modules whose scorers call `eval` on the response."""
_PARSES = ("games.countdown", "games.puzzle24")
"""Modules that took sympy's parser by its name; the others look it up in sympy."""
_RUNS_CODE = ("codeio",)
"""Families whose answers come from programs of all sorts, some with a clock or random numbers of their own."""
_EXAMPLES = ("possible_answer", "example_answer", "example_correct_answer")
"""Metadata keys under which a family that has no one answer keeps a right answer."""
_FUNCTIONS = re.compile(r"a?(?:sin|cos|tan)h?|sec|csc|cot|exp|log|ln|sqrt|pi|Abs")
_FORMULA = re.compile(r"[0-9A-Za-z.+\-*/^(),=\s]*")
_ATTRIBUTE = re.compile(r"\.(?!\d)")
_WORD = re.compile(r"[A-Za-z]+")


def warm_up() -> None:
    """Loads the library, less its two ways of running a response as code."""
    import sympy

    if importlib.util.find_spec("pycosat") is None:
        # The one dependency that needs a C compiler, and one family uses it: the others need not wait for it.
        sys.modules["pycosat"] = _Missing("pycosat")
    import reasoning_gym

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name in _EVALUATES:
        vars(sys.modules[f"{reasoning_gym.__name__}.{name}"])["eval"] = ast.literal_eval
    guarded = _formulas_only(sympy.parse_expr)
    sympy.parse_expr = guarded
    for name in _PARSES:
        vars(sys.modules[f"{reasoning_gym.__name__}.{name}"])["parse_expr"] = guarded


def is_formula(text: str) -> bool:
    """Return True for a text of numbers, letters, known functions and operators only: no attribute, string or other
    call."""
    return (
        len(text) <= MAX_FORMULA
        and _FORMULA.fullmatch(text) is not None
        and _ATTRIBUTE.search(text) is None
        and all(len(word) == 1 or _FUNCTIONS.fullmatch(word) for word in _WORD.findall(text))
    )


def serve(call: str, **arguments: Any) -> Any:
    """Call one of the functions below by name; the worker pool calls this."""
    calls = {"families": families, "levels": levels, "entries": entries, "score": score, "compare": compare}
    return calls[call](**arguments)


def families() -> dict[str, list[str]]:
    """Every registered family, with the options that its configuration has."""
    from reasoning_gym.factory import DATASETS

    return {
        family: sorted(set(configuration.__dataclass_fields__) - {"seed", "size"})
        for family, (_, configuration) in sorted(DATASETS.items())
    }


def levels(family: str) -> list[dict[str, Any]]:
    """{"sets", "problem"} of each level of a family's curriculum, easiest first: the options that it sets, and why the
    family refuses them ("" where it does not). Empty where the family has no curriculum."""
    from reasoning_gym.factory import CURRICULA, create_curriculum

    if family not in CURRICULA:
        return []
    attributes = create_curriculum(family).attributes.values()
    found = []
    for level in range(max(len(attribute.levels) for attribute in attributes)):
        sets, problem = _options_of(family, level), ""
        try:
            _dataset(family, "{}", level, 0)
        except Exception as error:
            problem = _shown(error)
        found.append({"sets": json.loads(json.dumps(sets, default=str)), "problem": problem})
    return found


def entries(
    family: str, options: Mapping[str, Any], level: int | None, seed: int, start: int, count: int
) -> list[dict[str, Any]]:
    """Entries from `start` on of a dataset of `CHUNK`: `count` of them, or fewer where they take long; at least one.

    Returns:
        {"question", "answer"} of each that can be used; {"problem"} of each that cannot: there is none, its own scorer
        rejects its gold answer, its answer is empty, or it has no gold answer and its scorer accepts anything.
    """
    found: list[dict[str, Any]] = []
    began, size = time.monotonic(), 0
    for index in range(start, min(start + count, CHUNK)):
        try:
            entry = _entry(family, json.dumps(options), level, seed, index)
            problem = entry.problem
            if family in _RUNS_CODE and _make(family, json.dumps(options), level, seed, index).gold != entry.gold:
                problem = "another answer each time it is made"
        except Exception as error:
            found.append({"problem": f"no entry: {_shown(error)}"})
            continue
        found.append({"problem": problem} if problem else {"question": entry.question, "answer": entry.gold})
        size += len(entry.question)
        if time.monotonic() - began > BATCH_SECONDS or size > BATCH_CHARACTERS:
            break
    return found


def score(
    family: str, options: Mapping[str, Any], level: int | None, seed: int, index: int, entry: str, response: str
) -> dict[str, Any]:
    """Score a response with the family's scorer, beside junk and the gold answer.

    Args:
        entry: `entry_hash` of what the task was made from.

    Returns:
        {"score": None where the scorer raised, "raised": what it raised, "junk": the best score of `JUNK`, "gold": the
        score of the gold answer, None without one}; {"mismatch": True} where the entry is now another one.
    """
    made = _entry(family, json.dumps(options), level, seed, index)
    if entry_hash(made.question, made.gold) != entry:
        return {"mismatch": True}
    value, raised = made.score(response)
    return {"score": value, "raised": raised, "junk": made.junk_score, "gold": made.gold_score}


def compare(
    family: str, options: Mapping[str, Any], level: int | None, seed: int, index: int, entry: str, responses: list[str]
) -> list[list[bool]]:
    """[whether the family's own scorer gives 1.0, whether the response is solved here too] of the first responses: of
    as many as there is time for, at least one."""
    made = _entry(family, json.dumps(options), level, seed, index)
    if entry_hash(made.question, made.gold) != entry:
        raise ValueError("the entry cannot be made again")
    found: list[list[bool]] = []
    began = time.monotonic()
    for response in responses:
        paid, solved = ((ask(response)[0] or 0.0) >= 1.0 for ask in (made.ask, made.score))
        found.append([paid, solved and family not in NOT_EXACTLY_SCORED])
        if time.monotonic() - began > BATCH_SECONDS:
            break
    return found


def entry_hash(question: str, answer: str) -> str:
    """Names an entry in a task's metadata, so that one that was made again is known to be the same."""
    return hashlib.sha256(json.dumps([question, answer]).encode()).hexdigest()[:16]


@dataclass
class _Entry:
    """One entry of a dataset, and what its scorer is worth."""

    family: str
    dataset: Any
    data: dict[str, Any]

    @property
    def question(self) -> str:
        return str(self.data["question"])

    @functools.cached_property
    def gold(self) -> str:
        """The answer of the entry, or the first example of one that its scorer accepts; "" where there is none."""
        candidates = list(self._candidates())
        accepted = (text for text in candidates if (self.score(text)[0] or 0.0) >= 1.0)
        return next(accepted, candidates[0] if candidates else "")

    @functools.cached_property
    def gold_score(self) -> float | None:
        return self.score(self.gold)[0] if self.gold else None

    @functools.cached_property
    def junk_score(self) -> float:
        """The most that the scorer pays for no answer."""
        scores = [self.score(junk)[0] for junk in JUNK if junk.strip() != self.gold.strip()]
        return max([value for value in scores if value is not None], default=0.0)

    @property
    def problem(self) -> str:
        """The reason why no task can be made of the entry; "" where one can."""
        if self.gold:
            if self.gold_score is not None and self.gold_score >= 1.0:
                return ""
            value = self.ask(self.gold)[0]
            inexact = value is not None and value >= 1.0
            return "its gold answer is wrong" if inexact else f"its own scorer gives its gold answer {value}"
        if (self.score(str(self.data["answer"] or ""))[0] or 0.0) >= 1.0:
            return "its answer is empty, which is no response"
        return "no gold answer, and a scorer that accepts anything" if self.junk_score >= 1.0 else ""

    def score(self, response: str) -> tuple[float | None, str]:
        """Return what `ask` returns, but 0 where the scorer gives full marks to a wrong response."""
        value, raised = self.ask(response)
        if value is not None and value >= 1.0 and not solves_exactly(self.family, self.data, response):
            return 0.0, ""
        return value, raised

    def ask(self, response: str) -> tuple[float | None, str]:
        """The scorer's number, or None and what it raised."""
        if not is_readable(self.family, response):
            return 0.0, ""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                # A copy: a scorer that changes its entry must not change the next verdict.
                value = float(self.dataset.score_answer(answer=response, entry=_copy(self.data)))
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            return None, _shown(error)
        return (value, "") if math.isfinite(value) else (None, f"gave {value}")

    def _candidates(self) -> Iterator[str]:
        answer = self.data["answer"]
        if answer is not None and str(answer).strip():
            yield str(answer)
        for key in _EXAMPLES:
            example = self.data["metadata"].get(key)
            if example:
                yield example if isinstance(example, str) else json.dumps(example)


@functools.lru_cache(maxsize=1024)
def _entry(family: str, options: str, level: int | None, seed: int, index: int) -> _Entry:
    return _make(family, options, level, seed, index)


def _make(family: str, options: str, level: int | None, seed: int, index: int) -> _Entry:
    dataset = _dataset(family, options, level, seed)
    # For generators that draw from the global stream.
    random.seed(seed + index)
    with contextlib.redirect_stdout(io.StringIO()):
        return _Entry(family, dataset, dataset[index])


@functools.lru_cache(maxsize=16)
def _dataset(family: str, options: str, level: int | None, seed: int) -> Any:
    from reasoning_gym.factory import create_dataset

    settings = {**({} if level is None else _options_of(family, level)), **json.loads(options)}
    with contextlib.redirect_stdout(io.StringIO()):
        return create_dataset(family, **settings, seed=seed, size=CHUNK)


def _options_of(family: str, level: int) -> dict[str, Any]:
    """The options that a level of the family's curriculum sets: every attribute at that level, or at its last.

    Ranges reach from the first level to this one, as in the library's own default.
    """
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext
    from reasoning_gym.factory import create_curriculum

    curriculum = create_curriculum(family)
    curriculum.set_global_level(level)
    context = DefaultCurriculumContext()
    options: dict[str, Any] = {}
    for attribute in curriculum.attributes.values():
        value: Any = context.get_attr_value(curriculum, attribute)
        if hasattr(attribute, "field_name"):
            options[attribute.field_name] = value  # pyright: ignore[reportAttributeAccessIssue]
        else:
            ends = value if isinstance(value, list | tuple) else [value]
            options[attribute.lower_field_name] = min(ends)  # pyright: ignore[reportAttributeAccessIssue]
            options[attribute.upper_field_name] = max(ends)  # pyright: ignore[reportAttributeAccessIssue]
    return options


def _formulas_only(parse: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(text: str, *arguments: Any, **options: Any) -> Any:
        if not is_formula(text):
            raise ValueError("not a plain formula")
        return parse(text, *arguments, **options)

    return guarded


def _copy(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    return [_copy(value) for value in data] if isinstance(data, list) else data


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


class _Missing(types.ModuleType):
    """A module that stands for a library that is not installed, until somebody uses it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"{self.__name__} is not installed; with a C compiler: pip install {self.__name__}")
