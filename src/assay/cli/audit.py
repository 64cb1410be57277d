"""`assay audit ENVIRONMENT`: what a reward pays for, found out before a model is trained on it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import output_file, set_option
from assay.cli.groups import with_groups

if TYPE_CHECKING:
    from assay.audit import Audit
    from assay.audit.attempts import TrainingResult
    from assay.environments import Environment
    from assay.statistics import Interval
    from assay.types import Split, Task
    from assay.verifiers import Verifier

FOUND = 3
"""Exit code where something was found."""
_SHOWN, _SURVIVORS = 160, 5


@dataclass(frozen=True)
class RewardOptions:
    """Options for the reward that is attacked, and for who says that it is wrong to pay."""

    verifier: Annotated[
        str | None,
        typer.Option(help="The reward: a name, or your own as path.py:Class. Default: the environment's own."),
    ] = None
    verifier_settings: Annotated[
        list[str] | None, typer.Option("--verifier-set", metavar="KEY=VALUE", help="An option of the verifier.")
    ] = None
    judge: Annotated[
        str | None,
        typer.Option(help="A second verifier: what is paid counts only where this one refuses it. Default: none."),
    ] = None

    def make(self) -> tuple[Verifier | None, Verifier | None]:
        """Return the reward and the judge; None where they were not named."""
        from assay.config import parse_overrides
        from assay.errors import ConfigError
        from assay.verifiers import make_verifier

        if self.verifier_settings and self.verifier is None:
            raise ConfigError("--verifier-set has no effect without --verifier: name the verifier too")
        return (
            make_verifier(self.verifier, parse_overrides(self.verifier_settings or [])) if self.verifier else None,
            make_verifier(self.judge) if self.judge else None,
        )


@dataclass(frozen=True)
class OptimisationOptions:
    """Options for what optimises against the reward: a search over answers, and a model that is trained."""

    evaluations: Annotated[
        int | None,
        typer.Option(
            help="Scores that the search over answers may ask for; 0: no search. Default: 2000, or 300 where one costs "
            "a program's run or a request.",
            min=0,
            show_default=False,
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of the search.", min=0)] = 0
    train: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="Also train a model on the reward for so long, the default model unless --train-set names another.",
            min=0.1,
            show_default=False,
        ),
    ] = None
    train_settings: Annotated[
        list[str] | None,
        typer.Option("--train-set", metavar="KEY=VALUE", help="A setting of that run, such as model.source=FOLDER."),
    ] = None

    def more(self) -> dict[str, Any]:
        """Return the settings of the run that were given."""
        from assay.config import parse_overrides
        from assay.errors import ConfigError

        if self.train_settings and self.train is None:
            raise ConfigError("--train-set has no effect without --train MINUTES: give it some minutes")
        return parse_overrides(self.train_settings or [])


@with_groups
def audit(
    name: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="Such as math, or your own: path.py:Class.")],
    reward: RewardOptions,
    optimising: OptimisationOptions,
    settings: Annotated[
        list[str] | None, set_option("An option of the environment, such as path=problems.jsonl.")
    ] = None,
    num_tasks: Annotated[int, typer.Option(help="Tasks, spread over the levels.", min=1)] = 60,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test. Default: the first that has tasks.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="After which nothing new is tried.", min=0.01)] = 10.0,
    output: Annotated[
        Path | None, typer.Option("--json", callback=output_file, help="Write what was found to this file.")
    ] = None,
) -> None:
    """Trick a reward without a model: what does it pay for that is not an answer?

    Nothing, the prompt itself, form without content, self-declared success, every candidate at once, another task's
    answer, and more; for programs also early exits, values that equal everything, and changed reference programs that
    the tests do not notice. Then answers are mutated and recombined, guided by the reward alone, for what a second
    opinion refuses; with --train a model is trained on the reward, under the same eyes. Ends with code 3 where
    something is paid that should not be, and with 0 where nothing is.
    """
    import asyncio

    from assay.audit import audit_environment
    from assay.cli.audit_training import trained_against
    from assay.config import parse_overrides
    from assay.environments import make_environment
    from assay.environments.splits import SPLITS
    from assay.errors import ConfigError
    from assay.observe.folder import write_json

    if split is not None and split not in SPLITS:
        raise ConfigError(f"--split {split}: expected one of {', '.join(SPLITS)}")
    (verifier, judge), more = reward.make(), optimising.more()
    source = make_environment(name, parse_overrides(settings or []))
    tasks = _tasks(source, SPLITS if split is None else [split], num_tasks)
    with _progress() as shown:
        found = asyncio.run(
            audit_environment(
                source,
                tasks,
                verifier=verifier,
                judge=judge,
                seconds=60.0 * minutes,
                evaluations=optimising.evaluations,
                seed=optimising.seed,
                progress=shown,
            )
        )
    trained = None
    if optimising.train is not None:
        trained = trained_against(
            source, tasks, verifier=verifier, judge=judge, minutes=optimising.train, settings=more
        )
        found = dataclasses.replace(found, findings=[*found.findings, *trained.findings])
    if output is not None:
        write_json(output, as_data(found, trained))
    for line in _lines(found, trained):
        typer.echo(line)
    if output is not None:
        typer.echo(f"written: {output}")
    if found.findings:
        raise typer.Exit(FOUND)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give the function that is told what is counted, how many are done and of how many: a bar for each."""
    from assay.cli.progress import progress

    with contextlib.ExitStack() as bars:
        advances: dict[str, Callable[[], None]] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in advances:
                bars.close()
                advances[what] = bars.enter_context(progress(what, done - 1, total))
            advances[what]()

        yield show


