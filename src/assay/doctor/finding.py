"""A finding of the doctor, and the rule that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.doctor.chart import Chart


@dataclass(frozen=True)
class TranscriptPlace:
    """A rollout of the run: where the transcript is that shows a finding."""

    step: int
    """From 0, as in the store."""
    group: int
    member: int
    excerpt: str = ""
    """What the model said there, shortened. Hostile until shown to be safe."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; the step counts from 1, as everywhere that people read."""
        return {"step": self.step + 1, "group": self.group, "member": self.member, "excerpt": self.excerpt}


@dataclass(frozen=True)
class Symptom:
    """Something wrong with a run."""

    what: str
    """What is wrong, in a sentence."""
    numbers: Mapping[str, float | int | str]
    """The numbers that say so, each by its name."""
    step: int | None
    """The step from which on it is seen, from 0; None where it is of the whole run."""
    place: TranscriptPlace | None
    """A transcript that shows it; None where no rollout does."""
    remedies: tuple[str, ...]
    """What to do: settings as `--set` takes them, with a word of why, the likeliest first."""
    rule: str = ""
    """The rule's name."""
    causes: tuple[str, ...] = ()
    """Rules whose findings of the same run explain this one: mend those first."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "rule": self.rule,
            "what": self.what,
            "numbers": dict(self.numbers),
            "step": None if self.step is None else self.step + 1,
            "transcript": None if self.place is None else self.place.to_dict(),
            "remedies": list(self.remedies),
            "causes": list(self.causes),
        }


@dataclass(frozen=True)
class Rule:
    """A rule of the doctor's.

    Args:
        look: a finding; None where there is nothing; a text where it cannot be said, with the reason.
    """

    name: str
    says: str
    """The rule itself, with its numbers, in a sentence."""
    look: Callable[[Chart], Symptom | str | None]
    explained_by: tuple[str, ...] = field(default=())
    """Rules that this one may be a consequence of."""
