"""Trials: the form that every kind of `adapt` has, and the curve that it is scored by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from assay.types import Score, Split

RuleT = TypeVar("RuleT")


def sixths(ranked: Sequence[RuleT]) -> dict[Split, Sequence[RuleT]]:
    """Return rules that a hash put in order, by split: a sixth for the test, a sixth for validation."""
    sixth = len(ranked) // 6
    return {"test": ranked[:sixth], "validation": ranked[sixth : 2 * sixth], "train": ranked[2 * sixth :]}


@dataclass(frozen=True)
class Played:
    """The result of a trial."""

    result: str
    """Words of the feedback; cut where the episode gives no feedback."""
    illegal: str = ""
    """Fault of the move, and the legal moves; said with or without feedback."""


class Trials(ABC):
    """One attempt at a task of `adapt`: stretches of trials, one hidden rule each.

    Args:
        lengths: the trials of each stretch.
        settle: trials at the start of a stretch in which its rule can be learned; the later ones are to be right.
    """

    def __init__(self, lengths: Sequence[int], settle: int) -> None:
        self._lengths = lengths
        self._settle = settle
        self._curve: list[list[float]] = [[]]

    @property
    def at(self) -> tuple[int, int]:
        """The stretch and the trial in it that is to be played next, from 0."""
        return len(self._curve) - 1, len(self._curve[-1])

    @property
    def over(self) -> bool:
        return len(self._curve) > len(self._lengths)

    @property
    def num_trials(self) -> int:
        """Number of trials of all stretches."""
        return sum(self._lengths)

    @property
    def num_played(self) -> int:
        return sum(map(len, self._curve))

    @property
    @abstractmethod
    def state(self) -> str:
        """The state that all later trials depend on, and what could be known of it."""

    @abstractmethod
    def show(self) -> str:
        """The next trial, as the model is shown it."""

    @abstractmethod
    def play(self, text: str) -> Played:
        """Play the next trial with a move, however the message words it."""

    @property
    def gained(self) -> float:
        """The gain until now, each trial from 0 to 1."""
        return sum(map(sum, self._curve))

    def record(self, gained: float, times: int = 1) -> None:
        """Take down what the next trials gained, and go on to the next stretch at the end of one."""
        stretch, _ = self.at
        self._curve[-1] += [gained] * times
        if len(self._curve[-1]) >= self._lengths[stretch]:
            self._curve.append([])

    def score(self) -> Score:
        """The mean over all trials, those never played counted as 0; SOLVED where every late trial gained all.

        Its parts are the curve: "early" and "late" trials, and "trial_1", "trial_2", ... of a stretch, each the mean
        over those that were played.
        """
        stretches = self._curve[: len(self._lengths)]
        gained = self.gained / self.num_trials
        parts = {
            "early": _mean([each for stretch in stretches for each in stretch[: self._settle]]),
            "late": _mean([each for stretch in stretches for each in stretch[self._settle :]]),
        }
        for j in range(max(self._lengths)):
            parts[f"trial_{j + 1}"] = _mean([stretch[j] for stretch in stretches if len(stretch) > j])
        known = {name: value for name, value in parts.items() if value is not None}
        if self.over and all(each == 1.0 for stretch in stretches for each in stretch[self._settle :]):
            return Score.solved(gained, parts=known)
        return Score.failed("not learned" if self.over else "not played to the end", gained, parts=known)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
