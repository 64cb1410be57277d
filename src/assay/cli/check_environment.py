"""`assay check env`: an environment held to what it promises, and every gold answer through its own verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import set_option

_NUM_TASKS = 20
"""Tasks of each split and level that are read to see what an environment promises."""

if TYPE_CHECKING:
    from assay.environments import Environment, Level
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
        set_option("An option of the environment, such as path=mbpp.jsonl."),
    ] = None,
) -> None:
    """Hold an environment to what it promises, and run the gold answer of every task through its reward.

    Splits are disjoint, a seed fixes the order of tasks, dials do what they say; near misses are refused, and prompts
    do not give answers away; an episode starts the same for every member of a group, survives hostile messages and
    closes. Where the environment has scripts, its expert must solve every task, and the one of limited means must not
    find harder levels easier; how often each one solves a level is printed.
    """
    import asyncio

    from assay.cli.progress import progress
    from assay.config import parse_overrides
    from assay.environments import check_environment, check_episode, make_environment
    from assay.environments.check import contamination_of
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
    if any(chosen.gold_response(task) is not None for some in tasks.values() for task in some):
        typer.echo(f"{chosen.name} accepts every gold answer")
    shared = contamination_of([(split, task) for split, some in tasks.items() for task in some], "test")
    counts = [sum(each.num_shared > 0 and each.share >= least for each in shared) for least in (0.0, 0.5, 1.0)]
    if tasks["train"] and shared:
        typer.echo(
            f"of {len(shared)} test tasks, {counts[0]} share a 13-gram of their own with training tasks, {counts[1]} "
            f"half of theirs, {counts[2]} all"
        )
    splits: list[Split] = [split for split, some in tasks.items() if some]
    scorer = chosen if chosen.is_cheap else None
    num_read = min(num_tasks or _NUM_TASKS, _NUM_TASKS)
    with progress("levels", 0, len(source.levels())) as advance:
        asyncio.run(check_environment(source, verifier=scorer, splits=splits, num_tasks=num_read, on_level=advance))
    asyncio.run(check_episode(source.episode, tasks[splits[0]][0], max_turns=source.max_turns))
    typer.echo("levels, splits and episodes keep their promises")
    _play_scripts(source, splits[-1])


def _play_scripts(source: Environment, split: Split) -> None:
    """Print what the environment's scripts earn, level by level.

    Raises:
        ContractError: the expert did not solve a task, or a harder level is easier for the script of limited means.
    """
    import asyncio

    from assay.environments import choose_tasks
    from assay.environments.check_dials import check_dials
    from assay.errors import ContractError
    from assay.rollout.scripted import ScriptedResult, play_script
    from assay.verifiers import close_verifiers

    makers = {"expert": source.expert, "weak": source.weak, "limited": source.limited}

    async def level_results(tasks: list[Task], who: str) -> list[ScriptedResult] | None:
        results: list[ScriptedResult] = []
        for task in tasks:
            script = makers[who](task)
            if script is None:
                return None
            results.append(await play_script(source, task, script))
        await close_verifiers([source.rewards["strict"]])
        return results

    first = choose_tasks(source, split, source.levels()[:1], 1, 0)[0]
    if all(make(first) is None for make in makers.values()):
        return
    unsolved: list[ScriptedResult] = []
    limited: dict[Level, tuple[int, int]] = {}
    for level in source.levels():
        tasks = choose_tasks(source, split, [level], _NUM_TASKS, 0)
        told: list[str] = []
        for who in makers:
            results = asyncio.run(level_results(tasks, who))
            if results is None:
                continue
            solved = [result for result in results if result.solved]
            mean = sum(result.value for result in results) / len(results)
            turns = max(len(result.rollout.turns) for result in results)
            told.append(f"{who} solves {len(solved)} of {len(results)}, mean reward {mean:.2f}, at most {turns} turns")
            if not source.rewards["strict"].gives_verdicts:
                told[-1] = f"{who}: mean reward {mean:.4g}, at most {turns} turns"
                continue
            if who == "limited":
                limited[level] = (len(solved), len(results))
            if who == "expert":
                unsolved += [result for result in results if not result.solved]
        if told:
            typer.echo(f"{tasks[0].level}: {'; '.join(told)}")
    if unsolved:
        raise ContractError(
            f"the expert of {source.name} does not solve task {unsolved[0].rollout.task_id}: {unsolved[0].why}; a task "
            "that its own expert cannot solve may have no solution"
        )
    if limited:
        check_dials(source.name, limited)


def _tasks(source: Environment, num_tasks: int | None) -> dict[Split, list[Task]]:
    """The tasks of each split, by name; none where a split is empty."""
    import itertools

    from assay.environments import checked_tasks
    from assay.environments.file_environment import FileEnvironment
    from assay.environments.splits import SPLITS
    from assay.errors import DataError

    if isinstance(source, FileEnvironment):
        return {split: list(source.splits[split])[:num_tasks] for split in SPLITS}
    found: dict[Split, list[Task]] = {}
    why: DataError | None = None
    for split in SPLITS:
        try:
            found[split] = list(itertools.islice(checked_tasks(source.tasks(split), source), num_tasks or 100))
        except DataError as error:
            found[split], why = [], error
    if not any(found.values()):
        raise why or DataError(f"{source.name} has no tasks, in no split: tasks() yields none")
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
