"""TextArena in its own interpreter (see assay/adapters/serve.py): one game of one episode a process.

What TextArena 0.7.4 does that would mislead a run, and what stands against it here:

- all its games draw from Python's one global random stream: each has a process of its own here, and what opponents draw
  comes from a stream of their own;
- an observation is the whole transcript again: the raw game is asked, which gives what is new;
- who is on turn is what `get_observation` says, what was earned is what `close` says, nothing else;
- a reply may hold several moves, and those after an illegal one are carried out: such a reply is not played;
- after its end a game may announce a further round: nothing that was said after the end is shown;
- a reward above 0 is no win, nor is 1 in games that pay points, nor a win in a turn after the last that the prompt
  grants.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from assay.adapters.plain import RefusedError, canonical, cut, digest, function_of

_MAX_MOVES_OF_OTHERS = 500
_MAX_PLAYERS = 15
_LARGE = 20_000
"""Characters beyond which an attribute of a game is a word list and not its state."""
_MOVE = re.compile(r"\[[^\[\]]*\]")
_LISTED = re.compile(r"(?:available|legal|valid|possible|allowed)\s+(?:actions?|moves?|cells?|options?|plays?)", re.I)
_TURNS = r"(?:turns?|guess(?:es)?|moves?|rounds?|tries|attempts?|steps?|actions?)\b"
_POINTS: dict[str, float | None] = {"Set": None, "Klondike": 52.0}
"""Games that pay points, by their folder: what a win pays, None where there is no win."""
_BY_REPLY = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""Errors that a game raises on a reply that it did not foresee."""


