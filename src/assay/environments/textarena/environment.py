"""The textarena environment: the games of TextArena."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from assay.environments.adapted import Seeded
from assay.types import Message, Score, Task
from assay.verifiers.text import strip_reasoning


class TextArena(Seeded):
    """A game of TextArena, for one player or against scripted opponents.

    A task is a start of the game, what is hidden included: seeds that start alike are one task, so that no start is in
    two splits. Each episode is a process of its own in the adapter's virtual environment
    (`assay adapters install textarena`), so a seed gives the same game whatever else is played.

    Solved is a won game, as the game itself sees it: a single player who reached the end that pays 1 within the turns
    that the prompt grants, or a player who got more than each other one. An illegal move that ends the game is a lost
    game; an opponent's illegal move leaves it unmeasured. What TextArena does otherwise, and what is done about it:
    docs/concepts/adapters.md.
    """

    name: Literal["textarena"] = "textarena"
    game: str
    """Id of the game, such as "TowerOfHanoi-v0"; `assay adapters check textarena` lists them with what they need."""
    harder: tuple[str, ...] = ()
    """Ids of harder variants, in that order: complexity 1 is `game`, 2 the first of these."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Options of the game's class, such as {num_disks = 4}."""
    players: int | None = pydantic.Field(default=None, ge=1, le=15)
    """Number of players; None for the fewest that the game takes."""
    seat: int = pydantic.Field(default=0, ge=0)
    """The player that the model is, from 0."""
    opponent: str = "listed"
    """Who the other players are. listed: chooses uniformly among the moves that the game lists. Or "path.py:function",
    which gets all text that the player was shown and a random.Random, and returns the move."""
    several_moves: Literal["refuse", "last", "all"] = "refuse"
    """Handling of a reply with several different moves in brackets. refuse: none is played, and the model is told.
    last: the last is played. all: the reply is handed on, for games whose moves have several brackets."""
    pays: Literal["win", "game"] = "win"
    """The reward. win: 1 for a won game, else 0. game: what the game pays; for one that did not end, the least."""

    @property
    def worlds(self) -> tuple[str, ...]:
        return (self.game, *self.harder)

    def opening(self, world: str, seed: int) -> dict[str, Any]:
        """Return what starts a game in the worker."""
        return {
            "game": world,
            "seed": seed,
            "options": self.options,
            "players": self.players,
            "seat": self.seat,
            "opponent": self.opponent,
            "several": self.several_moves,
        }

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the reply without its reasoning: a move that was thought of is not made."""
        return {"reply": strip_reasoning(message.content)}

    def read_outcome(self, outcome: Any, task: Task) -> Score:
        """Return the score of a game that is over, or that a limit ended."""
        if outcome is None:
            least = -1.0 if task.metadata["players"] > 1 else 0.0
            return Score.failed("unfinished", value=least if self.pays == "game" else 0.0)
        reason, paid = outcome["reason"], outcome["reward"]
        if outcome["unmeasured"]:
            return Score.not_measured(outcome["unmeasured"], evidence=reason)
        parts = {"turns": float(outcome["turns"])} | ({} if paid is None else {"paid": float(paid)})
        if self.pays == "win":
            value = 1.0 if outcome["won"] else 0.0
        else:
            value = float(paid) if paid is not None else -1.0 if outcome["players"] > 1 else 0.0
        if outcome["won"]:
            return Score.solved(value, parts=parts, evidence=reason)
        return Score.failed("late" if reason == "late" else "lost", value=value, parts=parts, evidence=reason)
