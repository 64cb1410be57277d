"""The reasoning_gym verifier: the scorer of the task's own family, behind a guard."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

from pydantic import Field

from assay.environments.reasoning_gym.exact import NOT_EXACTLY_SCORED
from assay.errors import ConfigError, DataError, VerifierError
from assay.host import current_host
from assay.types import Rollout, Score, Task
from assay.verifiers.mathematics.boxes import last_box
from assay.verifiers.pool import LimitExceededError, WorkerPool
from assay.verifiers.text import MAX_RESPONSE, is_cut_off, strip_reasoning
from assay.verifiers.verifier import Verifier

LIBRARY = "reasoning-gym==0.1.25"
_OPENING, _CLOSING = "<answer>", "</answer>"
_ENTRY = ("family", "options", "level", "seed", "index", "entry")
"""Keys that a task's metadata must have for its entry to be made again."""


class ReasoningGymScorer(Verifier):
    """Solved is what the family's own scorer gives 1.0 and, where that scorer also pays wrong answers, an exact check
    of ours accepts too.

    The entry is made again from the task's metadata and scored in a worker process with a hard limit on the wall clock,
    where no part of a response is run as code. Fixed junk responses are scored beside it: where one of them gets 1.0,
    only the gold answer itself is accepted. A scorer that raises has said "wrong", unless it raises on the gold answer
    too: then nothing was measured. In a family that no check can make exact (`exact.NOT_EXACTLY_SCORED`) nothing is
    solved. What each family needs: docs/concepts/reasoning-gym.md.
    """

    name: Literal["reasoning_gym"] = "reasoning_gym"
    answer_form: Literal["bare", "tags", "box", "after"] = "bare"
    """Place of the answer, after any reasoning block. bare: between the last <answer> tags, or where there are none it
    is the whole response. tags: between the last <answer> tags. box: in the last \\boxed{}. after: all that follows the
    last `marker`. White space around it goes; nothing else is changed."""
    marker: str | None = Field(default=None, min_length=1, max_length=100)
    """Such as "Answer:"; for "after"."""
    partial_credit: bool = False
    """True to give a response that is not solved the scorer's value, where that is more than junk gets."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=600)
    """Seconds for each of the two tries; making the entry again counts."""
    num_workers: int | None = Field(default=None, ge=1)
    """Worker processes; None for one a core."""

    def model_post_init(self, context: object) -> None:
        if (self.marker is not None) != (self.answer_form == "after"):
            what = "is needed" if self.marker is None else "has no effect"
            raise ValueError(f"marker {what} with answer_form {self.answer_form!r}")

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        entry = _entry_of(task)
        found, reason = self._find(rollout)
        if found is None:
            return Score.failed(reason)
        evidence = found[:80]
        if not found:
            return Score.failed("empty")
        # The gold answer bounds what is read; formulas and move lists may be written longer than it.
        if len(found) > MAX_RESPONSE + len(task.answer):
            return Score.failed("too long", evidence=evidence)
        pool = worker_pool(self.timeout_seconds, self.num_workers)
        try:
            said = await pool.acall({"call": "score", **entry, "response": found})
        except LimitExceededError:
            await self._check_that_gold_is_quick(pool, entry, task)
            return Score.failed("limit", evidence=evidence)
        if said.get("mismatch"):
            raise VerifierError(
                f"task {task.task_id} cannot be made again: {entry['family']} gives another entry for the same "
                f"seed; use the version it was made with ({LIBRARY} is the one Assay is tested with)"
            )
        return self._judge(said, found, task, evidence)

    def _judge(self, said: dict[str, Any], found: str, task: Task, evidence: str) -> Score:
        if said["score"] is not None and said["score"] >= 1.0 and task.metadata["family"] in NOT_EXACTLY_SCORED:
            return Score.failed("not exactly scored", evidence=evidence)
        if said["junk"] >= 1.0:
            exact = bool(task.answer) and found == task.answer.strip()
            return Score.solved(evidence=evidence) if exact else Score.failed("wrong", evidence=evidence)
        if said["score"] is None:
            if task.answer and said["gold"] is None:
                raise VerifierError(f"the scorer of task {task.task_id} raises on its gold answer: {said['raised']}")
            return Score.failed("unreadable", evidence=evidence)
        if said["score"] >= 1.0:
            return Score.solved(evidence=evidence)
        earned = said["score"] if self.partial_credit and said["score"] > max(said["junk"], 0.0) else 0.0
        return Score.failed("wrong", value=earned, evidence=evidence)

    async def _check_that_gold_is_quick(self, pool: WorkerPool, entry: dict[str, Any], task: Task) -> None:
        """Raises VerifierError where it is the entry that takes too long, whatever the response."""
        try:
            await pool.acall({"call": "score", **entry, "response": task.answer})
        except LimitExceededError:
            raise VerifierError(
                f"scoring task {task.task_id} takes longer than {self.timeout_seconds:g} s, its gold answer too; "
                "raise timeout_seconds"
            ) from None

    def compare(self, task: Task, responses: list[str]) -> list[list[bool]]:
        """[whether the family's own scorer gives 1.0, whether it is solved here] of each bare response, for a check of
        scorers. Slow families answer for the first of them only.

        Raises:
            LimitExceededError: a response that took too long.
            VerifierError: an entry that cannot be made again.
        """
        pool = worker_pool(self.timeout_seconds, self.num_workers)
        return pool.call({"call": "compare", **_entry_of(task), "responses": responses})

    def gold_response(self, task: Task) -> str | None:
        """None for the families whose entries have no answer, only a scorer.

        Raises:
            DataError: a family that is not exactly scored, whose answers are never solved.
        """
        reason = NOT_EXACTLY_SCORED.get(str(task.metadata.get("family")))
        if reason is not None:
            raise DataError(
                f"{task.metadata['family']} of reasoning-gym is not exactly scored, and nothing is solved in it: "
                f"{reason}; choose another family"
            )
        if not task.answer.strip():
            return None
        return {
            "bare": task.answer,
            "tags": f"{_OPENING}{task.answer}{_CLOSING}",
            "box": f"\\boxed{{{task.answer}}}",
            "after": f"{self.marker} {task.answer}",
        }[self.answer_form]

    def _find(self, rollout: Rollout) -> tuple[str | None, str]:
        """The answer, or None and why there is none."""
        text, cut_off = strip_reasoning(rollout.response), is_cut_off(rollout)
        if self.answer_form == "box":
            content, left_open = last_box(text)
            if content is None or (left_open and cut_off):
                return None, "cut off" if cut_off else "no answer"
            return content.strip(), ""
        if self.answer_form == "after":
            _, marker, after = text.rpartition(self.marker or "")
            return (None, "no answer") if not marker else (None, "cut off") if cut_off else (after.strip(), "")
        before, closing, _ = text.rpartition(_CLOSING)
        _, opening, inside = before.rpartition(_OPENING)
        if closing and opening:
            return inside.strip(), ""
        if self.answer_form == "tags" or _OPENING in text:
            return None, "cut off" if cut_off else "no answer"
        return (None, "cut off") if cut_off else (text.strip(), "")


def _entry_of(task: Task) -> dict[str, Any]:
    missing = [key for key in _ENTRY if key not in task.metadata]
    if missing:
        raise DataError(
            f"task {task.task_id} of domain {task.domain!r} is no task of reasoning_gym (its metadata lacks "
            f"{', '.join(missing)}): the verifier reasoning_gym scores those only; use another verifier"
        )
    return {key: task.metadata[key] for key in _ENTRY}


def worker_pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    """The current host's workers that know reasoning-gym.

    Raises:
        ConfigError: the library is not installed.
    """
    key = ("reasoning-gym workers", timeout_seconds, num_workers)
    return current_host().hold(key, lambda: _open_pool(timeout_seconds, num_workers), WorkerPool.close)


def _open_pool(timeout_seconds: float, num_workers: int | None) -> WorkerPool:
    if importlib.util.find_spec("reasoning_gym") is None:
        raise ConfigError(f"reasoning-gym is not installed; install it with: pip install 'assay[gym]' ({LIBRARY})")
    return WorkerPool(
        "assay.environments.reasoning_gym.worker:serve",
        num_workers=num_workers,
        limit_seconds=timeout_seconds,
        # Some generators go through sets of strings: the same order in every process, or entries could not be made
        # again.
        environment={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
    )
