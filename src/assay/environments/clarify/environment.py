"""The clarify environment: an under-specified request, and a customer who knows what was meant."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pydantic

from assay.environments.clarify.customer import Customer, form_text, needed, request
from assay.environments.clarify.forms import CONDITIONAL, DELIVERY, DOOR, FORMS, HANDOVER, read_order
from assay.environments.clarify.scripts import AskingScript, BlindScript
from assay.environments.dials import Generated, numbered_tasks
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task

_MAX_TURNS = 32


class Clarify(Generated):
    """Take the order of a customer who said too little: ask for what is missing, one thing a turn, then order.

    Horizon, 1 to 6, is the number of questions that are needed. Complexity is what else is to be kept apart:

    | level | said at once                              | on the form, beside what is missing            |
    |-------|-------------------------------------------|------------------------------------------------|
    | 1     | one thing                                 | that                                           |
    | 2     | two things                                | those                                          |
    | 3     | two things, and pickup or delivery        | those, and the door, which a pickup has no use |
    | 4     | the same, one of them corrected at once   | the same                                       |

    A right order earns 1, less `question_cost` for each needless question: for what was said already, for what does not
    matter, for two things at once, or one that cannot be understood. Any other order, or none, earns 0.
    """

    max_complexity: ClassVar[int] = 4
    max_horizon: ClassVar[int] = 6
    horizon_unit: ClassVar[str] = "questions needed"

    name: Literal["clarify"] = "clarify"
    question_cost: float = pydantic.Field(default=0.1, ge=0.0, le=1.0)
    """Reward that a needless question costs; a right order never earns less than 0."""

    @property
    def max_turns(self) -> int:
        return _MAX_TURNS

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""

        def make(number: int) -> Task | None:
            world = _drawn(complexity, horizon, random.Random(derive_seed(self.name, complexity, horizon, number)))
            # By what is meant: one order that is asked for with more and with less said is in one split.
            meant = f"{world['thing']}: {sorted(world['truth'].items())}"
            return self._task(complexity, horizon, world) if hashed_split(self.name, meant) == split else None

        return numbered_tasks(make, derive_seed(seed, self.name, split, complexity, horizon))

    def _task(self, complexity: int, horizon: int, world: Mapping[str, Any]) -> Task:
        truth = world["truth"]
        text = (
            f"Take a customer's order. The form must be filled.\nForm: {form_text(_form(world))}\n"
            "Ask for what is missing, one thing a turn, such as: size? Ask nothing else. Then say order and all "
            f"choices.\nCustomer: {request(world['thing'], truth, world['stated'], world['corrected'])}"
        )
        meant = ", ".join(f"{name} {truth[name]}" for name in needed(truth))
        return Task(
            self.name,
            (Message("user", text),),
            answer=f"order {meant}",
            complexity=complexity,
            horizon=horizon,
            metadata={"canonical": f"{text} {meant}", "world": world},
        )

    def episode(self, task: Task) -> Episode:
        world = task.metadata["world"]
        return ClarifyEpisode(task, Customer(_form(world), world["truth"], set(world["stated"])), self.question_cost)

    def expert(self, task: Task) -> Script:
        """Asks for what is missing, then orders."""
        return AskingScript()

    def weak(self, task: Task) -> Script:
        """Orders what was said, and never asks."""
        return BlindScript()


def _drawn(complexity: int, num_missing: int, rng: random.Random) -> dict[str, Any]:
    """An order, what is said of it at once, and what is missing."""
    thing = rng.choice(list(FORMS))
    num_stated = min(complexity, 2)
    conditional = complexity >= 3
    delivery = conditional and rng.random() < 0.5
    others = rng.sample(list(FORMS[thing]), num_stated + num_missing - delivery)
    stated, names = others[:num_stated], list(others)
    if conditional:
        names += [HANDOVER, DOOR]
        stated.append(HANDOVER)
    rng.shuffle(names)
    form = {name: _choices(thing, name) for name in names}
    truth = {name: rng.choice(choices) for name, choices in form.items()}
    if conditional:
        truth[HANDOVER] = DELIVERY if delivery else CONDITIONAL[HANDOVER][0]
    corrected = None
    if complexity >= 4:
        name = rng.choice(others[:num_stated])
        corrected = [name, rng.choice([choice for choice in form[name] if choice != truth[name]])]
    return {"thing": thing, "truth": truth, "stated": stated, "corrected": corrected}


def _choices(thing: str, name: str) -> tuple[str, ...]:
    return CONDITIONAL[name] if name in CONDITIONAL else FORMS[thing][name]


def _form(world: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: _choices(world["thing"], name) for name in world["truth"]}


@dataclass
class ClarifyEpisode(Episode):
    """The customer answers questions; a message that begins with "order" ends the episode."""

    task: Task
    _customer: Customer
    _question_cost: float
    _order: dict[str, str] | None = field(default=None, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._order = read_order(message.content, self._customer.form)
        if self._order is not None:
            return EpisodeStep(done=True)
        answer = self._customer.answer(message.content)
        state = f"known {', '.join(sorted(self._customer.known))}; {self._customer.num_needless} needless"
        return EpisodeStep((Message("user", answer),), state=state)

    async def score(self) -> Score:
        truth, order = self._customer.truth, self._order or {}
        names = needed(truth)
        right = [name for name in names if order.get(name) == truth[name]]
        parts = {
            "choices_right": len(right) / len(names),
            "questions": float(self._customer.num_asked),
            "questions_needless": float(self._customer.num_needless),
        }
        if self._order is None:
            return Score.failed("no order", parts=parts)
        if len(right) < len(names):
            return Score.failed("wrong order", parts=parts)
        return Score.solved(max(0.0, 1.0 - self._question_cost * self._customer.num_needless), parts=parts)
