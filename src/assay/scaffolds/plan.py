"""Plan: a plan first, then its steps, checked off, as in plan-and-solve (Wang et al. 2023,
https://arxiv.org/abs/2305.04091)."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from assay.environments import Episode, EpisodeStep
from assay.scaffolds.scaffold import Scaffold, Scaffolded, bounded_lines, with_instruction
from assay.types import Message, Task

MAX_STEPS = 12
MAX_CHARACTERS = 160
"""Characters of a step of the plan that are kept."""
INSTRUCTION = "Do not answer yet. First write a plan: a few steps, each in a line that begins with its number."
NOT_YET = "Error: not carried out, since a plan comes first"
GO = "Now carry the plan out. When a step is done, write a line such as: Done: 1"
_STEP = re.compile(r"^\s*\d{1,2}[.):]\s*(\S.*)$", re.MULTILINE)


class Plan(Scaffold):
    """The first message of the model is a plan that the world does not see; its steps are shown with every message of
    the world, those that the model called done ticked off."""

    name: Literal["plan"] = "plan"

    def around(self, episode: Episode, task: Task) -> Episode:
        return _Planned(episode)

    def max_turns(self, of_the_world: int) -> int:
        return of_the_world + 1


class _Planned(Scaffolded):
    def __init__(self, inner: Episode) -> None:
        super().__init__(inner)
        self._steps: list[str] | None = None
        self._done: set[int] = set()

    async def start(self) -> tuple[Message, ...]:
        return with_instruction(await self.inner.start(), INSTRUCTION)

    async def step(self, message: Message) -> EpisodeStep:
        if self._steps is None:
            self._steps = [step[:MAX_CHARACTERS] for step in _STEP.findall(message.content)][:MAX_STEPS]
            # Some templates, and most servers, want every call answered.
            calls = (Message("tool", NOT_YET, tool_call_id=call.id, name=call.name) for call in message.calls)
            return EpisodeStep((*calls, Message("user", f"{self._checklist()}{GO}")))
        ticks, action = bounded_lines(message.content, "done:", max_lines=MAX_STEPS, max_characters=20)
        self._done |= {int(number) for tick in ticks for number in re.findall(r"\d{1,2}", tick)}
        step = await self.inner.step(dataclasses.replace(message, content=action))
        if step.done or not self._steps:
            return step
        shown = (*step.messages[:-1], self._with_checklist(step.messages[-1])) if step.messages else ()
        return dataclasses.replace(step, messages=shown)

    def _with_checklist(self, message: Message) -> Message:
        return dataclasses.replace(message, content=f"{message.content}\n\n{self._checklist()}".rstrip())

    def _checklist(self) -> str:
        lines = [
            f"[{'x' if number in self._done else ' '}] {number}. {step}"
            for number, step in enumerate(self._steps or [], 1)
        ]
        return "".join(f"{line}\n" for line in ["Your plan:", *lines]) if lines else ""
