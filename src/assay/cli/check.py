"""`assay check`: holds algorithms, verifiers and environments to what they promise, on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from assay.cli.check_contamination import contamination
from assay.cli.check_environment import environment
from assay.cli.common_options import set_option

if TYPE_CHECKING:
    from assay.environments.reasoning_gym.check import FamilyReport
    from assay.verifiers import Verifier

app = typer.Typer(no_args_is_help=True, help="Hold algorithms, verifiers and environments to what they promise.")
app.command("env")(environment)
app.command("contamination")(contamination)


@app.command("algorithms")
def algorithms(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these, such as grpo, or your own: path.py:Class. Default: all."),
    ] = None,
) -> None:
    """Check numbers worked by hand, gradients against finite differences, and the invariants of each algorithm."""
    from assay.algorithms import Algorithm
    from assay.components import make_component
    from assay.errors import ConfigError, ContractError
    from assay.training.conformance import ALGORITHMS, check_all

    known = {algorithm.name for algorithm in ALGORITHMS}  # pyright: ignore[reportAttributeAccessIssue]
    own = [name for name in names or () if ":" in name]
    unknown = [name for name in names or () if name not in known and name not in own]
    if unknown:
        raise ConfigError(
            f"unknown algorithm {unknown[0]!r}; known: {', '.join(sorted(known))}; one of your own is path.py:Class"
        )
    chosen = [a for a in ALGORITHMS if not names or a.name in names]  # pyright: ignore[reportAttributeAccessIssue]
    checks = check_all([*chosen, *(make_component(Algorithm, name) for name in own)])
    for check in checks:
        typer.echo(f"{'ok   ' if check.passed else 'WRONG'}  {check.subject}: {check.what}")
        if check.problem:
            typer.echo(f"       {check.problem}")
    wrong = sum(not check.passed for check in checks)
    typer.echo(f"{len(checks)} checks, {wrong} wrong")
    if wrong:
        raise ContractError(f"{wrong} of {len(checks)} checks do not hold")


@app.command("verifiers")
def verifiers(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these, such as math, or your own: path.py:Class. Default: all."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        set_option("An option of the one verifier named, such as a judge's model."),
    ] = None,
) -> None:
    """Run gold answers, near misses and hostile responses through each verifier; errors by category, with counts."""
    import asyncio

    from assay.config import parse_overrides
    from assay.errors import ConfigError, ContractError
    from assay.verifiers import Choice, Code, Exact, Format, Math, Numeric, check_verifier, make_verifier

    builtin: dict[str, list[Verifier]] = {
        "exact": [Exact()],
        "numeric": [Numeric(), Numeric(reading="any")],
        "math": [Math(), Math(answer_form="after", marker="####")],
        "code": [Code(seconds=1.0)],
        "choice": [Choice()],
        "format": [Format(), Format(shape="reasoning")],
    }
    if settings or any(":" in name for name in names or ()):
        if names is None or len(names) != 1:
            raise ConfigError("--set, and a verifier of your own, go alone: name one verifier")
        name = names[0]
        builtin = {name: [make_verifier(name, parse_overrides(settings or ()))]}
    unknown = [name for name in names or () if name not in builtin]
    if unknown:
        raise ConfigError(
            f"unknown verifier {unknown[0]!r}; known: {', '.join(builtin)}, and others with their options (--set)"
        )
    errors = 0
    for name in names or builtin:
        for verifier in builtin[name]:
            # Two tries of an expression that hangs, and a fresh worker between them, are no error.
            report = asyncio.run(check_verifier(verifier, slow_seconds=600.0 if name == "judge" else 15.0))
            typer.echo(f"{report}\n")
            errors += len(report.errors)
    if errors:
        raise ContractError(f"{errors} verdicts are wrong")


@app.command("gym")
def gym(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FAMILY]...", help="Only these, such as chain_sum. Default: all.")
    ] = None,
    num_tasks: Annotated[int, typer.Option(help="Tasks of each split.", min=1)] = 3,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the documentation.")] = False,
) -> None:
    """Check every family of reasoning-gym: splits, gold answers, near misses, junk, what each level sets."""
    from assay.cli.progress import progress
    from assay.environments.reasoning_gym.check import check_family, markdown_table
    from assay.environments.reasoning_gym.environment import families
    from assay.errors import ContractError

    chosen = names or list(families())
    reports: list[FamilyReport] = []
    # A bar on the terminal takes what is printed meanwhile to the error stream: not where that is kept in a file.
    output = None if sys.stdout.isatty() else sys.stdout
    with progress("families", 0, len(chosen)) as advance:
        for name in chosen:
            reports.append(check_family(name, num_tasks=num_tasks))
            advance()
            if not markdown:
                # As it is known: all of them take ten minutes, and whoever stops early keeps what was found.
                _show_family(reports[-1], output)
    if markdown:
        typer.echo(markdown_table(reports))
    wrong = [f"{report.family}: {problem}" for report in reports for problem in report.wrong]
    for problem in wrong:
        typer.echo(f"WRONG  {problem}", err=True)
    if wrong:
        raise ContractError(f"{len(wrong)} promises do not hold")


def _show_family(report: FamilyReport, output: TextIO | None) -> None:
    state = "WRONG" if report.wrong else "ok   " if report.num_tasks else "none "
    typer.echo(
        f"{state}  {report.family}: {report.num_tasks} tasks, {len(report.levels)} levels; "
        f"{1000 * report.make_seconds:.0f} ms to make, at most {1000 * report.score_seconds:.0f} to score; "
        f"answers of other tasks accepted: {report.num_others_accepted} of {report.num_others}; "
        f"{report.num_misses} near misses",
        file=output,
    )
    if report.not_exact:
        typer.echo(f"       not exactly scored, so that nothing is solved: {report.not_exact}", file=output)
    for kind, response in report.paid.items():
        typer.echo(f"       its own scorer pays {kind}, such as {response!r}; refused here", file=output)
    for dial, problem in sorted(report.problems.items()):
        typer.echo(f"       {f'complexity {dial:g}' if dial else 'defaults'}: {problem}", file=output)


@app.command("programs")
def programs(
    levels: Annotated[
        list[int] | None, typer.Argument(metavar="[COMPLEXITY]...", help="Only these, such as 1 2 3. Default: 1 to 10.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Functions that build on each other in a task.", min=1, max=8)] = 1,
    num_tasks: Annotated[int, typer.Option(help="Tasks of each level.", min=1)] = 100,
    verifier: Annotated[
        str | None, typer.Option(help='Has this verifier score each reference too, such as "code".', show_default=False)
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables of the documentation.")] = False,
) -> None:
    """Check generated programs: references pass, mutants and cheats fail; how many tasks there are, how fast."""
    import asyncio
    import itertools

    from assay.cli.progress import progress
    from assay.environments.programs import Programs
    from assay.environments.programs.levels import LEVELS
    from assay.environments.programs.survey import markdown_table, survey
    from assay.errors import ConfigError, ContractError
    from assay.verifiers import check_gold, make_verifier

    chosen = levels or list(LEVELS)
    if unknown := [level for level in chosen if level not in LEVELS]:
        raise ConfigError(f"programs has no complexity {unknown[0]}; it is a whole number from 1 to {max(LEVELS)}")
    scorer = None if verifier is None else make_verifier(verifier)
    reports = []
    with progress("levels", 0, len(chosen)) as advance:
        for level in chosen:
            reports.append(survey(level, horizon, num_tasks=num_tasks))
            if scorer is not None:
                tasks = Programs().tasks("validation", complexity=level, horizon=horizon)
                asyncio.run(check_gold(scorer, list(itertools.islice(tasks, num_tasks))))
            advance()
    if markdown:
        typer.echo(markdown_table(reports))
    for report in reports:
        if not markdown:
            counts, told = report.mutants, report.mutants.made - report.mutants.unknown
            typer.echo(
                f"{'WRONG' if report.wrong else 'ok   '}  complexity {report.complexity}, "
                f"{LEVELS[report.complexity].name}: "
                f"{report.num_tasks} tasks, {1000 * report.seconds_per_task:.1f} ms each; {told} mutants killed of "
                f"{counts.made} ({counts.unknown} not told apart from the reference), "
                f"{counts.killed_later} of them by added "
                f"tests, {report.num_let_through} let through; cheats pass "
                + ", ".join(f"{name} {solved:.1%}" for name, (solved, _) in report.cheats.items())
            )
    wrong = [problem for report in reports for problem in report.wrong]
    for problem in wrong:
        typer.echo(f"WRONG  {problem}", err=True)
    if wrong:
        raise ContractError(f"{len(wrong)} promises do not hold")
