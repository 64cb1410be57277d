"""Scaffolds: what is put between a model and its task, to help it think, plan, look again or remember.

To add one: write a subclass of `Scaffold` in a file of its own, NAME.py, with that `name`. One of your own, outside
this package, is named by `path/to/file.py:Class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.components import make_component
from assay.scaffolds.notes import Notes
from assay.scaffolds.plain import Plain
from assay.scaffolds.plan import Plan
from assay.scaffolds.react import React
from assay.scaffolds.reflect import Reflect
from assay.scaffolds.scaffold import AnyScaffold, Scaffold, Scaffolded, with_handed_on


def make_scaffold(name: str, options: Mapping[str, Any] | None = None) -> Scaffold:
    """The scaffold of this name or place with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    return make_component(Scaffold, name, options)


__all__ = [
    "AnyScaffold",
    "Notes",
    "Plain",
    "Plan",
    "React",
    "Reflect",
    "Scaffold",
    "Scaffolded",
    "make_scaffold",
    "with_handed_on",
]
