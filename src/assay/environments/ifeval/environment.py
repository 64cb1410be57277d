"""IFEval as an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from assay.config import FileText
from assay.environments.file_environment import FileEnvironment
from assay.environments.instructions import Constraint, InstructionsFollowed
from assay.errors import DataError
from assay.types import Message, Task
from assay.verifiers import Verifier


class IFEval(FileEnvironment):
    """IFEval (Zhou et al. 2023, https://arxiv.org/abs/2311.07911): 541 prompts with one to three instructions each.

    From the hub, or from a local file of the same form (`path`): rows with "prompt", "instruction_id_list" and
    "kwargs". Complexity is the number of instructions. Rows have no gold answer. All are test tasks: the prompts are in
    the pre-training of most models; train on the environment `instructions`.

    Our checks refuse forms that nobody meant, and read some families otherwise than the paper's program does
    (docs/concepts/fields.md), so that a score is not the published one.
    """

    name: Literal["ifeval"] = "ifeval"
    path: FileText = "hub:google/IFEval/ifeval_input_data.jsonl"
    test_only: bool | None = True

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": InstructionsFollowed()}

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        prompt, families, arguments = (row.get(name) for name in ("prompt", "instruction_id_list", "kwargs"))
        if not isinstance(prompt, str) or not isinstance(families, list) or not isinstance(arguments, list):
            raise DataError(f'{place} needs "prompt", "instruction_id_list" and "kwargs", a text and two lists')
        if not families or len(families) != len(arguments) or not all(isinstance(each, dict) for each in arguments):
            raise DataError(f"{place} has {len(families)} instructions and {len(arguments)} kwargs; an object for each")
        constraints = [
            Constraint.read(str(family), each, place) for family, each in zip(families, arguments, strict=True)
        ]
        return Task(
            domain=self.name,
            prompt=(Message("user", prompt),),
            answer="",
            complexity=len(constraints),
            metadata={
                "row": place,
                "id": str(row.get("key", "")),
                "constraints": [each.to_dict() for each in constraints],
            },
        )
