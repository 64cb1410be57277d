"""Python: tasks from a function of your own."""

from __future__ import annotations

from assay.environments.python.environment import PythonTasks

__all__ = ["PythonTasks"]
