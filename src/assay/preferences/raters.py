"""Simulated raters: a labelled source of comparisons whose biases are known, for experiments and for tests.

    P(the second is preferred) = (1 - e) sigmoid(q (u_2 - u_1) + l log2(n_2 / n_1) + c (w_2 - w_1) + p) + e / 2

u is how good a response is (1 right, 0 wrong), q falls with the task's difficulty, n is the length, w counts words of
confidence, p is the log odds of the second place, and e the share of judgements that are given blindly. Nothing here is
measured: pairs that come from it say so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pydantic

from assay.config import Settings
from assay.preferences.pair import TIE, Messages, Pair, text_of_messages
from assay.seeds import derive_seed, uniform

SIMULATED = "simulated"
"""The beginning of a simulated rater's name."""
_SURE = re.compile(
    r"\b(?:definitely|certainly|clearly|obviously|undoubtedly|of course|sure|absolutely)\b", re.IGNORECASE
)
_UNSURE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|might|I think|I believe|not sure|seems?|guess)\b", re.IGNORECASE
)
_MOST_WORDS = 3
"""Words of confidence after which more add nothing."""


@dataclass(frozen=True)
class Candidate:
    """A response that a rater is shown, and what the rater cannot see: whether it is right."""

    response: Messages
    quality: float
    """From 0 (wrong) to 1 (right)."""
    model: str | None = None


class SimulatedRater(Settings):
    """A rater with known biases. The defaults are those of one without any."""

    name: str = "rater"
    log_odds: float = 3.0
    """The log odds with which a right response is preferred to a wrong one at difficulty 0; 3 is 95 % of the time."""
    fall: float = pydantic.Field(default=0.0, ge=0)
    """How much these log odds fall with each point of difficulty, down to 0, where the rater sees no difference."""
    length: float = 0.0
    """The log odds of a response that is twice as long as the other."""
    confidence: float = 0.0
    """The log odds of a response with one word of confidence more (or one of doubt less), up to three."""
    second: float = 0.0
    """The log odds of the response that is shown second; below 0 for a rater who likes the first."""
    blind: float = pydantic.Field(default=0.0, ge=0, le=1)
    """The share of judgements that have nothing to do with the responses."""
    tie_within: float = pydantic.Field(default=0.0, ge=0)
    """Log odds within which the rater says that it is a tie, before any chance."""

    def sees(self, difficulty: float) -> float:
        """Return the log odds with which a right response is preferred to a wrong one at this difficulty."""
        return math.copysign(max(abs(self.log_odds) - self.fall * max(difficulty, 0.0), 0.0), self.log_odds)

    def accuracy(self, difficulty: float) -> float:
        """Return how often the rater prefers a right response to a wrong one that is as long and as sure, in either
        place as often."""
        seen = self.sees(difficulty)
        return sum(self._chance(seen + place) for place in (self.second, -self.second)) / 2

    def probability(self, first: Candidate, second: Candidate, difficulty: float = 0.0) -> float:
        """Return the probability that the second is preferred, ties aside."""
        return self._chance(self._logit(first, second, difficulty))

    def judge(
        self, prompt: Messages, candidates: tuple[Candidate, Candidate], *, seed: int, difficulty: float = 0.0
    ) -> Pair:
        """Return the judgement of two candidates, whose order is drawn by the seed.

        The pair's metadata has the truth, "quality" of both in the order shown, and the difficulty.
        """
        first, second = candidates if uniform(seed, 0) < 0.5 else candidates[::-1]
        logit = self._logit(first, second, difficulty)
        preference = TIE if abs(logit) < self.tie_within else float(uniform(seed, 1) < self._chance(logit))
        return Pair(
            prompt,
            first.response,
            second.response,
            preference,
            annotator=f"{SIMULATED}: {self.name}",
            order_known=True,
            first_model=first.model,
            second_model=second.model,
            metadata={"quality": [first.quality, second.quality], "difficulty": difficulty},
        )

    def _logit(self, first: Candidate, second: Candidate, difficulty: float) -> float:
        texts = [text_of_messages(each.response) for each in (first, second)]
        ratio = math.log2(max(len(texts[1]), 1) / max(len(texts[0]), 1))
        sure = confidence(texts[1]) - confidence(texts[0])
        seen = self.sees(difficulty) * (second.quality - first.quality)
        return seen + self.length * ratio + self.confidence * sure + self.second

    def _chance(self, logit: float) -> float:
        # tanh: no overflow.
        return (1 - self.blind) * (1 + math.tanh(logit / 2)) / 2 + self.blind / 2


def confidence(text: str) -> int:
    """The words of confidence of a text less its words of doubt, from -3 to 3.

    Example:
        >>> confidence("It is clearly 12."), confidence("I think it is 12.")
        (1, -1)
    """
    count = len(_SURE.findall(text)) - len(_UNSURE.findall(text))
    return max(-_MOST_WORDS, min(count, _MOST_WORDS))


def simulate_pairs(
    raters: Sequence[SimulatedRater],
    groups: Sequence[tuple[Messages, Sequence[Candidate], float]],
    *,
    pairs_each: int = 1,
    seed: int = 0,
) -> list[Pair]:
    """Return comparisons of candidates of each group, two that differ in text, by raters in turn.

    Args:
        groups: (prompt, candidates, difficulty) of each task.
        pairs_each: most pairs of a group; all where it has fewer.
    """
    found: list[Pair] = []
    for number, (prompt, candidates, difficulty) in enumerate(groups):
        texts = [text_of_messages(each.response) for each in candidates]
        couples = [(one, other) for other in range(len(texts)) for one in range(other) if texts[one] != texts[other]]
        couples.sort(key=lambda couple: derive_seed(seed, "couple", number, *couple))
        for one, other in couples[:pairs_each]:
            rater = raters[len(found) % len(raters)]
            own = derive_seed(seed, "judgement", number, one, other, rater.name)
            found.append(rater.judge(prompt, (candidates[one], candidates[other]), seed=own, difficulty=difficulty))
    return found
