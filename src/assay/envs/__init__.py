"""Worlds that rollouts happen in. An environment speaks messages, is used once, and is made anew for each rollout."""

from __future__ import annotations

from assay.envs.check import check_env
from assay.envs.env import Env, EnvFactory, EnvStep, SingleTurn
from assay.envs.retry import SecondTry
from assay.errors import ConfigError

ENVS: dict[str, EnvFactory] = {"single_turn": SingleTurn, "second_try": SecondTry}
"""Every environment by the name a recipe gives it."""


def make_env(name: str) -> EnvFactory:
    """The factory of the environment of this name.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in ENVS:
        raise ConfigError(f"unknown environment {name!r}; known: {', '.join(ENVS)}")
    return ENVS[name]


__all__ = ["ENVS", "Env", "EnvFactory", "EnvStep", "SecondTry", "SingleTurn", "check_env", "make_env"]
