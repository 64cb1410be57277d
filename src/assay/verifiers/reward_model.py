"""A reward model as the reward: a number for each response, which says nothing about right and wrong."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.config import FileText
from assay.later import torch
from assay.types import Message, Rollout, Score, SolvedAt, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import is_cut_off
from assay.verifiers.verifier import Verifier

if TYPE_CHECKING:
    from assay.models.reward import RewardScorer
    from assay.render import ChatRenderer


class RewardModelScore(Verifier):
    """The reward that a fitted reward model gives a conversation that ends with the response.

    The reward model reads the text by its own tokenizer and chat template, whatever those of the policy are. It is the
    raters' opinion as far as it was learned, and no check: held-out answers are read by the environment's own reward.
    Rewards are comparable within one prompt; between prompts their level is arbitrary.
    """

    name: Literal["reward_model"] = "reward_model"
    source: FileText = pydantic.Field(min_length=1)
    """The reward model: a folder that transformers opens as sequence classification with one label, the run that fitted
    it, or a hub id."""
    solved_at: SolvedAt = "none"
    """The reward from which on a response counts as solved; "none" where a reward is no verdict."""

    says_truth: ClassVar[bool] = False

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        scorer, renderer = self._model
        said: list[Message] = [*task.prompt]
        for turn in rollout.turns[:-1]:
            said += [turn.message, *turn.env_messages]
        answer = renderer.encode_answer(rollout.response)
        # A response that was cut off has no end, and the reward of one that has is another's.
        answer = answer[:-1] if is_cut_off(rollout) and len(answer) > 1 else answer
        tokens = (*renderer.render(said), *answer)
        if len(tokens) > scorer.max_context:
            return Score.not_measured(f"too long for the reward model: more than {scorer.max_context} tokens")
        return Score.at(scorer.reward(torch.tensor(tokens)), self.solved_at, "below solved_at")

    def gold_response(self, task: Task) -> str | None:
        """None: what a reward model likes is not known."""
        return None

    def cases(self) -> list[Case]:
        """None: no number is right for every reward model."""
        return []

    @functools.cached_property
    def _model(self) -> tuple[RewardScorer, ChatRenderer]:
        from assay.models.reward import open_reward_model

        return open_reward_model(self.source)
