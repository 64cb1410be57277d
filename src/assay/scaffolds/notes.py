"""Notes: a notebook that stays when older turns leave the context, so that an episode can be longer than it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import pydantic

from assay.environments import Episode, EpisodeStep
from assay.scaffolds.scaffold import HANDED_ON, Scaffold, Scaffolded, bounded_lines, with_instruction
from assay.types import Message, Task

MAX_NOTE_CHARACTERS = 200
INSTRUCTION = (
    "You will forget all but the last messages. What you must remember, write in lines that begin with Note: and it "
    "will be shown to you again."
)
PERSISTS = "The same holds for tasks after this one."


class Notes(Scaffold):
    """The model sees the task, its notebook and the last turns; the rest has left the context.

    Lines that begin with "Note:" go into the notebook, and the world does not see them. They are the model's own tokens
    and trained as its actions; where they are shown again they are context. From the turn on at which something is
    left out, each turn is a conversation of its own, and so a sample of its own.
    """

    name: Literal["notes"] = "notes"
    last_turns: int = pydantic.Field(default=2, ge=0)
    """Turns that are shown as they were, beside the task and the notebook."""
    max_notes: int = pydantic.Field(default=16, ge=1, le=256)
    """Notes that are kept, the newest of them."""
    persist: bool = False
    """True to hand the notebook on to the next episode of the stream, in evaluations alone: sample s of each task, in
    the order of the tasks, is stream s. An episode that breaks hands on what it was handed."""

    def around(self, episode: Episode, task: Task) -> Episode:
        return _Noting(episode, self, tuple(task.metadata.get(HANDED_ON, ())) if self.persist else ())

    @property
    def persists(self) -> bool:
        return self.persist

    def handed_on(self, before: tuple[str, ...], said: Sequence[str]) -> tuple[str, ...]:
        """The notebook at the end of an episode."""
        notes = before
        for text in said:
            notes, _ = self.noted(notes, text)
        return notes

    def noted(self, notes: tuple[str, ...], text: str) -> tuple[tuple[str, ...], str]:
        """Return the notebook after a message, and the message without its notes."""
        new, said = bounded_lines(text, "note:", max_lines=self.max_notes, max_characters=MAX_NOTE_CHARACTERS)
        return (*notes, *new)[-self.max_notes :], said


class _Noting(Scaffolded):
    def __init__(self, inner: Episode, settings: Notes, notes: tuple[str, ...] = ()) -> None:
        super().__init__(inner)
        self._settings = settings
        self._opening: tuple[Message, ...] = ()
        self._turns: list[tuple[Message, ...]] = []
        """The model's message and the world's answer, turn by turn."""
        self._notes = notes

    async def start(self) -> tuple[Message, ...]:
        told = f"{INSTRUCTION} {PERSISTS}" if self._settings.persist else INSTRUCTION
        self._opening = with_instruction(await self.inner.start(), told)
        return with_instruction(self._opening, self._notebook()) if self._notes else self._opening

    async def step(self, message: Message) -> EpisodeStep:
        self._notes, said = self._settings.noted(self._notes, message.content)
        step = await self.inner.step(dataclasses.replace(message, content=said))
        if step.done:
            return step
        if step.restart:
            self._opening, self._turns = step.messages, []
            return step
        self._turns.append((message, *step.messages))
        if len(self._turns) <= self._settings.last_turns:
            return step
        self._turns = self._turns[-self._settings.last_turns - 1 :]
        return dataclasses.replace(step, messages=self._shown(), restart=True)

    def _shown(self) -> tuple[Message, ...]:
        """The task, the notebook, what the world said before the turns that are kept, and these."""
        (_, *before), *kept = self._turns
        text = "\n\n".join([self._notebook(), *(message.text for message in before)])
        return (*with_instruction(self._opening, text), *(message for turn in kept for message in turn))

    def _notebook(self) -> str:
        return "\n".join(["Your notes:", *(f"- {note}" for note in self._notes or ("none",))])
