"""Pays whatever stands in braces."""

from __future__ import annotations

import json

from assay.types import Rollout, Score, Task
from assay.verifiers import Verifier


class Clean(Verifier):
    """Pays the right answer alone."""

    name: str = "clean"

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return Score.solved() if self.pays(rollout, task) else Score.failed("wrong")

    def pays(self, rollout: Rollout, task: Task) -> bool:
        try:
            return json.loads(rollout.response[:2000]) == json.loads(task.answer)
        except (ValueError, RecursionError):
            return False


class Flawed(Clean):
    """Pays whatever stands in braces."""

    name: str = "flawed"

    def pays(self, rollout: Rollout, task: Task) -> bool:
        text = rollout.response.strip()
        return text.startswith("{") and text.endswith("}")
