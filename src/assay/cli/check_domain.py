"""`assay check domain`: every reference of a domain through its own verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import parse_options

if TYPE_CHECKING:
    from assay.domains import Domain
    from assay.types import Task
    from assay.verifiers import Verifier


def domain(
    name: Annotated[str, typer.Argument(metavar="DOMAIN", help="Such as mbpp, humaneval or rows.")],
    verifier: Annotated[
        str | None, typer.Option(help="Which must accept the gold answers. Default: the one the domain is read with.")
    ] = None,
    num_tasks: Annotated[
        int | None, typer.Option(help="Of each split, the first. Default: all that a file has, else 100.", min=1)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the domain, such as path=mbpp.jsonl."),
    ] = None,
) -> None:
    """Run the gold answer or reference of every task of a domain through its verifier; name those that fail."""
    import asyncio

    from assay.domains import DOMAINS, make_domain
    from assay.errors import ConfigError, DataError
    from assay.verifiers import make_verifier

    source = make_domain(name, parse_options(settings or [], DOMAINS.get(name)))
    chosen = verifier or next(iter(getattr(source, "readings", ())), None)
    if chosen is None:
        raise ConfigError(f"{name} does not say which verifier reads it; name one with --verifier, such as exact")
    tasks = _tasks(source, num_tasks)
    for split, some in tasks.items():
        typer.echo(f"{split}: {len(some)} tasks")
    wrong = asyncio.run(_check(make_verifier(chosen), [task for some in tasks.values() for task in some]))
    for problem in wrong:
        typer.echo(f"WRONG  {problem}", err=True)
    if wrong:
        raise DataError(
            f"{chosen} does not accept {len(wrong)} gold answers of {name}; correct those rows, or leave them out"
        )
    typer.echo(f"{chosen} accepts every gold answer")


def _tasks(source: Domain, num_tasks: int | None) -> dict[str, list[Task]]:
    """The tasks of each split, by name; none where a split is empty."""
    import itertools

    from assay.domains.splits import SPLITS
    from assay.errors import DataError

    splits = getattr(source, "splits", None)
    if splits is not None:
        return {split: list(splits[split])[:num_tasks] for split in SPLITS}
    found: dict[str, list[Task]] = {}
    for split in SPLITS:
        try:
            found[split] = list(itertools.islice(source.tasks(split), num_tasks or 100))
        except DataError:
            found[split] = []
    return found


async def _check(verifier: Verifier, tasks: list[Task]) -> list[str]:
    """What is wrong, a line for each task whose gold answer is not accepted."""
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
