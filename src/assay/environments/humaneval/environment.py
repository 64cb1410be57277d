"""HumanEval as an environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from assay.config import FileText
from assay.environments.code_rows import CodeRows, human_eval_row
from assay.types import Message, Task


class HumanEval(CodeRows):
    """HumanEval (Chen et al. 2021, https://arxiv.org/abs/2107.03374): functions to complete from their docstring.

    From a local file of the original form, or of EvalPlus's (Liu et al. 2023, https://arxiv.org/abs/2305.01210), whose
    `test` holds more inputs. All 164 are test tasks: nothing is trained on them unless `test_only` is off.
    """

    name: Literal["humaneval"] = "humaneval"
    path: FileText = "hub:openai/openai_humaneval/openai_humaneval/test-00000-of-00001.parquet"
    form: Literal["instruct", "complete"] = "instruct"
    """instruct: asks for the whole function. complete: the prompt is the code itself, for models that are not chat
    models."""
    test_only: bool | None = True

    @pydantic.model_validator(mode="after")
    def _check_form(self) -> HumanEval:
        if self.form == "complete" and self.instruction not in ("", type(self).model_fields["instruction"].default):
            raise ValueError('instruction has no effect with form "complete": leave it out')
        return self

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        question, suite = human_eval_row(row, place)
        task = self.as_task(row, place, question, suite)
        if self.form == "instruct":
            return task
        messages = tuple(m for m in task.prompt if m.role == "system")
        return dataclasses.replace(task, prompt=(*messages, Message("user", suite.prompt)))
