"""Mixture: tasks of several environments, each as often as its weight says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import pydantic

from assay.environments.environment import Environment, require_tasks, rewards_of
from assay.environments.episode import Episode
from assay.environments.named import NamedEnvironment, settings_of
from assay.environments.script import Script
from assay.errors import ConfigError
from assay.seeds import derive_seed, uniform
from assay.types import Split, Task
from assay.verifiers import Verifier
from assay.verifiers.by_environment import ByEnvironment


class MixturePart(NamedEnvironment):
    """One environment of a mixture."""

    weight: float = pydantic.Field(default=1.0, gt=0, allow_inf_nan=False)
    """How often its tasks come, beside the weights of the others."""


class Mixture(Environment):
    """Several environments in one run: `[[environments]]` of a recipe.

    Which environment comes next depends on the seed and the weights alone. An environment whose split has come to its
    end leaves the rest to the others. A task is scored by its own environment's reward, and truncated after its own
    environment's turns.
    """

    name: Literal["mixture"] = "mixture"
    parts: tuple[MixturePart, ...] = pydantic.Field(min_length=1)
    """The environments, each with its weight."""

    @pydantic.model_validator(mode="after")
    def _labels_differ(self) -> Self:
        labels = [part.filed_as for part in self.parts]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"two environments are filed as {twice[0]!r}; give one of them a label of its own")
        return self

    @property
    def domains(self) -> tuple[str, ...]:
        return tuple(part.filed_as for part in self.parts)

    @property
    def max_turns(self) -> int:
        return max(part.environment.max_turns for part in self.parts)

    def turns_of(self, task: Task) -> int:
        part, own = self._own(task)
        return part.environment.turns_of(own)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"{part.filed_as}: {note}" for part in self.parts for note in part.environment.notes)

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """Each environment's own readings; where one has no "lenient" one, its strict one stands for it."""
        own = {part.filed_as: rewards_of(part.environment) for part in self.parts}
        strict = ByEnvironment(verifiers={name: rewards["strict"] for name, rewards in own.items()})
        if not any("lenient" in rewards for rewards in own.values()):
            return {"strict": strict}
        lenient = {name: rewards.get("lenient", rewards["strict"]) for name, rewards in own.items()}
        return {"strict": strict, "lenient": ByEnvironment(verifiers=lenient)}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        streams = {
            part.filed_as: part.environment.tasks(
                split,
                complexity=complexity if part.complexity is None else part.complexity,
                horizon=horizon if part.horizon is None else part.horizon,
                seed=seed,
            )
            for part in self.parts
        }
        return require_tasks(self._mixed(streams, split, seed), self, split, complexity, horizon)

    def _mixed(self, streams: dict[str, Iterator[Task]], split: Split, seed: int) -> Iterator[Task]:
        draws = derive_seed(seed, self.name, split)
        left = {part.filed_as: part.weight for part in self.parts}
        number = 0
        while left:
            label = _drawn(left, uniform(draws, number))
            number += 1
            task = next(streams[label], None)
            if task is None:
                del left[label]
                continue
            yield dataclasses.replace(task, domain=label)

    def episode(self, task: Task) -> Episode:
        part, own = self._own(task)
        return part.environment.episode(own)

    def expert(self, task: Task) -> Script | None:
        part, own = self._own(task)
        return part.environment.expert(own)

    def weak(self, task: Task) -> Script | None:
        part, own = self._own(task)
        return part.environment.weak(own)

    def _own(self, task: Task) -> tuple[MixturePart, Task]:
        """The part that a task is from, and the task as that environment made it."""
        part = next(part for part in self.parts if part.filed_as == task.domain)
        return part, dataclasses.replace(task, domain=part.environment.name)


def _drawn(weights: Mapping[str, float], at: float) -> str:
    """Return the one of the weighted names in whose share a number from 0 to 1 falls."""
    rest = at * sum(weights.values())
    for name, weight in weights.items():
        rest -= weight
        if rest < 0:
            return name
    return list(weights)[-1]


def as_mixture(environments: Any) -> dict[str, Any]:
    """Return the settings of a mixture from a recipe's `[[environments]]`, a list of tables that each hold an
    environment's name and options, `weight` and `label` among them, and the dials in a table `level`; or of texts such
    as "arithmetic:level=2".

    Raises:
        ConfigError: it is no such list.
    """
    if not isinstance(environments, list | tuple) or not environments:
        raise ConfigError('environments: expected tables such as [[environments]] name = "chain"; weight = 2')
    return {"name": "mixture", "parts": [settings_of(each) for each in environments]}
