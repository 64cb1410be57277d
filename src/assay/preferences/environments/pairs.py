"""Environment `pairs`: each task is a prompt with two responses that somebody compared, or one that is labelled."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pydantic

from assay.config import FileText
from assay.environments.data_files import data_files
from assay.environments.environment import Environment
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.preferences.pair import Labelled, Messages, Pair, text_of_messages
from assay.preferences.read import read_preferences, unpaired
from assay.seeds import derive_seed
from assay.types import Split, Task

Judged = Pair | Labelled


class Pairs(Environment):
    """Comparisons from a file, in any of the forms that `assay prefer` reads.

    Which split a comparison is in depends on its prompt alone, so that no prompt is on two sides: 80, 10 and 10 of 100
    by a hash of it, or with `test_path` 90 and 10, and that file is the test. A task's answer is the preferred
    response; an algorithm that samples may be rewarded on the prompts by any verifier.
    """

    name: Literal["pairs"] = "pairs"
    path: FileText = pydantic.Field(min_length=1)
    """A .jsonl, .json, .csv or .parquet file of comparisons, each also with .gz, or "hub:owner/dataset/path/in/it"."""
    test_path: FileText | None = None
    """The test split's own file."""
    overlap: Literal["error", "leave_out"] = "error"
    """Treatment of a prompt of `path` that is in `test_path` too: an error, or with leave_out it is not trained on."""
    of: Literal["pairs", "labels"] = "pairs"
    """What a task holds. pairs: two responses. labels: one, with a label of its own, which `kto` learns from; of each
    pair the preferred response as a good one, and the other as a bad one."""
    ties: Literal["leave_out", "keep"] = "leave_out"
    """Treatment of ties, counted either way. keep: for reward models, which learn from them."""
    as_chat: bool = True
    """True to read plain text as chat messages, as a chat model is asked. False keeps the text as it stands, white
    space included."""

    gives_pairs: ClassVar[bool] = True

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if self.test_path == self.path:
            raise ValueError(f"test_path is path, {self.path}: every test task would be trained on; leave it out")
        if self.test_path is None and self.overlap != "error":
            raise ValueError(f"overlap {self.overlap!r} has no effect without test_path: leave it out")
        if self.of == "labels" and self.ties != "leave_out":
            raise ValueError('ties has no effect with of = "labels", where each response has a label: leave it out')
        return self

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The data.

        Raises:
            DataError: there is none.
        """
        return {source: data_files(source) for source in (self.path, self.test_path) if source is not None}

    @property
    def notes(self) -> tuple[str, ...]:
        """Number of tasks in each split, and what was left out, in a sentence each.

        Raises:
            DataError: the file cannot be read, or holds nothing that is asked for.
        """
        splits, told = self._loaded
        counts = ", ".join(f"{len(tasks):,} {split}" for split, tasks in splits.items() if tasks)
        return (f"{self.name}: {counts} {self.of} from {self.path}", *told)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """The tasks of a split, in an order fixed by the seed; there are no dials.

        Raises:
            DataError: the file cannot be read, the split is empty or unknown, or a dial is set.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if complexity is not None or horizon is not None:
            raise DataError(f"{self.name} has no dials: leave complexity and horizon out")
        tasks = self._loaded[0][split]
        if not tasks:
            raise DataError(
                f"the {split} split of {self.path} is empty: which split a comparison is in is a hash of its prompt, "
                "and few prompts may leave one without any; add comparisons, or give the test a file as test_path"
            )
        return iter(sorted(tasks, key=lambda task: derive_seed(seed, self.name, split, task.task_id)))

    @functools.cached_property
    def _loaded(self) -> tuple[Mapping[Split, tuple[Task, ...]], tuple[str, ...]]:
        notes: list[str] = []
        own = self._read(self.path, notes)
        test = [] if self.test_path is None else self._read(self.test_path, notes)
        in_test = {judged.prompt_key for judged in test}
        shared = {judged.prompt_key for judged in own} & in_test
        if shared and self.overlap == "error":
            raise DataError(
                f"{len(shared)} prompts of {self.path} are in {self.test_path} too: the test would measure memory; "
                'remove them, or set overlap="leave_out" so that they are not trained on'
            )
        splits: dict[Split, list[Task]] = {"train": [], "validation": [], "test": list(_tasks(self.name, test))}
        for judged, task in zip(own, _tasks(self.name, own), strict=True):
            if judged.prompt_key in shared:
                continue
            split = hashed_split("pairs", judged.prompt_key)
            splits["train" if split == "test" and self.test_path is not None else split].append(task)
        return {split: tuple(tasks) for split, tasks in splits.items()}, tuple(notes)

    def _read(self, source: str, notes: list[str]) -> list[Judged]:
        found = read_preferences(source, as_chat=self.as_chat)
        notes += [f"{source}: {line}" for line in found.told()]
        if self.of == "labels":
            judged: list[Judged] = [*found.labelled, *(each for pair in found.pairs for each in unpaired(pair))]
        else:
            judged = [pair for pair in found.pairs if self.ties == "keep" or not pair.is_tie]
            if num_ties := sum(pair.is_tie for pair in found.pairs):
                notes.append(f"{source}: {num_ties} ties are {'kept' if self.ties == 'keep' else 'left out'}")
        if not judged:
            why = "; ".join(notes) or f"it has {len(found.labelled)} labelled responses and {len(found.pairs)} pairs"
            raise DataError(f"{source} holds none of the {self.of} that are asked for: {why}")
        unanswered = next((each for each in judged if not each.prompt), None)
        if unanswered is not None:
            raise DataError(f"{unanswered.source} has no prompt: name it in a column `prompt`")
        return judged


def _tasks(domain: str, judged: Sequence[Judged]) -> Iterator[Task]:
    """A task of each comparison; of the same one, judged again, another task."""
    seen: Counter[str] = Counter()
    for each in judged:
        responses, world = _responses(each)
        repeated = f"{each.prompt_key} {world}"
        seen[repeated] += 1
        metadata: dict[str, Any] = {
            **dict(each.metadata),
            "responses": responses,
            "world": {**world, "judgement": seen[repeated]},
            "source": each.source,
        }
        if isinstance(each, Pair):
            stated = {"margin": each.margin, "annotator": each.annotator}
            metadata |= {key: value for key, value in stated.items() if value is not None}
        best = max(responses, key=lambda response: response["value"])
        yield Task(domain=domain, prompt=each.prompt, answer=best["text"], metadata=metadata)


def _responses(judged: Judged) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The responses with their values, and what tells this comparison from others."""
    if isinstance(judged, Labelled):
        given = [(judged.response, float(judged.label))]
    elif judged.chosen is None or judged.rejected is None:
        given = [(judged.first, 0.5), (judged.second, 0.5)]
    else:
        given = [(judged.chosen, 1.0), (judged.rejected, 0.0)]
    responses = [_response(messages, value) for messages, value in given]
    return responses, {"compared": [[response["text"], response["value"]] for response in responses]}


def _response(messages: Messages, value: float) -> dict[str, Any]:
    return {
        "messages": [message.to_record() for message in messages],
        "text": text_of_messages(messages),
        "value": value,
    }
