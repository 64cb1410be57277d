"""Requests: how the requests of one rollout are named and seeded."""

from __future__ import annotations

from dataclasses import dataclass

from assay.seeds import derive_seed


@dataclass(frozen=True)
class Requests:
    """Names and seeds of the requests of one rollout, by their number."""

    label: str
    run_seed: int
    group_id: int
    member: int

    @property
    def name(self) -> str:
        """The beginning of their ids."""
        return f"{self.label}/{self.group_id}/{self.member}"

    def seed(self, number: int) -> int:
        """The seed of a request."""
        return derive_seed(self.run_seed, self.label, self.group_id, self.member, number)
