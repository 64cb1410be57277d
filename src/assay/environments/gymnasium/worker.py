"""Gymnasium in its own interpreter (see assay/adapters/serve.py): one environment of one episode a process."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import random
import re
import sys
from typing import Any

from assay.adapters.plain import RefusedError, canonical, cut, digest

_LARGE = 20_000
"""Characters beyond which an attribute is a table and not what changes."""
_NUMBER = re.compile(r"-?\d+")


def warm_up() -> None:
    """Import the package."""
    import gymnasium  # pyright: ignore[reportMissingImports]  # noqa: F401


class Session:
    """One environment, from its reset to its end."""

    _skipped = frozenset(("spec", "action_space", "observation_space", "metadata", "_np_random_seed"))

    def parts(self) -> list[str]:
        """Return the ids of the environments that come with the package."""
        return sorted(_registry())

    def check(self, part: str) -> str:
        """Return what the model would see and do in an environment."""
        env = _make(part, {}, "")
        _shown(env, *env.reset(seed=0))
        return f"observations are {_kind(env)}, actions {_actions(env)}"

    def open(
        self, id: str, seed: int, options: dict[str, Any], module: str, instruction: str, solved_at: Any
    ) -> dict[str, Any]:
        """Reset the environment; "messages", "state", "start", and "solved_at", the sum of rewards that solves it."""
        random.seed(seed)
        self._env = _make(id, options, module)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(seed % 2**32)
        observation, info = self._env.reset(seed=seed)
        # Spaces that are sampled by the environment itself draw from streams of their own.
        self._env.action_space.seed(seed)
        self._paid, self._ended = 0.0, ""
        shown, start = _shown(self._env, observation, info), digest(canonical(self._parts()))
        spec = self._env.spec
        if solved_at is None and (spec is None or spec.reward_threshold is None):
            raise RefusedError(
                f"{id} of Gymnasium has no reward threshold, so nothing says what solves it; set solved_at to the "
                'least sum of rewards that does, or to "none", with pays = "return", for a number without a verdict'
            )
        self._skipped = self._skipped | {name for name, text in self._parts().items() if len(text) > _LARGE}
        told = instruction or f"Answer with {_actions(self._env)}."
        return {
            "messages": [["user", cut(f"{shown}\n\n{told}")]],
            "state": self._state(),
            "start": start,
            "solved_at": spec.reward_threshold if solved_at is None else solved_at,
        }

    def step(self, reply: str) -> dict[str, Any]:
        """Act; what is no action of the environment is not carried out."""
        if self._ended:
            raise RuntimeError("the environment has ended")
        action, problem = _read(self._env.action_space, reply)
        if problem:
            return {"messages": [["user", problem]], "state": self._state(), "reward": 0.0}
        observation, reward, terminated, truncated, info = self._env.step(action)
        reward = float(reward)
        self._paid += reward
        if terminated or truncated:
            self._ended = "terminated" if terminated else "truncated"
            return {"done": True, "reward": reward}
        return {
            "messages": [["user", cut(_shown(self._env, observation, info))]],
            "reward": reward,
            "state": self._state(),
        }

    def outcome(self) -> dict[str, Any]:
        """Return "paid", the sum of all rewards, and "ended", how it ended: empty where it did not."""
        return {"paid": self._paid, "ended": self._ended}

    def _state(self) -> str:
        return digest(canonical(self._parts()))

    def _parts(self) -> dict[str, str]:
        """The state of the environment in text, by attribute."""
        return {
            name: canonical(value) for name, value in vars(self._env.unwrapped).items() if name not in self._skipped
        }


def _registry() -> dict[str, Any]:
    import gymnasium  # pyright: ignore[reportMissingImports]

    return gymnasium.registry


def _make(id: str, options: dict[str, Any], module: str) -> Any:
    import gymnasium  # pyright: ignore[reportMissingImports]
    from gymnasium import spaces  # pyright: ignore[reportMissingImports]

    try:
        if module.endswith(".py"):
            if not os.path.isfile(module):
                raise RefusedError(f"module={module!r}: there is no such file")
            spec = importlib.util.spec_from_file_location("assay_registers", module)
            assert spec is not None
            assert spec.loader is not None
            found = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = found
            spec.loader.exec_module(found)
        elif module:
            importlib.import_module(module)
        env = gymnasium.make(id, **options)
        if not isinstance(env.observation_space, spaces.Text) and "render_mode" not in options:
            if "ansi" not in env.metadata.get("render_modes", ()):
                raise RefusedError(
                    f"{id} of Gymnasium shows {type(env.observation_space).__name__}, and cannot be drawn as text (no "
                    'render mode "ansi"): a model of language cannot see it; wrap its observations as text'
                )
            env.close()
            env = gymnasium.make(id, **options, render_mode="ansi")
    except RefusedError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        lacking = re.search(r"No module named '([\w.]+)'", text)
        if lacking or "is not installed" in text:
            what = lacking[1].split(".")[0] if lacking else "gymnasium[...]"
            raise RefusedError(
                f"{id} of Gymnasium lacks a package ({text}): run {sys.executable} -m pip install {what}"
            ) from None
        raise RefusedError(
            f"Gymnasium does not make {id!r}: {type(error).__name__}: {text}; assay adapters check gymnasium lists "
            "what it has, and the option module names the module that registers your own"
        ) from None
    if not isinstance(env.action_space, spaces.Text | spaces.Discrete):
        raise RefusedError(
            f"the actions of {id} are {type(env.action_space).__name__}; a reply is read as Text or as a Discrete "
            "number: wrap its actions"
        )
    return env


def _read(space: Any, reply: str) -> tuple[Any, str]:
    """The action that a reply stands for, or what is wrong with it."""
    from gymnasium import spaces  # pyright: ignore[reportMissingImports]

    if isinstance(space, spaces.Text):
        text = reply.strip()
        if space.contains(text):
            return text, ""
        return (
            None,
            f"{text[:80]!r} is no action here: it is a text of {space.min_length} to {space.max_length} characters",
        )
    numbers = _NUMBER.findall(reply)
    last = int(space.start) + int(space.n) - 1
    if len(set(numbers)) == 1 and int(space.start) <= int(numbers[0][:18]) <= last:
        return int(numbers[0]), ""
    found = "no number" if not numbers else f"the numbers {', '.join(dict.fromkeys(n[:18] for n in numbers[:5]))}"
    return None, f"Your reply has {found}; an action is one number from {space.start} to {last}. Nothing was done."


def _actions(env: Any) -> str:
    from gymnasium import spaces  # pyright: ignore[reportMissingImports]

    space = env.action_space
    if isinstance(space, spaces.Text):
        return f"a text of {space.min_length} to {space.max_length} characters"
    return f"one number from {space.start} to {int(space.start) + int(space.n) - 1}"


def _kind(env: Any) -> str:
    from gymnasium import spaces  # pyright: ignore[reportMissingImports]

    return "text" if isinstance(env.observation_space, spaces.Text) else "drawn as text"


def _shown(env: Any, observation: Any, info: Any) -> str:
    if isinstance(observation, str):
        return observation
    with contextlib.redirect_stdout(io.StringIO()):
        drawn = env.render()
    drawn = "".join(drawn) if isinstance(drawn, list) else str(drawn)
    return re.sub(r"\x1b\[4[0-9]m(.)\x1b\[0m", r"[\1]", drawn).strip("\n")
