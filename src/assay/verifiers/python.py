"""The python verifier: a reward that is a plain function."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, SupportsFloat

from assay.components import load_module, module_file
from assay.errors import ConfigError, FailureKind, VerifierError, classify
from assay.types import Rollout, Score, SolvedAt, Task
from assay.verifiers.verifier import Verifier

_OWN = Path(__file__).parent
"""Frames of files in here are not where somebody else's function failed."""


class PythonReward(Verifier):
    """Calls `reward(response, answer)` of yours; it returns a finite number, True or False, or a whole `Score`.

    With `per = "group"` it is called with all responses to one task, `reward(responses, answer)`, and returns a list: a
    reward that compares them, such as one for the shortest right answer. Outside training it is shown one at a time.

    The function runs in this process, so it must treat the response as hostile: parse it, bound it, never evaluate it.
    It is not told whether the response was cut off at a limit. An ordinary function blocks the loop while it runs;
    write `async def` for one that waits.
    """

    name: Literal["python"] = "python"
    function: str
    """The function's place: "path/to/file.py:reward" or "package.module:reward"."""
    per: Literal["response", "group"] = "response"
    """The unit that one call scores: a response, or a whole group."""
    solved_at: SolvedAt = 1.0
    """Rewards from here on count as solved. "none": a reward is a number and says no verdict."""
    gold_format: str = "{answer}"
    """The response that the gold answer makes, such as "The answer is {answer}"; it must be solved, and a run checks
    this before it starts. Empty for a reward that no answer is sure to earn: then nothing is checked, nor where the
    data has no answers or nothing is solved."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        return function_files(self.function)

    @cached_property
    def reward(self) -> Callable[[Any, str], Any]:
        """The function, loaded at first use.

        Raises:
            ConfigError: no such file, module or function.
        """
        return load_function(self.function)

    @property
    def gives_verdicts(self) -> bool:
        return self.solved_at != "none"

    @property
    def compares(self) -> bool:
        return self.per == "group"

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if self.compares:
            return (await self.score_group([rollout], task))[0]
        return self._score(await self._ask(rollout.response, task), task)

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        values = await self._ask([rollout.response for rollout in rollouts], task)
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(rollouts):
            raise VerifierError(
                f"{self.function} returned {repr(values)[:200]} for task {task.task_id}; "
                f"return a list of {len(rollouts)}, one for each response"
            )
        return [self._score_member(value, task) for value in values]

    async def _ask(self, shown: str | list[str], task: Task) -> Any:
        reward = self.reward
        try:
            value = reward(shown, task.gold_text)
            if inspect.isawaitable(value):
                return await value
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            raise VerifierError(f"{what_raised(self.function, error)} for task {task.task_id}") from error
        return value

    def _score_member(self, value: object, task: Task) -> Score:
        """One member's nonsense costs no other its score."""
        try:
            return self._score(value, task)
        except VerifierError as error:
            return Score.not_measured(str(error)[:500])

    def _score(self, value: object, task: Task) -> Score:
        if isinstance(value, Score):
            return value
        number = finite(value)
        if number is None:
            raise VerifierError(
                f"{self.function} returned {repr(value)[:200]} for task {task.task_id}; "
                "return a finite number, a bool or a Score"
            )
        return Score.at(number, self.solved_at, "low reward")

    def gold_response(self, task: Task) -> str | None:
        if not self.gives_verdicts or not self.gold_format or ("{answer}" in self.gold_format and not task.answer):
            return None
        return self.gold_format.replace("{answer}", task.answer)


def finite(value: object) -> float | None:
    """The number that a value is; None where it is none, or not a finite one."""
    if not isinstance(value, SupportsFloat):
        return None
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def what_raised(function: str, error: Exception) -> str:
    """Return what a function of somebody else's raised, and where: "rewards.py:right raised KeyError: 'x' (rewards.py,
    line 7, in right)". The place is the last one in the function's own file, else the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(_OWN)]
    own_file = Path(function.rpartition(":")[0]).name
    there = [frame for frame in theirs if Path(frame.filename).name == own_file] or theirs
    place = f" ({there[-1].filename}, line {there[-1].lineno}, in {there[-1].name})" if there else ""
    return f"{function} raised {type(error).__name__}: {error}{place}"


def missing_parameters(function: Callable[..., Any], given: Iterable[str]) -> list[str]:
    """Parameters that a function must be given by name and that are not among these, in its order."""
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and parameter.name not in given
    ]


def accepted(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the named arguments that a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(given)
    return {parameter.name: given[parameter.name] for parameter in parameters if parameter.name in given}


def function_files(function: str) -> dict[str, list[Path]]:
    """Return the function's place with its file; empty where there is none that can be found."""
    place = function.rpartition(":")[0]
    file = module_file(place) if place else None
    return {place: [file]} if file is not None and file.is_file() else {}


def load_function(function: str) -> Callable[..., Any]:
    """The function at "path/to/file.py:name" or "package.module:name".

    Raises:
        ConfigError: no such file, module or function.
    """
    place, _, attribute = function.rpartition(":")
    if not place or not attribute:
        raise ConfigError(f"function {function!r}: expected path/to/file.py:name or package.module:name")
    module = load_module(place)
    found = getattr(module, attribute, None)
    if not callable(found):
        functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(
            f"{place} has no function {attribute!r}; it has: {', '.join(functions) or 'no function at all'}"
        )
    return found
