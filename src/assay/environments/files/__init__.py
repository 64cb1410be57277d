"""The files environment: work on a folder of files with a shell, in the sandbox."""

from __future__ import annotations

from assay.environments.files.environment import Files

__all__ = ["Files"]
