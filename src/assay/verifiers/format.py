"""The format verifier: the shape of a response, whatever it says."""

from __future__ import annotations

from typing import ClassVar, Literal

from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.mathematics.boxes import last_box, num_boxes
from assay.verifiers.shape_cases import format_cases
from assay.verifiers.text import MAX_RESPONSE, is_cut_off
from assay.verifiers.verifier import Verifier


class Format(Verifier):
    """Check that the response has the shape that was asked for. Never a reward of its own: it says nothing about truth.

    A control: what a model gains on this reward alone is what format is worth.
    """

    name: Literal["format"] = "format"
    says_truth: ClassVar[bool] = False
    is_cheap: ClassVar[bool] = True
    shape: Literal["box", "reasoning"] = "box"
    """box: exactly one balanced, filled \\boxed{}. reasoning: one closed <think> block first, then an answer."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        response = rollout.response
        if is_cut_off(rollout):
            return Score.failed("cut off")
        if len(response) > MAX_RESPONSE:
            return Score.failed("too long")
        if self.shape == "box":
            content, left_open = last_box(response)
            good = num_boxes(response) == 1 and not left_open and bool(content and content.strip())
        else:
            thought, closing, answer = response.partition("</think>")
            good = (
                thought.lstrip().startswith("<think>")
                and bool(closing)
                and response.count("<think>") == response.count("</think>") == 1
                and bool(answer.strip())
            )
        return Score.solved() if good else Score.failed("shape")

    def cases(self) -> list[Case]:
        return format_cases(self.shape)

    def gold_response(self, task: Task) -> str:
        return "\\boxed{0}" if self.shape == "box" else "<think>.</think>0"
