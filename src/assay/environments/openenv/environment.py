"""The openenv environment: an environment behind an OpenEnv server."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from assay.environments.adapted import Paying
from assay.types import Message, Score, SolvedAt, Task
from assay.verifiers.text import strip_reasoning


class OpenEnv(Paying):
    """An environment behind an OpenEnv server, over its WebSocket, which keeps a session for each episode.

    An action of one text field is the model's reply; one of several fields is a call of the tool `act`, whose
    parameters are the server's own schema. Each turn pays what the server pays. A task is a seed's first observation
    (a server that starts alike for every seed is one task, unless `identity` is "seed"), and it must show it again: a
    server that does not keep to the seed cannot be trained on in groups.

    Solved is a sum of rewards of at least `solved_at` in an episode that the server ended. A server that goes away
    breaks the episodes that were with it; they are played again when it is back.
    """

    name: Literal["openenv"] = "openenv"
    url: str = pydantic.Field(pattern=r"^(http|ws)s?://.+")
    """Address of the server, such as "http://127.0.0.1:8000"."""
    action_field: str = ""
    """Field of an action that the reply is put in; empty for the only one where that is text, else for the tool."""
    observation_field: str = ""
    """Field of an observation that is shown; empty for the only one where that is text, else for all of them as
    JSON."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Arguments of reset beside the seed."""
    solved_at: SolvedAt = 1.0
    """Least sum of rewards that solves. "none", with pays "return": the sum is a number and says no verdict."""

    @property
    def worlds(self) -> tuple[str, ...]:
        return (self.url,)

    def opening(self, world: str, seed: int) -> dict[str, Any]:
        """Return what resets a session in the worker."""
        return {
            "url": world,
            "seed": seed,
            "action_field": self.action_field,
            "shown": self.observation_field,
            "options": self.options,
        }

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the reply without its reasoning, and its tool calls."""
        calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.calls]
        return {"reply": strip_reasoning(message.content), "calls": calls}

    def read_outcome(self, outcome: Any, task: Task) -> Score:
        """Return the score of an episode."""
        paid, over = float(outcome["paid"]), outcome["over"]
        solved = over and self.solved_at not in (None, "none") and paid >= self.solved_at
        return self.returned(
            paid, solved, ended="" if over else "unfinished", unsolved="lost" if over else "unfinished"
        )
