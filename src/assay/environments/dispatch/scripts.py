"""Scripts that dispatch: one plans anew each turn from what is shown, one takes the first job on the list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from assay.types import Message, Tool

Shown = tuple[str, int, int, int]
"""Name, minutes, by, worth of a job."""


def best_first(time: int, end: int, jobs: Sequence[Shown]) -> str | None:
    """Return the first job of the best plan for the jobs that are known, by what they pay in all, and then by when they
    are done; None where none can be finished in time. A turn takes a minute before its job begins.
    """

    @cache
    def plan(now: int, left: frozenset[Shown]) -> tuple[int, int, str]:
        options = [(0, -now, "")]
        for job in sorted(left):
            name, minutes, by, worth = job
            finished = now + 1 + minutes
            if finished <= min(by, end):
                paid, done, _ = plan(finished, left - {job})
                options.append((worth + paid, done, name))
        return max(options, key=lambda option: option[:2])

    return plan(time, frozenset(jobs))[2] or None


def jobs_in(text: str) -> tuple[int, int, list[Shown]]:
    """Return the minute, the last minute and the jobs that a message shows."""
    now, end = re.findall(r"Minute (\d+) of (\d+)\.", text)[-1]
    jobs = re.findall(r"^([A-Z]): (\d+) min, by (\d+), worth (\d+)$", text, re.MULTILINE)
    return int(now), int(end), [(name, int(minutes), int(by), int(worth)) for name, minutes, by, worth in jobs]


class Planner:
    """Does the first job of the best plan for what is shown, and waits where there is none."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        first = best_first(*jobs_in(messages[-1].content))
        return Message("assistant", f"do {first}" if first else "wait")


class FirstOnTheList:
    """Does the job that came first, whatever it pays and whenever it is due."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        jobs = jobs_in(messages[-1].content)[2]
        return Message("assistant", f"do {jobs[0][0]}" if jobs else "wait")
