"""Plain: no scaffold."""

from __future__ import annotations

from typing import Literal

from assay.environments import Episode
from assay.scaffolds.scaffold import Scaffold
from assay.types import Task


class Plain(Scaffold):
    """The task as it is."""

    name: Literal["plain"] = "plain"

    def around(self, episode: Episode, task: Task) -> Episode:
        return episode