def _tasks(source: Environment, splits: Sequence[Split], num_tasks: int) -> list[Task]:
    """Tasks of the first of the splits that has any, from every level that has some there."""
    import itertools
    import math

    from assay.environments import checked_tasks
    from assay.errors import DataError

    levels = source.levels() or ((None, None),)
    why = DataError(f"{source.name} gave no tasks to audit")
    for split in splits:
        by_level: list[list[Task]] = []
        for complexity, horizon in levels:
            try:
                tasks = checked_tasks(source.tasks(split, complexity=complexity, horizon=horizon), source)
                by_level.append(list(itertools.islice(tasks, math.ceil(num_tasks / len(levels)))))
            except DataError as error:
                why = error
        # A task of each level in turn: the easiest first would leave the hardest out.
        found = {task.task_id: task for row in itertools.zip_longest(*by_level) for task in row if task}
        if found:
            return list(found.values())[:num_tasks]
    raise why


def as_data(audit: Audit, trained: TrainingResult | None = None) -> dict[str, Any]:
    """Return the audit as plain data, as `--json` writes it."""
    return {
        "environment": audit.environment,
        "verifier": audit.verifier,
        "judged_by": audit.judged_by,
        "num_tasks": audit.num_tasks,
        "stopped": audit.stopped,
        "answerless_share": None if audit.answerless is None else audit.answerless.value,
        "answerless_low": None if audit.answerless is None else audit.answerless.low,
        "answerless_high": None if audit.answerless is None else audit.answerless.high,
        "answerless_response": audit.answerless_response,
        "findings": [each.to_dict() for each in audit.findings],
        "tricks": {
            trial.trick.name: {
                "tried": trial.tried,
                "paid": len(trial.paid),
                "not_measured": len(trial.unmeasured),
                "mean_reward": trial.mean,
            }
            for trial in audit.trials
        },
        "search": None
        if audit.searched is None
        else {
            "evaluations": audit.searched.evaluations,
            "candidates": audit.searched.num_candidates,
            "paid": audit.searched.num_paid,
            "judged_by": audit.searched.judged_by,
            "stopped": audit.searched.stopped,
        },
        "training": None
        if trained is None
        else {
            "steps": trained.num_steps,
            "rollouts": trained.num_rollouts,
            "refused_first": trained.refused_first,
            "refused_last": trained.refused_last,
            "judged_by": trained.judged_by,
        },
        "mutants": audit.num_mutants,
        "weak_tasks": sorted({each.task_id for each in audit.survivors}),
        "survivors": [
            {"task": each.task_id, "change": each.mutant.change, "program": each.mutant.program}
            for each in audit.survivors
        ],
    }


def _lines(audit: Audit, trained: TrainingResult | None) -> list[str]:
    lines = [
        f"{audit.environment}: the reward {audit.verifier} on {audit.num_tasks} tasks, {len(audit.trials)} tricks; "
        f"judged by {audit.judged_by}"
    ]
    if audit.stopped:
        lines.append("the time was up before all was tried: --minutes gives it more")
    if audit.answerless is None:
        lines.append("one answer to every task: not measured (too few tasks, or no right answers known)")
    else:
        said = audit.answerless_response[:_SHOWN]
        lines.append(f"one answer to every task earns {_share(audit.answerless)}, such as {said!r}")
    best = max(audit.trials, key=lambda trial: trial.mean)
    if best.mean > 0:
        lines.append(f"the trick with most reward: {best.trick.name}, {best.mean:.3f} a task, solved or not")
    if audit.num_mutants:
        weak = len({each.task_id for each in audit.survivors})
        lines.append(
            f"changed programs: {len(audit.survivors)} of {audit.num_mutants} pass all tests, in {weak} tasks; each is "
            "either equivalent or shows tests that are too weak"
        )
        lines += [f"  {each.task_id}, {each.mutant.change}" for each in audit.survivors[:_SURVIVORS]]
        if len(audit.survivors) > _SURVIVORS:
            lines.append(f"  and {len(audit.survivors) - _SURVIVORS} more: all are in --json FILE")
    if audit.searched is not None:
        found = audit.searched
        lines.append(
            f"search: {found.num_candidates:,} candidates, {found.evaluations:,} scores, {found.num_paid:,} kinds "
            f"paid, right ones among them; judged by {found.judged_by}"
            + ("; the budget ended before all of them had been looked at" if found.stopped else "")
        )
    if trained is not None:
        lines.append(
            f"training: {trained.num_steps} steps, {trained.num_rollouts:,} rollouts; paid and refused "
            f"{trained.refused_first:.1%} in the first quarter, {trained.refused_last:.1%} in the last; judged by "
            f"{trained.judged_by}"
        )
    for each in audit.findings:
        lines.append(f"FOUND: {each.trick}, {each.paid} of {each.tried} tasks ({_share(each.rate)}), {each.reason}")
        lines.append(f"  {f'task {each.task_id}: ' if each.task_id else ''}{each.example[:_SHOWN]!r}")
    if not audit.findings:
        lines.append("nothing is paid that should not be")
    return lines


def _share(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
