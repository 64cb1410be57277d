"""The chained environment: any single-turn environment with whole-number answers, made long."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import pydantic

from assay.environments.arithmetic import Arithmetic
from assay.environments.chained.links import Link, link_of, restored
from assay.environments.dials import whole_dial
from assay.environments.environment import AnyEnvironment, Environment, Level, require_tasks, rewards_of
from assay.environments.episode import Episode, EpisodeStep, SingleTurn
from assay.environments.script import Script
from assay.errors import DataError, VerifierError
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task, Tool
from assay.verifiers import EpisodeScore, Verifier
from assay.verifiers.score import score_rollout
from assay.verifiers.verifier import as_rollout

MAX_HORIZON = 64
_POOL, _FRESH = 32, 2
"""Questions at hand for a chain, and how many of them are replaced by fresh ones after each."""
_CANDIDATES = 8
"""Questions of which the next one is chosen, by how near its number is to the last answer."""
_MAX_MISFITS = 100
"""Questions in a row at the start that cannot be chained, after which the environment is refused."""
_MAX_REPEATS = 1_000
"""Chains in a row that were there already, after which there are no more."""


class Chained(Environment):
    """Another environment's questions, each needing the answer of the one before: "X is the last answer plus 8. What is
    X + 45?"

    In each question after the first, X stands for the first whole number, and is given by the last answer: the question
    stays the one that its own gold answer and verifier are for. That works for environments of one turn whose answers
    are whole numbers and whose questions hold one; others are refused with the reason, and single tasks that do not fit
    are left out. Horizon, 1 to 64, is the number of questions; complexity is the other environment's. All questions of
    a chain are of its split there. A chain is solved where its last answer is right.
    """

    horizon_unit: ClassVar[str] = "questions"
    name: Literal["chained"] = "chained"
    of: AnyEnvironment = Arithmetic()
    """The environment whose questions these are, at its default horizon."""
    form: Literal["turns", "single"] = "turns"
    """"turns": a question each turn, without a word on whether the last answer was right; "single": all questions of
    the same tasks in one prompt, and the last one's answer."""
    pays_turns: bool = False
    """True to pay each turn with a right answer 1 over the number of questions."""

    @pydantic.model_validator(mode="after")
    def _checked(self) -> Self:
        if self.of.max_turns != 1:
            raise ValueError(
                f"chained makes environments of one turn long, and an episode of {self.of.name} has up to "
                f"{self.of.max_turns}; choose another one in `of`"
            )
        if not rewards_of(self.of)["strict"].gives_verdicts:
            raise ValueError(
                f"chained asks whether each answer is right, and the reward of {self.of.name} is a number without a "
                "verdict: set its solved_at to the least reward that solves, or choose another environment in `of`"
            )
        if self.pays_turns and self.form == "single":
            raise ValueError('pays_turns has no effect with form = "single", which is one turn; leave one of them out')
        return self

    @property
    def max_turns(self) -> int:
        return MAX_HORIZON if self.form == "turns" else 1

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """With turns the episode's own word; in one turn the other environment's rewards, on the last answer."""
        return {"strict": EpisodeScore()} if self.form == "turns" else self.of.rewards

    def levels(self) -> tuple[Level, ...]:
        """Each complexity that the other environment lists at its first horizon, with 1, 2, 4 and 8 questions."""
        listed = self.of.levels()
        complexities = dict.fromkeys(complexity for complexity, horizon in listed if horizon == listed[0][1])
        return tuple((complexity, horizon) for horizon in (1, 2, 4, 8) for complexity in complexities)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Chains of the split, drawn from its questions: no end to them, but for few questions.

        Raises:
            DataError: a dial out of range, or an environment whose questions cannot be chained.
        """
        length = whole_dial(self.name, "horizon", horizon, 2, MAX_HORIZON)
        return require_tasks(self._generate(split, complexity, length, seed), self, split, complexity, length)

    def _generate(self, split: Split, complexity: float | None, horizon: int, seed: int) -> Iterator[Task]:
        links = self._links(split, complexity, seed)
        if horizon == 1:
            for link in links:
                yield self._task([link], complexity)
            return
        rng = random.Random(derive_seed(seed, self.name, self.of.name, split, str(complexity), horizon))
        pool = list(itertools.islice(links, _POOL))
        seen: set[str] = set()
        repeats = 0
        while len(pool) > 1 and repeats < _MAX_REPEATS:
            chain = [rng.choice(pool)]
            while len(chain) < horizon:
                others = [link for link in pool if link is not chain[-1]]
                some = rng.sample(others, min(_CANDIDATES, len(others)))
                chain.append(min(some, key=lambda link: abs(link.number - chain[-1].answer)))
            task = self._task(chain, complexity)
            repeats += 1
            if task.metadata["canonical"] not in seen:
                seen.add(task.metadata["canonical"])
                repeats = 0
                for fresh in itertools.islice(links, _FRESH):
                    pool[rng.randrange(len(pool))] = fresh
                yield task

    def _links(self, split: Split, complexity: float | None, seed: int) -> Iterator[Link]:
        """The other environment's tasks that can be chained.

        Raises:
            DataError: none of the first ones can.
        """
        misfits: list[str] = []
        fits = False
        for task in self.of.tasks(split, complexity=complexity, seed=seed):
            link = link_of(task) if isinstance(self.of.episode(task), SingleTurn) else "its episode is no single turn"
            if isinstance(link, Link):
                fits = True
                yield link
            else:
                misfits.append(link)
            if not fits and len(misfits) >= _MAX_MISFITS:
                break
        if misfits and not fits:
            raise DataError(
                f"the tasks of {self.of.name} cannot be chained: of the first, {misfits[0]}; chained takes questions "
                "with a whole number and a whole-number answer: choose another environment in `of`"
            )

    def _task(self, chain: Sequence[Link], complexity: float | None) -> Task:
        *head, first = chain[0].task.prompt
        texts = [chain[0].text]
        if self.form == "turns":
            texts += [link.after(before.answer, "the last answer") for before, link in itertools.pairwise(chain)]
            opening = Message(first.role, texts[0])
        else:
            for number, (before, link) in enumerate(itertools.pairwise(chain), start=1):
                texts.append(link.after(before.answer, f"the answer to question {number}"))
            lines = [f"Question {number}: {text}" for number, text in enumerate(texts, start=1)]
            ask = f"Say only the answer to question {len(chain)}."
            opening = Message(first.role, "\n".join([*lines, ask]) if len(chain) > 1 else texts[0])
        return Task(
            self.name,
            (*head, opening),
            answer=chain[-1].task.answer,
            complexity=complexity if complexity is not None else chain[0].task.complexity,
            horizon=len(chain),
            metadata={
                # What a verifier of the last question may read; with turns each question is scored as its own task.
                **(chain[-1].task.metadata if self.form == "single" else {}),
                "canonical": " -> ".join(str(link.task.metadata.get("canonical", link.task.task_id)) for link in chain),
                "world": {"questions": texts, "tasks": [link.task.to_dict() for link in chain]},
            },
        )

    def episode(self, task: Task) -> Episode:
        if self.form == "single":
            return SingleTurn(task)
        return ChainedEpisode(task, rewards_of(self.of)["strict"], self.pays_turns)

    def expert(self, task: Task) -> Script | None:
        """Puts the number that X is into each question, and answers as the other environment's expert does; None where
        that has none."""
        script = self.of.expert(task)
        return None if script is None else ChainedScript(script)

    def weak(self, task: Task) -> Script | None:
        """The other environment's weak script, for which X is nothing."""
        return self.of.weak(task)


