"""Environments: where tasks come from, the world that they happen in, and what earns a reward.

Each has a folder with its tasks, its episodes, its reward, its worker and its check. To add one: make a folder whose
`__init__.py` holds a subclass of `Environment` with the folder's name as its `name`. Nothing else is touched: recipes
and commands find it by that name. One of your own, outside this package, is named by `path/to/file.py:Class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.components import make_component
from assay.environments.check import check_environment
from assay.environments.check_episode import check_episode
from assay.environments.environment import AnyEnvironment, Environment, Level, checked_tasks, require_tasks, rewards_of
from assay.environments.episode import Episode, EpisodeFactory, EpisodeStep, SingleTurn
from assay.environments.proposals import Proposals, RefusedProposalError
from assay.environments.script import Script
from assay.environments.selection import choose_levels, choose_tasks
from assay.environments.tools import ToolEpisode, ToolFailure


def make_environment(name: str, options: Mapping[str, Any] | None = None) -> Environment:
    """The environment of this name or place with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    return make_component(Environment, name, options)


__all__ = [
    "AnyEnvironment",
    "Environment",
    "Episode",
    "EpisodeFactory",
    "EpisodeStep",
    "Level",
    "Proposals",
    "RefusedProposalError",
    "Script",
    "SingleTurn",
    "ToolEpisode",
    "ToolFailure",
    "check_environment",
    "check_episode",
    "checked_tasks",
    "choose_levels",
    "choose_tasks",
    "make_environment",
    "require_tasks",
    "rewards_of",
]
