"""`assay check env`: an environment held to what it promises, and every gold answer through its own verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

_NUM_TASKS = 20
"""Tasks of each split and level that are read to see what an environment promises."""

if TYPE_CHECKING:
    from assay.environments import Environment
    from assay.types import Split, Task
    from assay.verifiers import Verifier


def environment(
    name: Annotated[
        str, typer.Argument(metavar="ENVIRONMENT", help="Such as mbpp or rows, or your own: path.py:Class.")
    ],
    verifier: Annotated[
        str | None, typer.Option(help="Which must accept the gold answers. Default: its own reward.")
    ] = None,
    num_tasks: Annotated[
        int | None, typer.Option(help="Of each split, the first. Default: all that a file has, else 100.", min=1)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the environment, such as path=mbpp.jsonl."),
    ] = None,
) -> None:
    """Hold an environment to what it promises, and run the gold answer of every task through its reward.

    Splits are disjoint, a seed fixes the order of tasks, dials do what they say; an episode starts the same for every
    member of a group, survives hostile messages and closes.
    """
    import asyncio

    from assay.config import parse_overrides
    from assay.environments import check_environment, check_episode, make_environment
    from assay.errors import DataError
    from assay.verifiers import make_verifier

    source = make_environment(name, parse_overrides(settings or []))
    chosen = source.rewards["strict"] if verifier is None else make_verifier(verifier)
    tasks = _tasks(source, num_tasks)
    for split, some in tasks.items():
        typer.echo(f"{split}: {len(some)} tasks")
    wrong = asyncio.run(_check(chosen, [task for some in tasks.values() for task in some]))
    for problem in wrong:
        typer.echo(f"WRONG  {problem}", err=True)
    if wrong:
        raise DataError(
            f"{chosen.name} does not accept {len(wrong)} gold answers of {name}; correct those rows, or leave them out"
        )
    typer.echo(f"{chosen.name} accepts every gold answer")
    splits: list[Split] = [split for split, some in tasks.items() if some]
    asyncio.run(check_environment(source, splits=splits, num_tasks=_NUM_TASKS))
    asyncio.run(check_episode(source.episode, tasks[splits[0]][0], max_turns=source.max_turns))
    typer.echo("levels, splits and episodes keep their promises")


def _tasks(source: Environment, num_tasks: int | None) -> dict[Split, list[Task]]:
    """The tasks of each split, by name; none where a split is empty."""
    import itertools

    from assay.environments.file_environment import FileEnvironment
    from assay.environments.splits import SPLITS
    from assay.errors import DataError

    if isinstance(source, FileEnvironment):
        return {split: list(source.splits[split])[:num_tasks] for split in SPLITS}
    found: dict[Split, list[Task]] = {}
    for split in SPLITS:
        try:
            found[split] = list(itertools.islice(source.tasks(split), num_tasks or 100))
        except DataError:
            found[split] = []
    return found


async def _check(verifier: Verifier, tasks: list[Task]) -> list[str]:
    """Return the faults, a line for each task whose gold answer is not accepted."""
    import asyncio

    from assay.cli.progress import progress
    from assay.errors import ContractError, DataError
    from assay.verifiers import check_gold, close_verifiers

    gate = asyncio.Semaphore(64)
    with progress("tasks", 0, len(tasks)) as advance:

        async def one(task: Task) -> str:
            async with gate:
                try:
                    await check_gold(verifier, [task])
                except (DataError, ContractError) as error:
                    number = task.metadata.get("id")
                    return f"{f'{number}: ' if number else ''}{error}"
                finally:
                    advance()
            return ""

        try:
            return [problem for problem in await asyncio.gather(*map(one, tasks)) if problem]
        finally:
            await close_verifiers([verifier])
