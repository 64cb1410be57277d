"""The split of a task: decided by its content alone, never by a seed."""

from __future__ import annotations

import hashlib
import json

from assay.seeds import derive_seed
from assay.types import Split, Task
from assay.verifiers.text import normalise

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def hashed_split(label: str, key: str) -> Split:
    """80, 10 and 10 of 100, by a hash.

    Args:
        label: of the environment, so that two environments do not split alike.
        key: what makes the task the task it is: equal for tasks that must not be parted.
    """
    bucket = derive_seed(label, "split", key) % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def prompt_key(task: Task) -> str:
    """The same for prompts that differ only in white space and in characters that look alike, with the same tools."""
    text = "\n".join(f"{message.role}: {message.text}" for message in task.prompt)
    text += "".join(f"\ntool: {json.dumps(tool.to_dict(), ensure_ascii=False)}" for tool in task.tools)
    return hashlib.sha256(" ".join(normalise(text).split()).encode("utf-8", "surrogatepass")).hexdigest()
