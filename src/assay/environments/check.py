"""check_environment: holds an environment to what it promises."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence

from assay.environments.check_reward import check_leaks, check_near_misses
from assay.environments.contamination import Overlap, example_of, overlaps
from assay.environments.environment import Environment, require_tasks
from assay.environments.splits import SPLITS
from assay.errors import ContractError
from assay.types import Split, Task
from assay.verifiers.check import check_gold
from assay.verifiers.verifier import Verifier

MAX_CONTAINED = 0.05
"""Share of a split's tasks that may stand in training tasks, wording that several of them share left out: in a small
level some do by chance."""


async def check_environment(
    environment: Environment,
    *,
    verifier: Verifier | None = None,
    levels: Sequence[tuple[float | None, float | None]] | None = None,
    splits: Sequence[Split] = SPLITS,
    num_tasks: int = 100,
    on_level: Callable[[], None] | None = None,
) -> None:
    """Reads the first `num_tasks` tasks of every split at every level, and checks what the protocol promises.

    Tasks are distinct, survive JSON, carry the dials that were asked for, and come in an order fixed by the seed. No
    task is in two splits, whatever the level and the seed; where `metadata` has a "canonical" form, neither is a form.
    Few tasks of a split that is measured stand, n-gram by n-gram, in training tasks (`contamination`).

    With a verifier, it accepts every gold answer and refuses every near miss, and prompts do not give answers away.

    Args:
        levels: (complexity, horizon) settings; the environment's own `levels()` where None.
        on_level: called after each of them, for whoever shows progress.

    Raises:
        ContractError: a promise is broken, a near miss accepted, or an answer given away; the message shows the task.
        DataError: an empty split, or a gold answer that the verifier rejects.
    """
    home: dict[str, tuple[Split, Task]] = {}
    for complexity, horizon in environment.levels() if levels is None else levels:
        for split in splits:
            for seed in (0, 1):
                tasks = _read(environment, split, complexity, horizon, seed, num_tasks)
                if tasks != _read(environment, split, complexity, horizon, seed, num_tasks):
                    raise ContractError(
                        f"{environment.name}: seed {seed} gave the {split} tasks in two different orders"
                    )
                _check_tasks(environment, tasks, complexity, horizon)
                for task in tasks:
                    for key in _identities(task):
                        other_split, other = home.setdefault(key, (split, task))
                        if other_split != split:
                            raise ContractError(
                                f"{environment.name}: {key} is in two splits: {_shown(other)} in {other_split}, "
                                f"{_shown(task)} in {split}"
                            )
                if verifier is not None:
                    await check_gold(verifier, tasks)
                    await check_near_misses(environment, verifier, tasks)
                    await check_leaks(environment, verifier, tasks)
        if on_level is not None:
            on_level()
    for split in ("validation", "test"):
        contained = [each for each in contamination_of(home.values(), split) if each.num_ngrams and each.share == 1]
        count = len({task.task_id for other, task in home.values() if other == split})
        if len(contained) > max(1, MAX_CONTAINED * count):
            raise ContractError(
                f"{environment.name}: {len(contained)} of {count} {split} tasks stand in training tasks word by word, "
                f"such as {contained[0].place} in {contained[0].train_place}: {contained[0].shared!r}"
            )


def contamination_of(tasks: Iterable[tuple[Split, Task]], split: Split) -> list[Overlap]:
    """Return what each task of a split shares with training tasks; n-grams of several of its tasks do not count, and
    tasks of one canonical form are one."""
    by_split: dict[Split, dict[str, Task]] = {"train": {}, split: {}}
    for other, task in tasks:
        by_split.setdefault(other, {}).setdefault(task.metadata.get("canonical", task.task_id), task)
    train, measured = ([example_of(task) for task in by_split[which].values()] for which in ("train", split))
    return overlaps(train, measured, most_common=1)


def _read(
    environment: Environment, split: Split, complexity: float | None, horizon: float | None, seed: int, num_tasks: int
) -> list[Task]:
    tasks = environment.tasks(split, complexity=complexity, horizon=horizon, seed=seed)
    return list(itertools.islice(require_tasks(tasks, environment, split, complexity, horizon), num_tasks))


def _check_tasks(environment: Environment, tasks: list[Task], complexity: float | None, horizon: float | None) -> None:
    seen: dict[str, Task] = {}
    for task in tasks:
        if task.domain not in environment.domains:
            raise ContractError(f"{environment.name}: {_shown(task)} says it is from {task.domain!r}")
        if not task.prompt:
            raise ContractError(f"{environment.name}: task {task.task_id} has an empty prompt")
        for dial, asked, given in (("complexity", complexity, task.complexity), ("horizon", horizon, task.horizon)):
            if asked is not None and given != asked:
                raise ContractError(f"{environment.name}: asked for {dial} {asked:g}, {_shown(task)} has {given}")
        if Task.from_dict(json.loads(json.dumps(task.to_dict()))) != task:
            raise ContractError(
                f"{environment.name}: {_shown(task)} does not survive JSON; keep metadata to JSON's types"
            )
        for key in _identities(task):
            if key in seen:
                raise ContractError(f"{environment.name}: {key} comes twice: {_shown(seen[key])} and {_shown(task)}")
            seen[key] = task


def _identities(task: Task) -> list[str]:
    """Return the names under which a task may occur in one split only, and once in a stream."""
    canonical = task.metadata.get("canonical")
    return [f"task {task.task_id}"] + ([] if canonical is None else [f"canonical form {canonical!r}"])


def _shown(task: Task) -> str:
    return repr(task.prompt[-1].content[:80])
