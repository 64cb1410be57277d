"""inspect-ai's tasks, each sample in a process of its own."""

from __future__ import annotations

from assay.environments.inspect.environment import Inspect

__all__ = ["Inspect"]