def warm_up() -> None:
    """Import the package, and keep it from fetching data in the middle of a run."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        import textarena  # pyright: ignore[reportMissingImports]  # noqa: F401
    import nltk  # pyright: ignore[reportMissingImports]

    nltk.download = lambda *_, **__: False


class Session:
    """One game."""

    def parts(self) -> list[str]:
        """Return an id of each game: the first of its variants."""
        first: dict[str, str] = {}
        for name, spec in _registry().items():
            first.setdefault(spec.entry_point, name)
        return list(first.values())

    def check(self, part: str) -> str:
        """Return what a game is for, after starting it.

        Raises:
            RefusedError: it does not start here; says what it lacks.
        """
        _, _, players = _start(part, {}, None, 0)
        return "one player" if players == 1 else f"{players} players"

    def open(
        self,
        game: str,
        seed: int,
        options: dict[str, Any],
        players: int | None,
        seat: int,
        opponent: str,
        several: str,
    ) -> dict[str, Any]:
        """Start a game, and play until `seat` is on turn.

        Returns:
            "messages"; "start", which names the state of the game, what is hidden included; "players"; "turns", the
            number of turns that the game grants, or None.
        """
        self._seat, self._several, self._opponent = seat, several, opponent
        self._luck = random.Random(f"{seed}/opponent")
        self._play = function_of("opponent", opponent) if opponent != "listed" else None
        self._outcome: dict[str, Any] | None = None
        self._turns, self._limit = 0, None
        self._texts: dict[int, list[tuple[str, str]]] = {}
        self._game = game
        self._env, self._act, self._players = _start(game, options, players, seed)
        if not 0 <= seat < self._players:
            raise RefusedError(f"{game} is for {self._players} players: there is no seat {seat}; seats count from 0")
        self._large: frozenset[str] = frozenset()
        fresh = self._parts()
        self._large = frozenset(name for name, text in fresh.items() if len(text) > _LARGE and name != "state")
        start = digest("\n".join(f"{name}={text}" for name, text in sorted(fresh.items())))
        seen = self._until_turn()
        if self._outcome is not None:
            raise RefusedError(f"{game} ends before player {seat} moves (seed {seed}); choose another seat or seed")
        limit = getattr(self._env.state, "max_turns", None) if self._players == 1 else None
        # Only what the player was told binds: not every prompt says how many turns there are.
        stated = limit is not None and re.search(rf"(?<![\d.]){limit} (?:\w+ ){{0,2}}{_TURNS}", seen) is not None
        self._limit = limit if stated else None
        return {
            "messages": [["user", seen]],
            "start": start,
            "players": self._players,
            "turns": limit,
            "state": self._named_state(),
        }

    def step(self, reply: str) -> dict[str, Any]:
        """Play a reply, and the others until `seat` is on turn again."""
        if self._outcome is not None:
            raise RuntimeError("the game is over")
        moves = list(dict.fromkeys(" ".join(move.split()) for move in _MOVE.findall(reply)))
        if self._several == "refuse" and len(moves) > 1:
            shown = ", ".join(moves[:3]) + (", ..." if len(moves) > 3 else "")
            text = (
                f"Your reply has {len(moves)} moves: {shown[:300]}. One is played a turn, so none was. Send one move."
            )
            return {"messages": [["user", text]], "state": self._named_state()}
        if self._several == "last" and moves:
            reply = _MOVE.findall(reply)[-1]
        self._turns += 1
        try:
            done, _ = self._act(reply)
        except _BY_REPLY as error:
            self._outcome = {"reward": None, "won": False, "reason": f"the game failed on it: {type(error).__name__}"}
            return {"done": True}
        if done:
            self._end()
            return {"done": True}
        seen = self._until_turn()
        if self._outcome is not None:
            return {"done": True}
        return {"messages": [["user", seen or "It is your turn."]], "state": self._named_state()}

    def outcome(self) -> dict[str, Any] | None:
        """Return "reward", "won", "reason", "turns", "players" and "unmeasured" of a game that is over; None before."""
        return self._outcome and {"turns": self._turns, "players": self._players, "unmeasured": "", **self._outcome}

    def _until_turn(self) -> str:
        """Plays the others until `seat` is on turn or the game is over; what `seat` was shown meanwhile."""
        for _ in range(_MAX_MOVES_OF_OTHERS):
            player, texts = self._observe()
            if player == self._seat:
                return cut("\n\n".join(text for _, text in texts))
            move = self._move_of(player)
            done, _ = self._act(move)
            if done:
                self._end()
                return ""
        raise RuntimeError(f"player {self._seat} of {self._game} was not on turn in {_MAX_MOVES_OF_OTHERS} moves")

    def _observe(self) -> tuple[int, list[tuple[str, str]]]:
        """Who is on turn, and what is new for that player as (kind, text)."""
        player, observations = self._env.get_observation()
        new: list[tuple[str, str]] = []
        for sender, message, kind in observations:
            if sender == player and kind.name == "PLAYER_ACTION":
                continue  # its own words
            names = self._env.state.role_mapping
            who = "" if sender < 0 else f"[{names.get(sender, f'Player {sender}')}] "
            new.append((kind.name, f"{who}{message}".strip()))
        self._texts.setdefault(player, []).extend(new)
        return player, [(kind, text) for kind, text in new if text]

    def _move_of(self, player: int) -> str:
        texts = self._texts.get(player, [])
        if self._play is not None:
            return str(self._play("\n\n".join(text for _, text in texts), self._luck))
        for _, text in reversed(texts):
            # What follows the last such words: a text may explain moves before it lists them.
            found = [match.end() for match in _LISTED.finditer(text)]
            moves = _MOVE.findall(text[found[-1] :]) if found else []
            if moves:
                return self._luck.choice(moves)
        raise RefusedError(
            f"{self._game} does not list the moves that its player {player} may make, so that an opponent that chooses "
            'among those listed cannot play it; set opponent="path.py:function" (text so far, random.Random -> move)'
        )

    def _end(self) -> None:
        rewards, info = self._env.close()
        own = info.get(self._seat, {})
        reason = str(own.get("reason") or "")[:300]
        if rewards is None or self._seat not in rewards:
            self._outcome = {"reward": None, "won": False, "reason": reason, "unmeasured": "the game paid nothing"}
            return
        reward = float(rewards[self._seat])
        forfeits = [player for player, facts in info.items() if player != self._seat and facts.get("invalid_move")]
        self._outcome = {
            "reward": reward,
            "won": self._won(reward, rewards, own),
            "reason": "late" if self._late() and reward >= 1 else reason,
            "unmeasured": f"player {forfeits[0]}, an opponent, made an illegal move" if forfeits else "",
        }

    def _won(self, reward: float, rewards: Mapping[int, float], own: Mapping[str, Any]) -> bool:
        if own.get("invalid_move"):
            return False
        if self._players > 1:
            return reward > 0 and all(reward > other for player, other in rewards.items() if player != self._seat)
        place = str(self._env.entry_point).split(".")[2]
        least = _POINTS.get(place, 1.0)
        return least is not None and reward >= least and not self._late()

    def _late(self) -> bool:
        """Return True where the last turn came after those that the prompt grants: the game looks before it counts."""
        counted = getattr(self._env.state, "turn", 0)
        return self._limit is not None and counted > self._limit

    def _named_state(self) -> str:
        parts = self._parts()
        return digest("\n".join(f"{name}={text}" for name, text in sorted(parts.items())))

    def _parts(self) -> dict[str, str]:
        """The state of the game in text, by attribute: not the transcript, and not the luck to come."""
        env = self._env
        parts = {
            name: canonical(value)
            for name, value in vars(env).items()
            if name not in self._large and name not in ("state", "env_id", "entry_point")
        }
        state = env.state
        parts["state"] = f"{canonical(state.game_state)} {state.current_player_id}"
        return parts


def _registry() -> dict[str, Any]:
    from textarena.envs.registration import ENV_REGISTRY  # pyright: ignore[reportMissingImports]

    return ENV_REGISTRY


def _make(game: str, options: Mapping[str, Any], seed: int) -> tuple[Any, Callable[[str], tuple[bool, Any]]]:
    """The game without what TextArena wraps around its observations, and its step with what it wraps around actions."""
    import difflib

    import textarena  # pyright: ignore[reportMissingImports]

    registry = _registry()
    if game not in registry:
        near = difflib.get_close_matches(game, registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "assay adapters check textarena lists them"
        raise RefusedError(f"TextArena has no game {game!r}; {hint}")
    spec = registry[game]
    # Some draw while they are made, before anybody seeds them.
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    try:
        module, _, name = spec.entry_point.partition(":")
        env = getattr(importlib.import_module(module), name)(**{**spec.kwargs, **options})
    except Exception as error:
        raise RefusedError(f"{game} of TextArena cannot be made here: {_remedy(error, options)}") from None
    env.env_id, env.entry_point = game, spec.entry_point
    outer = env
    for wrapper in spec.default_wrappers or ():
        if issubclass(wrapper, textarena.ActionWrapper):  # pyright: ignore[reportAttributeAccessIssue]
            outer = wrapper(outer)
    return env, outer.step


def _start(
    game: str, options: Mapping[str, Any], players: int | None, seed: int
) -> tuple[Any, Callable[[str], tuple[bool, Any]], int]:
    """A game that was started for a number of players, or for the fewest that it takes; its step; that number."""
    failures: list[Exception] = []
    # Games for several players do not always refuse one: that is tried last, unless the game is for one.
    for number in (1, *range(2, _MAX_PLAYERS + 1), 1) if players is None else (players,):
        env, act = _make(game, options, seed)  # anew, since not every game can be started twice
        try:
            env.reset(num_players=number, seed=seed)
        except Exception as error:
            failures.append(error)
            continue
        actual = env.state.num_players
        if actual > 1 or players is not None or failures or type(env.state).__name__ == "SinglePlayerState":
            return env, act, actual
    # A wrong number of players is an assertion; what else there is says more.
    failures.sort(key=lambda error: isinstance(error, AssertionError))
    why = _remedy(failures[0], {}) if failures else "it takes no number of players from 1 to 15"
    raise RefusedError(
        f"{game} of TextArena does not start{'' if players is None else f' for {players} players'}: {why}"
    )


def _remedy(error: Exception, options: Mapping[str, Any]) -> str:
    """Return the remedy for a game that does not start."""
    text = " ".join(str(error).split())
    data = re.search(r"Resource '?(\S+?)'? not found", re.sub(r"\x1b\[[0-9;]*m", "", text))
    lacking = re.search(r"No module named '([\w.]+)'", text)
    if data:
        return f"it needs the word list {data[1]!r} of nltk: run {sys.executable} -m nltk.downloader {data[1]}"
    if isinstance(error, SyntaxError):
        return "it is written for Python 3.12 or later: assay adapters install textarena --again --python python3.12"
    if lacking and not lacking[1].startswith("textarena"):
        return f"it needs {lacking[1]}: run {sys.executable} -m pip install {lacking[1]}"
    if lacking or isinstance(error, FileNotFoundError):
        return f"files of it are not in the package ({text[:200]}): choose another game"
    if "OPENROUTER_API_KEY" in text or "API key" in text:
        return "it asks a model at OpenRouter during the game: set OPENROUTER_API_KEY, or choose another game"
    given = f"; its options are {', '.join(options)}" if options else ""
    return f"{type(error).__name__}: {text[:200]}{given}"
