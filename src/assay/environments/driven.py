"""DrivenEpisode: an episode that asks the model itself, where an ordinary one is asked by the runner."""

from __future__ import annotations

from abc import abstractmethod

from assay.environments.episode import Episode, EpisodeStep
from assay.errors import ContractError
from assay.serving.conversation import Conversation
from assay.types import Ending, Message


class DrivenEpisode(Episode):
    """Base class of episodes whose world asks the model: an agent's own program, or somebody else's harness.

    A subclass gives `drive`, and where it needs them `score` and `close`. Each request to the conversation is a turn of
    the rollout. Whether a turn goes on from the one before it is decided by what was said, see `assay.serving`.
    """

    @abstractmethod
    async def drive(self, conversation: Conversation) -> Ending:
        """Play the episode to its end and return how it ended.

        Raises:
            InfrastructureError: the world failed; the rollout is played again, then left out and counted.
        """

    async def start(self) -> tuple[Message, ...]:
        """Raise ContractError: nothing is asked of it from outside."""
        raise ContractError(f"{type(self).__name__} asks the model itself: it is driven, not stepped")

    async def step(self, message: Message) -> EpisodeStep:
        """Raise ContractError, as `start` does."""
        raise ContractError(f"{type(self).__name__} asks the model itself: it is driven, not stepped")
