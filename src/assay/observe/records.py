"""Rows of the run store, one typed record for each of its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assay.types import Message

ALARM = "alarm"
"""The kind of the events by which a run's watch says what it saw."""
ALARM_EVIDENCE = "alarm_evidence"
"""The kind of the event that follows each of those: the same as JSON, with its transcripts."""


@dataclass(frozen=True)
class RolloutRecord:
    """A rollout as it is stored. Texts are what the model and the environment wrote: hostile until shown to be safe."""

    step: int
    group_id: int
    member: int
    task_id: str
    domain: str
    level: str
    complexity: float | None
    horizon: float | None
    prompt: str
    """The first prompt, as tokens spell it, special tokens shown."""
    answer: str
    """The gold answer; of a task with tests, these as JSON."""
    response: str
    """Everything after the first prompt, as tokens spell it."""
    ending: str
    ending_reason: str
    boundary: str
    """The boundary that the failure of a broken rollout crossed; else empty."""
    verdict: str
    value: float | None
    reason: str
    evidence: str
    parts: dict[str, float]
    num_turns: int
    num_tokens: int
    """Sampled tokens."""
    version: int
    """Version of the oldest weights that sampled any of the tokens."""
    fork_starts: tuple[int, ...]
    """Indices in `token_ids` at which a later turn starts over with a rewritten prompt."""
    token_ids: tuple[int, ...]
    """[L] prompts and completions of all turns, end to end."""
    loss_mask: tuple[bool, ...]
    """[L] True on sampled tokens: those that are trained on."""
    token_logprobs: tuple[float, ...]
    """[N] of each sampled token, by the engine that sampled it."""
    trainer_logprobs: tuple[float, ...] | None
    """[N] of the same tokens, by the trainer at the start of the update; None where it was not asked."""


@dataclass(frozen=True)
class TurnRecord:
    """A turn of a rollout as it is stored: who said what, and what it earned."""

    step: int
    group_id: int
    member: int
    turn: int
    """Number of the turn, from 0."""
    extends_previous: bool
    """True where its prompt is everything before it and `num_context_tokens` more."""
    num_context_tokens: int
    """Prompt tokens that the turn added; the whole prompt where it does not extend the one before."""
    num_tokens: int
    """Sampled tokens."""
    finish_reason: str
    version: int
    """Version of the oldest weights that sampled any of the tokens."""
    message: Message
    """The model's message."""
    env_messages: tuple[Message, ...]
    """The environment's messages that follow."""
    env_reward: float | None
    """The environment's reward for the turn; None where it pays nothing for turns."""
    state: str
    """Name of the world's state that the turn started from; empty where the environment names none."""


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation: an accuracy and a mean reward with their intervals."""

    step: int
    """The step whose update it followed; BEFORE_TRAINING before the first."""
    split: str
    decoding: str
    """"greedy" or "sampled"."""
    reading: str
    """Name of the reading by which answers were read, such as "strict"."""
    level: str
    """"all", or one level."""
    accuracy: float | None
    """None where the scores are numbers without a verdict."""
    low: float | None
    high: float | None
    num_tasks: int
    num_not_measured: int
    mean_reward: float | None = None
    """None in stores of before it was kept, and of a single task, which has no interval."""
    reward_low: float | None = None
    reward_high: float | None = None

    @property
    def measure(self) -> tuple[float | None, float | None, float | None]:
        """The accuracy with the ends of its interval; the mean reward where there is no accuracy."""
        if self.accuracy is None:
            return self.mean_reward, self.reward_low, self.reward_high
        return self.accuracy, self.low, self.high


@dataclass(frozen=True)
class EventRecord:
    step: int
    kind: str
    text: str


@dataclass(frozen=True)
class OutcomeCount:
    """Number of rollouts that ended and scored in one way."""

    ending: str
    ending_reason: str
    verdict: str
    reason: str
    count: int
    boundary: str = ""
    """The boundary that the failures crossed, where they were broken."""

    @property
    def ended(self) -> str:
        """How they ended in words, and where."""
        more = ", ".join(filter(None, (self.ending_reason, self.boundary and f"at the {self.boundary}")))
        return f"{self.ending} ({more})" if more else self.ending


@dataclass(frozen=True)
class LevelShare:
    """Solved rollouts and rewards of one level at one step."""

    step: int
    level: str
    solved: int
    measured: int
    """Rollouts with a verdict: solved or failed."""
    reward: float = math.nan
    """Mean reward of the measured rollouts, those without a verdict included."""
    num_rewards: int = 0


@dataclass(frozen=True)
class StepRewards:
    """Rewards of the rollouts of one step."""

    step: int
    group_rewards: tuple[float, ...]
    """Mean reward of the measured members of each group that has any, dropped groups included."""
    response_tokens: float
    """Mean sampled tokens of a rollout."""
    turns: float
    """Mean turns of a rollout."""
    num_measured: int
    """Rollouts with a reward."""
    bounds: tuple[float, float]
    """The smallest and the largest reward; NaN where there is none."""
    are_graded: bool = False
    """True where the rewards are numbers without a verdict."""
