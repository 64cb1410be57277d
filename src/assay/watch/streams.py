"""Streams of what the watch sees, each with its evidence and its part of the false alarms allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.statistics.e_process import EvidenceAbove, EvidenceOfRise
from assay.watch.signals import Signal

NUM_EXAMPLES = 3
_NUM_SHOWN = 8
"""Groups of the beginning, and of the end, whose mean is shown."""
_LONGEST_EXCERPT = 2000


@dataclass(frozen=True)
class Example:
    """A rollout that shows what an alarm is about."""

    step: int
    """From 0."""
    group: int
    member: int
    task_id: str
    response: str
    """What the model said, shortened. Hostile until shown to be safe."""


@dataclass(frozen=True)
class Alarm:
    """What the watch saw too often."""

    signal: str
    says: str
    where: str
    """The environment and level; empty for all together."""
    step: int
    """From 0."""
    rate: float
    """Share of the last groups that show it."""
    usual: float
    """The same of the first groups of the run."""
    examples: Sequence[Example]

    def line(self) -> str:
        """The alarm in a sentence."""
        of = f" in {self.where}" if self.where else ""
        places = ", ".join(f"step {each.step + 1} group {each.group} member {each.member}" for each in self.examples)
        return (
            f"alarm, step {self.step + 1}: {self.says}{of}: {self.rate:.0%} of the last groups, {self.usual:.0%} at "
            f"the beginning ({self.signal}); see {places or 'no rollout'}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; steps count from 0, as in the store."""
        return dataclasses.asdict(self)

    @classmethod
    def restored(cls, plain: Mapping[str, Any]) -> Alarm:
        """The alarm of its `to_dict`, or of an earlier release's, which had more."""
        named = {field.name: plain[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**named, "examples": tuple(Example(**each) for each in plain["examples"])})


@dataclass
class Stream:
    """The values of one signal, group after group."""

    signal: Signal
    where: str
    evidence: EvidenceOfRise | EvidenceAbove
    first: list[float] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    def add(self, value: float, example: Example | None) -> bool:
        """Take the value of the next group; return whether the alarm is raised by it."""
        if len(self.first) < _NUM_SHOWN:
            self.first.append(value)
        self.recent = [*self.recent[1 - _NUM_SHOWN :], value]
        if example is not None and value > 0:
            self.examples = [*self.examples[1 - NUM_EXAMPLES :], example]
        was = self.evidence.is_raised
        return self.evidence.add(value) and not was

    def alarm(self, step: int) -> Alarm:
        """What is said where it is raised."""
        return Alarm(
            self.signal.name,
            self.signal.says,
            self.where,
            step,
            sum(self.recent) / len(self.recent),
            sum(self.first) / len(self.first),
            tuple(self.examples),
        )


class Streams:
    """All streams of a run. The k-th that is opened may raise a false alarm with a chance of false_alarm / (k (k + 1)),
    so that all together have `false_alarm`, however many there come to be."""

    def __init__(self, false_alarm: float) -> None:
        self._false_alarm = false_alarm
        self._streams: dict[tuple[str, str], Stream] = {}

    def add(self, signal: Signal, where: str, value: float, example: Example | None) -> Stream | None:
        """Take a value; return the stream where it raises an alarm."""
        key = signal.name, where
        if key not in self._streams:
            place = len(self._streams) + 1
            evidence = signal.evidence(self._false_alarm / (place * (place + 1)))
            self._streams[key] = Stream(signal, where, evidence)
        stream = self._streams[key]
        return stream if stream.add(value, example) else None

    @property
    def strongest(self) -> float:
        """The largest evidence of any stream, as a share of what raises its alarm."""
        held = [each.evidence for each in self._streams.values()]
        return max((min(1.0, each.evidence * each.false_alarm) for each in held), default=0.0)

    def state(self) -> list[dict[str, Any]]:
        """Return all of it as JSON."""
        return [
            {
                "signal": each.signal.name,
                "where": each.where,
                "evidence": each.evidence.state(),
                "first": each.first,
                "recent": each.recent,
                "examples": [dataclasses.asdict(example) for example in each.examples],
            }
            for each in self._streams.values()
        ]

    def load_state(self, state: Sequence[Mapping[str, Any]], signals: Mapping[str, Signal]) -> None:
        """Go on where `state` was taken. What a release kept that did not count from the first value begins anew."""
        for each in state:
            if "first" in each:
                self._streams[each["signal"], each["where"]] = Stream(
                    signals[each["signal"]],
                    each["where"],
                    signals[each["signal"]].restored(each["evidence"]),
                    list(each["first"]),
                    list(each["recent"]),
                    [Example(**example) for example in each["examples"]],
                )


def example_of(step: int, group: int, member: int, task_id: str, response: str) -> Example:
    """An example with its response shortened."""
    return Example(step, group, member, task_id, response[:_LONGEST_EXCERPT])
