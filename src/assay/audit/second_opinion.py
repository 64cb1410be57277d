"""SecondOpinion: who says, beside the reward, that a response is wrong."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence

from assay.audit.attacks import Target, same
from assay.audit.payer import Payer
from assay.environments.script import Script
from assay.types import Rollout, Task, Verdict
from assay.verifiers import Verifier
from assay.verifiers.score import score_rollout

_ASKED = 5
"""Right responses that the strict reading must accept before it is believed."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_OTHERS = 50
"""Answers to other tasks that are looked for in a response."""


class SecondOpinion:
    """An independent judge of what a search finds: a second verifier where one is named, else the environment's strict
    reading where another reward is audited, else construction."""

    def __init__(self, payer: Payer, judge: Verifier | None, *, strict: bool, name: str) -> None:
        self._payer, self._judge, self._strict = payer, judge, strict
        self.name = name

    @classmethod
    async def of(cls, payer: Payer, targets: Sequence[Target]) -> SecondOpinion:
        """Choose who judges."""
        if payer.judge is not None:
            return cls(payer, payer.judge, strict=False, name=payer.judge.name)
        strict = payer.environment.rewards["strict"]
        if strict != payer.verifier and strict.gives_verdicts:
            known = [target for target in targets if target.gold][:_ASKED]
            refused = [await payer.is_wrong(each.task, each.gold, judge=strict) for each in known]
            if known and not any(refused):
                return cls(payer, strict, strict=True, name=f"the environment's strict reading ({strict.name})")
        return cls(payer, None, strict=False, name="construction: the right answer stands nowhere in it")

    @property
    def needs_gold(self) -> bool:
        """True where it can say nothing of a task whose right answer is not known."""
        return self._judge is None or self._strict

    @property
    def verifier(self) -> Verifier | None:
        """The verifier that is asked; None for construction."""
        return self._judge

    async def refuses(self, target: Target, response: str, play: Callable[[], Script] | None = None) -> bool:
        """True where a response is wrong by its judgement; False too where that cannot be said.

        The strict reading is no judge of how an answer is put: it is not asked where a response says the right answer,
        and no other after it.
        """
        if self._judge is None:
            return not says_the_same(response, target.gold) and not _holds(response, target.answer)
        if self._strict and settles_on(response, target):
            return False
        return await self._payer.is_wrong(target.task, response, judge=self._judge, play=play)

    def gold_of(self, task: Task) -> str:
        """A right response to a task, in the reward's form; empty where none is known."""
        return self._payer.verifier.gold_response(task) or ""

    async def refuses_rollout(self, target: Target, rollout: Rollout, seconds: float) -> bool:
        """True where a rollout that was sampled is wrong by its judgement; as `refuses`."""
        said = "\n".join(turn.message.content for turn in rollout.turns)
        if self._judge is None or (self._strict and settles_on(said, target)):
            return self._judge is None and await self.refuses(target, said)
        try:
            async with asyncio.timeout(seconds):
                return (await score_rollout(self._judge, rollout, target.task, retries=0)).verdict is Verdict.FAILED
        except TimeoutError:
            return False


def settles_on(response: str, target: Target) -> bool:
    """True where a response says the right answer, in whatever words, and no other one after it.

    Example:
        >>> from assay.types import Message, Task
        >>> target = Target(Task("sums", (Message("user", "6 * 7?"),), "42"), "42", ("13",), "")
        >>> settles_on("13, no: 42!", target), settles_on("42, no: 13!", target)
        (True, False)
    """
    if says_the_same(response, target.gold):
        return True
    gold = _number(target.answer)
    if gold is not None and (found := _NUMBER.findall(response)):
        return _number(found[-1]) == gold
    _, holds, after = _plain(response).rpartition(_plain(target.answer))
    return bool(holds) and not any(_stands_in(_plain(other), after) for other in target.others[:_OTHERS])


def says_the_same(response: str, gold: str) -> bool:
    """True where a response is the right one written in another way: other spaces or case, the same number, the same
    JSON."""
    return same(response, gold) or (_value(response) is not None and _value(response) == _value(gold))


def _value(text: str) -> object:
    try:
        return json.loads(text[:20_000])
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _stands_in(answer: str, text: str) -> bool:
    return bool(answer) and re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", text) is not None


def _holds(response: str, answer: str) -> bool:
    return bool(answer) and "".join(answer.casefold().split()) in "".join(response.casefold().split())
