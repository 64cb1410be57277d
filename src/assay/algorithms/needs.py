"""What an algorithm needs: the quantities that the trainer and the collector must provide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """The quantities that an algorithm needs: what the trainer must annotate samples with before credit, and the
    collector provide."""

    proximal: bool = False
    """The trainer's own log-probabilities at the start of the update."""
    min_group_size: int = 1
    """Measured members a group must have to give credit; groups with fewer are dropped and replaced."""
    reference: bool = False
    """Log-probabilities under the model that training began with."""
    teacher: str | None = None
    """Log-probabilities under this other model, which is not trained: "default", a folder or a hub id."""
    teacher_distribution: bool = False
    """The divergence from the teacher over the whole vocabulary, in every update; then not its log-probabilities."""
    entropy_gradient: bool = False
    """An entropy that can be differentiated; slower."""
    values: bool = False
    """A critic's values; the trainer then trains the critic too."""
    demonstrations: bool = False
    """Responses that somebody else wrote, in place of sampled ones."""
    pairs: bool = False
    """Responses that somebody else wrote and compared, in place of sampled ones."""
    rewards: bool = False
    """A reward of each whole text, by a head of one number in place of the output matrix."""
    reference_point: bool = False
    """The divergence from the reference, estimated on responses of the step after other prompts."""
    proximal_in_credit: bool = False
    """Credit looks at the trainer's own log-probabilities: also where one update a step would leave them out."""

    @property
    def reference_once(self) -> bool:
        """True where the reference is asked of given responses alone, and so once, before training."""
        return self.pairs and self.reference and not self.reference_point

    @property
    def reference_model(self) -> bool:
        """True where the model that training began with stays in memory."""
        return self.reference and not self.reference_once

    @property
    def samples_nothing(self) -> bool:
        """True where all responses are somebody else's."""
        return self.demonstrations or self.pairs
