"""The openenv environment: an environment behind an OpenEnv server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from assay.environments.adapted import Seeded
from assay.types import Message, Score, SolvedAt, Task
from assay.verifiers import EpisodeValue, Verifier
from assay.verifiers.text import strip_reasoning


class OpenEnv(Seeded):
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
    pays: Literal["solved", "return"] = "solved"
    """The reward of an episode. solved: 1 where it is solved, else 0. return: the sum of its rewards."""

    @pydantic.model_validator(mode="after")
    def _pays_something(self) -> Self:
        if self.solved_at == "none" and self.pays == "solved":
            raise ValueError('pays = "solved" pays nothing with solved_at = "none": set pays = "return"')
        return self

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeValue()} if self.solved_at == "none" else super().rewards

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
        paid = float(outcome["paid"])
        if self.solved_at == "none":
            return Score.graded(paid, parts={"return": paid}, reason="" if outcome["over"] else "unfinished")
        solved = outcome["over"] and paid >= self.solved_at
        value = paid if self.pays == "return" else float(solved)
        if solved:
            return Score.solved(value, parts={"return": paid})
        return Score.failed("lost" if outcome["over"] else "unfinished", value=value, parts={"return": paid})
