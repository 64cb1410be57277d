"""The gymnasium environment: what Gymnasium makes of an id, where it is text."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from assay.environments.adapted import Paying
from assay.types import Message, Score, SolvedAt, Task
from assay.verifiers.text import strip_reasoning


class Gymnasium(Paying):
    """An environment of Gymnasium whose observations are Text, or that draws itself as text (render mode "ansi").

    Actions are Text, or a Discrete number, which a reply states once; a reply that is no action is answered by what an
    action is, and nothing is done. Each turn pays what the environment pays. A task is a start (an environment that
    starts alike for every seed is one task), and each episode a process of its own in the adapter's virtual environment
    (`assay adapters install gymnasium`).

    Solved is a sum of rewards of at least `solved_at`, in an episode that terminated: one that its time limit cut off
    is not solved.
    """

    name: Literal["gymnasium"] = "gymnasium"
    id: str
    """Id of the environment, such as "Taxi-v4"; `assay adapters check gymnasium` lists those that come with it."""
    harder: tuple[str, ...] = ()
    """Ids of harder variants, in that order: complexity 1 is `id`, 2 the first of these."""
    module: str = ""
    """Module, or path of a Python file, that registers the id when it is imported in the adapter's environment; empty
    for what comes with Gymnasium."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Arguments of `gymnasium.make` beside the id, such as {is_slippery = false}."""
    instruction: str = ""
    """Ends the first message: what the actions mean. Empty for a sentence that says what an action is."""
    solved_at: SolvedAt | None = None
    """Least sum of rewards that solves; None for the reward threshold that the environment is registered with. "none",
    with pays "return": the sum is a number and says no verdict."""

    @property
    def worlds(self) -> tuple[str, ...]:
        return (self.id, *self.harder)

    def opening(self, world: str, seed: int) -> dict[str, Any]:
        """Return what resets the environment in the worker."""
        return {
            "id": world,
            "seed": seed,
            "options": self.options,
            "module": self.module,
            "instruction": self.instruction,
            "solved_at": self.solved_at,
        }

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the reply without its reasoning: an action that was thought of is not taken."""
        return {"reply": strip_reasoning(message.content)}

    def read_outcome(self, outcome: Any, task: Task) -> Score:
        """Return the score of an episode."""
        paid, ended = float(outcome["paid"]), outcome["ended"]
        solved = self.solved_at != "none" and ended == "terminated" and paid >= task.metadata["solved_at"]
        return self.returned(paid, solved, ended=ended or "unfinished", unsolved=ended or "unfinished")
