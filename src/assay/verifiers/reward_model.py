"""A reward model as the reward: a number for each response, which says nothing about right and wrong."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import pydantic

from assay.config import FileText
from assay.types import Message, Rollout, Score, SolvedAt, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import is_cut_off
from assay.verifiers.verifier import Verifier

if TYPE_CHECKING:
    from assay.models.reward import RewardScorer
    from assay.render import ChatRenderer


class RewardModelScore(Verifier):
    """The reward that a fitted reward model gives a conversation that ends with the response, or several of them.

    The reward model reads the text by its own tokenizer and chat template, whatever those of the policy are. It is the
    raters' opinion as far as it was learned, and no check: held-out answers are read by the environment's own reward.
    Rewards are comparable within one prompt; between prompts their level is arbitrary.

    Several reward models, fitted with different seeds on the same comparisons, agree where there was data and part ways
    where there was none, which is where a policy goes. Their rewards of a group are compared after each model's mean
    over the group is taken off; `combine` says what is made of them.
    """

    name: Literal["reward_model"] = "reward_model"
    source: FileText = ""
    """The reward model: a folder that transformers opens as sequence classification with one label, the run that fitted
    it, or a hub id."""
    sources: tuple[FileText, ...] = ()
    """Several reward models, in place of `source`."""
    combine: Literal["mean", "lower", "least"] = "mean"
    """The reward of several. mean: their mean. lower: the mean less `deviations` times their standard deviation. least:
    the smallest."""
    deviations: float = pydantic.Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Standard deviations that "lower" takes off."""
    remove_length: float | None = pydantic.Field(default=None, allow_inf_nan=False)
    """Reward that twice the length of a response is taken to bring for nothing, which is taken off: the coefficient of
    the log2 of its characters, as the summary of the run that fitted the model estimates it. None takes nothing off."""
    missing_end_penalty: float = pydantic.Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """What is taken off the reward of a response that was cut off (TRL's `missing_eos_penalty`). Reward models are
    fitted on whole responses; what they say of one without an end is chance, and a policy finds it."""
    solved_at: SolvedAt = "none"
    """The reward from which on a response counts as solved; "none" where a reward is no verdict."""

    says_truth: ClassVar[bool] = False

    @pydantic.model_validator(mode="after")
    def _check_sources(self) -> Self:
        if bool(self.source) == bool(self.sources):
            raise ValueError("give source, one reward model, or sources, several of them")
        if len(self.sources) == 1 or len(set(self.sources)) < len(self.sources):
            raise ValueError("sources needs two reward models or more, each once: name one alone by source")
        if self.source and self.combine != "mean":
            raise ValueError(f"combine {self.combine!r} has no effect with one reward model: give several, in sources")
        if self.combine != "lower" and self.deviations != type(self).model_fields["deviations"].default:
            raise ValueError(f'deviations has no effect with combine {self.combine!r}: leave it out, or set "lower"')
        if self.remove_length == 0:
            raise ValueError("remove_length 0 has no effect: leave it out")
        return self

    @property
    def gives_verdicts(self) -> bool:
        return self.solved_at != "none"

    @property
    def compares(self) -> bool:
        """True: the prompt of a group is read once, and the levels of several reward models are made alike over it."""
        return True

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return (await self.score_group([rollout], task))[0]

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        columns = [self._rewards(model, rollouts, task) for model in self._models]
        rows = list(zip(*columns, strict=True))
        known = [row for row in rows if not any(isinstance(each, str) for each in row)]
        levels = [statistics.fmean(column) for column in zip(*known, strict=True)]  # pyright: ignore[reportArgumentType]
        scores = [self._score(row, levels, rollout) for row, rollout in zip(rows, rollouts, strict=True)]
        return [
            score if score.measured else dataclasses.replace(score, suspected=self._suspected(rollout, task))
            for score, rollout in zip(scores, rollouts, strict=True)
        ]

    def _score(self, row: Sequence[float | str], levels: Sequence[float], rollout: Rollout) -> Score:
        problem = next((each for each in row if isinstance(each, str)), None)
        if problem is not None:
            return Score.not_measured(problem)
        apart = [float(reward) - level for reward, level in zip(row, levels, strict=True)]
        mean, spread = statistics.fmean(apart), statistics.stdev(apart) if len(apart) > 1 else 0.0
        combined = {"mean": mean, "lower": mean - self.deviations * spread, "least": min(apart)}[self.combine]
        value = combined + statistics.fmean(levels)
        parts = {"mean": mean + statistics.fmean(levels), "deviation": spread} if self.sources else {}
        if self.remove_length is not None:
            length = self.remove_length * math.log2(1 + len(rollout.response))
            value, parts = value - length, {**parts, "length": length}
        if self.missing_end_penalty and is_cut_off(rollout):
            value, parts = value - self.missing_end_penalty, {**parts, "missing_end": self.missing_end_penalty}
        return Score.at(value, self.solved_at, "below solved_at", parts=parts)

    def _rewards(
        self, model: tuple[RewardScorer, ChatRenderer], rollouts: Sequence[Rollout], task: Task
    ) -> list[float | str]:
        """The rewards of one model, or why it has none."""
        scorer, _ = model
        texts = [self._tokens(model, rollout, task) for rollout in rollouts]
        fitting = [text for text in texts if len(text) <= scorer.max_context]
        rewards = iter(scorer.rewards(fitting) if fitting else ())
        found: list[float | str] = []
        for text in texts:
            if len(text) > scorer.max_context:
                found.append(f"too long for the reward model: more than {scorer.max_context} tokens")
                continue
            reward = next(rewards)
            found.append(reward if math.isfinite(reward) else f"the reward model gave {reward}")
        return found

    def _suspected(self, rollout: Rollout, task: Task) -> float | None:
        """What counts where a response may be why there is no reward: that of the conversation cut off at the context.

        Left out, what is too long would be a way to get around every bad reward. None where the prompt alone is too
        long, or nothing is.
        """
        rewards: list[float] = []
        for model in self._models:
            (scorer, renderer), tokens = model, self._tokens(model, rollout, task)
            if len(renderer.render(task.prompt)) >= scorer.max_context:
                return None
            rewards += scorer.rewards([tokens[: scorer.max_context]])
        return statistics.fmean(rewards) if all(map(math.isfinite, rewards)) else None

    def _tokens(self, model: tuple[RewardScorer, ChatRenderer], rollout: Rollout, task: Task) -> tuple[int, ...]:
        renderer = model[1]
        said: list[Message] = [*task.prompt]
        for turn in rollout.turns[:-1]:
            said += [turn.message, *turn.env_messages]
        answer = renderer.encode_answer(rollout.response)
        # A response that was cut off has no end, and the reward of one that has is another's.
        answer = answer[:-1] if is_cut_off(rollout) and len(answer) > 1 else answer
        return (*renderer.render(said), *answer)

    def gold_response(self, task: Task) -> str | None:
        """None: what a reward model likes is not known."""
        return None

    def cases(self) -> list[Case]:
        """None: no number is right for every reward model."""
        return []

    @functools.cached_property
    def _models(self) -> list[tuple[RewardScorer, ChatRenderer]]:
        from assay.models.reward import open_reward_model

        return [open_reward_model(source) for source in self.sources or (self.source,)]
