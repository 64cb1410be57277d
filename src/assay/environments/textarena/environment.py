"""The textarena environment: the games of TextArena."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.adapters import adapter_server
from assay.environments.adapted import AdaptedEpisode, read_messages
from assay.environments.environment import Environment, Level
from assay.environments.episode import Episode
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task
from assay.verifiers import EpisodeScore, Verifier
from assay.verifiers.text import strip_reasoning

WORKER = Path(__file__).with_name("worker.py")


class TextArena(Environment):
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
    identity: Literal["start", "seed"] = "start"
    """What makes two tasks the same: an equal start, or only an equal seed (for games of chance that start alike)."""
    pays: Literal["win", "game"] = "win"
    """The reward. win: 1 for a won game, else 0. game: what the game pays; for one that did not end, the least."""
    turns: int = pydantic.Field(default=50, ge=1)
    """Replies of the model after which an episode is truncated."""
    seconds: float = pydantic.Field(default=60.0, gt=0, le=3600)
    """Time that the game may take to answer one reply."""
    give_up_after: int = pydantic.Field(default=200, ge=1)
    """Seeds in a row that give no new start, after which a split has no more tasks."""

    @property
    def max_turns(self) -> int:
        return self.turns

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """What the game itself says at its end."""
        return {"strict": EpisodeScore()}

    def levels(self) -> tuple[Level, ...]:
        """The game and its harder variants; without those, no dial."""
        return (
            tuple((float(number + 1), None) for number in range(len(self.harder) + 1))
            if self.harder
            else ((None, None),)
        )

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct starts of the split, in an order fixed by the seed.

        Raises:
            ConfigError: the adapter is not installed; names the command.
            DataError: no such game, or one that does not start here (says what it lacks); a dial that it does not have.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if horizon is not None:
            raise DataError(f"{self.name} has no horizon dial, and was asked for horizon {horizon:g}; leave it out")
        game = self._game(complexity)
        found = self._distinct(split, game, complexity, seed)
        if (first := next(found, None)) is None:
            raise DataError(
                f"the {split} split of {game} is empty: {self.give_up_after} seeds in a row gave no start that is "
                "in it; this game has few starts: give it other options, or where it is a game of chance set "
                'identity="seed"'
            )
        return itertools.chain((first,), found)

    def episode(self, task: Task) -> Episode:
        return TextArenaEpisode(self, task)

    def opening(self, game: str, seed: int) -> dict[str, Any]:
        """Return what starts a game in the worker."""
        return {
            "game": game,
            "seed": seed,
            "options": self.options,
            "players": self.players,
            "seat": self.seat,
            "opponent": self.opponent,
            "several": self.several_moves,
        }

    def _distinct(self, split: Split, game: str, complexity: float | None, seed: int) -> Iterator[Task]:
        server = adapter_server(self.name, WORKER)
        seen: set[str] = set()
        old = number = 0
        while old < self.give_up_after:
            game_seed = derive_seed(seed, self.name, game, number) % (1 << 31)
            number, old = number + 1, old + 1
            if self.identity == "seed" and hashed_split(f"{self.name}/{game}", str(game_seed)) != split:
                old -= game_seed not in seen  # how far seeds of other splits are apart says nothing
                continue
            opened = server.ask("open", self.seconds, **self.opening(game, game_seed))
            key = opened["start"] if self.identity == "start" else str(game_seed)
            if key in seen:
                continue
            seen.add(key)
            if hashed_split(f"{self.name}/{game}", key) == split:
                old = 0
                yield Task(
                    self.name,
                    read_messages(opened["messages"]),
                    f"a won game, start {key}",
                    complexity=complexity if self.harder else None,
                    metadata={
                        "game": game,
                        "seed": game_seed,
                        "canonical": f"{game}/{key}",
                        "players": opened["players"],
                    },
                )

    def _game(self, complexity: float | None) -> str:
        games = (self.game, *self.harder)
        if complexity is None:
            return self.game
        if not self.harder:
            raise DataError(f"{self.game} has no complexity dial; leave complexity out, or list variants in harder")
        if complexity not in range(1, len(games) + 1):
            raise DataError(
                f"{self.name} has no complexity {complexity:g}; it is a whole number from 1 to {len(games)}"
            )
        return games[int(complexity) - 1]


class TextArenaEpisode(AdaptedEpisode):
    """One game."""

    def __init__(self, environment: TextArena, task: Task) -> None:
        try:
            opening = environment.opening(task.metadata["game"], task.metadata["seed"])
        except KeyError as error:
            raise DataError(
                f"task {task.task_id} of {task.domain!r} is no task of textarena: it lacks {error}"
            ) from None
        super().__init__(task, environment.name, WORKER, opening, environment.seconds)
        self._environment = environment

    def sent(self, message: Message) -> dict[str, Any]:
        # A move that was thought of is not made.
        return {"reply": strip_reasoning(message.content)}

    def read_outcome(self, outcome: Any) -> Score:
        if outcome is None:
            least = -1.0 if self.task.metadata["players"] > 1 else 0.0
            return Score.failed("unfinished", value=least if self._environment.pays == "game" else 0.0)
        reason, paid = outcome["reason"], outcome["reward"]
        if outcome["unmeasured"]:
            return Score.not_measured(outcome["unmeasured"], evidence=reason)
        parts = {"turns": float(outcome["turns"])} | ({} if paid is None else {"paid": float(paid)})
        if self._environment.pays == "win":
            value = 1.0 if outcome["won"] else 0.0
        else:
            value = float(paid) if paid is not None else -1.0 if outcome["players"] > 1 else 0.0
        if outcome["won"]:
            return Score.solved(value, parts=parts, evidence=reason)
        return Score.failed("late" if reason == "late" else "lost", value=value, parts=parts, evidence=reason)