@dataclass
class ChainedEpisode(Episode):
    """Question by question; nothing says whether an answer was right."""

    task: Task
    _verifier: Verifier
    _pays_turns: bool
    _right: list[bool] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._questions: Sequence[str] = self.task.metadata["world"]["questions"]
        self._tasks = [Task.from_dict(record) for record in self.task.metadata["world"]["tasks"]]

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        asked = self._tasks[len(self._right)]
        score = await score_rollout(self._verifier, as_rollout(message.content, asked), asked)
        if not score.measured:
            raise VerifierError(f"an answer to task {asked.task_id} of {asked.domain} was not measured: {score.reason}")
        self._right.append(score.verdict.value == "solved")
        reward = self._right[-1] / len(self._tasks) if self._pays_turns else None
        if len(self._right) == len(self._tasks):
            return EpisodeStep(reward=reward, done=True)
        question = Message("user", self._questions[len(self._right)])
        # What a later answer must be depends on no earlier one; whether X is known does.
        return EpisodeStep((question,), reward, state=f"question {len(self._right) + 1}, last right: {self._right[-1]}")

    async def score(self) -> Score:
        count = len(self._tasks)
        parts = {"answers_right": sum(self._right) / count}
        if False in self._right:
            parts["first_wrong"] = self._right.index(False) + 1.0
        if len(self._right) == count and self._right[-1]:
            return Score.solved(parts=parts)
        return Score.failed(
            "last answer wrong" if len(self._right) == count else "not answered to the end", parts=parts
        )


@dataclass
class ChainedScript:
    """Answers each question as another script does that is shown it alone, with X filled in."""

    _of: Script

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        *head, last = messages
        lines = [line for line in last.content.splitlines() if line.startswith("Question ")]
        if not lines:
            previous = next((_last_number(said.content) for said in reversed(head) if said.role == "assistant"), 0)
            return self._of.reply([*head, Message("user", restored(last.content, previous))], tools)
        answer, previous = Message("assistant", ""), 0
        for line in lines:
            question = restored(line.partition(": ")[2], previous)
            answer = self._of.reply([*head, Message("user", question)], tools)
            previous = _last_number(answer.content)
        return answer


def _last_number(text: str) -> int:
    found = re.findall(r"-?\d+", text)
    return int(found[-1]) if found else 0
