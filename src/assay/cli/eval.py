"""`assay eval MODEL`: accuracy and pass@k on an environment's held-out tasks, with intervals; resumable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import max_new_tokens_option, temperature_option
from assay.cli.endpoint import EndpointOptions
from assay.cli.engine import EngineOptions
from assay.cli.eval_labels import judge_beside_people, read_labels
from assay.cli.groups import with_groups
from assay.cli.sampled_model import SampledModel
from assay.cli.tables import tables_console
from assay.cli.task_options import TaskOptions, numbers, plain, short_hash, tasks_hash
from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from assay.engines import Sampling
    from assay.environments import Environment
    from assay.evaluation import Evaluation, EvaluationFolder, Until
    from assay.recipe import RunConfig
    from assay.scaffolds import Scaffold
    from assay.verifiers import Verifier

DEFAULT_KS = (1, 4, *(2**power for power in range(3, 17)))
"""Default k of pass@k; those up to the number of samples are used."""
DEFAULT_TASKS = 200
MOST_COLUMNS = 4
"""Measures that a table has side by side; more of them stand below each other."""

Levels = Sequence[tuple[float | None, float | None]]


class SplitName(StrEnum):
    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


@dataclass(frozen=True)
class MeasureOptions:
    """Options for what is measured, and how it is sampled and read."""

    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A recipe or a run folder: take its environment with its options, its levels, and its readings.",
            show_default=False,
        ),
    ] = None
    split: Annotated[SplitName, typer.Option(help="Which split of the environment.")] = SplitName.TEST
    num_tasks: Annotated[
        int | None,
        typer.Option(
            help="Tasks of each level. Default: 200, and all of a file that is given by --set path=FILE.",
            min=1,
            show_default=False,
        ),
    ] = None
    samples: Annotated[int, typer.Option(help="Samples of each task (n of pass@k).", min=1)] = 1
    k: Annotated[
        str | None, typer.Option("--k", help="pass@k for these k. Default: those of 1,4,8,16,32 ... up to --samples.")
    ] = None
    temperature: Annotated[float | None, temperature_option("Default: 0 for one sample, 1 for several.")] = None
    top_p: Annotated[float, typer.Option(help="Share of the probability that is sampled from.")] = 1.0
    max_new_tokens: Annotated[
        int | None,
        max_new_tokens_option("Token limit of a response. Default: the recipe's, or 256."),
    ] = None
    scaffold: Annotated[
        str,
        typer.Option(
            help="What is put around each episode: plain, react, plan, reflect, notes, or your own. Several with "
            "commas between are compared in pairs, on the same tasks and seeds. Default: the recipe's, or plain.",
            show_default=False,
        ),
    ] = ""
    scaffold_set: Annotated[
        list[str] | None,
        typer.Option(help="A setting of a scaffold, such as notes.persist=true; repeatable.", show_default=False),
    ] = None
    verifier: Annotated[
        str | None,
        typer.Option(
            help="How the answer is read; several are tabulated. Default: the environment's own readings.",
            show_default=False,
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            help='Stop when this is decided: ">30" (is the accuracy above or below 30 %?), "±5" (to within 5 points?), '
            'with a reading before it if need be: "strict>30". Tasks come shuffled, and the interval allows for it.',
            show_default=False,
        ),
    ] = None
    labels: Annotated[
        Path | None,
        typer.Option(
            help="People's labels of some responses (a filled to_label.jsonl): the judge's mean, corrected by them.",
            show_default=False,
        ),
    ] = None
    against: Annotated[
        Path | None,
        typer.Option(
            help='With --until: an evaluation of the same tasks; the question is of the gain over it: --until ">0".',
            show_default=False,
        ),
    ] = None


@with_groups
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help='"default", a Hugging Face folder, a hub id, an adapter, or "openai:NAME" at an endpoint.',
        ),
    ],
    chosen: TaskOptions,
    measured: MeasureOptions,
    engine: EngineOptions,
    endpoint: EndpointOptions,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the evaluation. Default: under ~/.assay/evals.", show_default=False)
    ] = None,
) -> None:
    """Measure a model on held-out tasks: accuracy and unbiased pass@k, each with a 95 % interval.

    Rows are kept as they end: the same command continues an evaluation that was interrupted. Settings, rows and scores
    are in the folder that is printed at the end. With a model at an endpoint, every reply is kept there before it is
    used, and none is paid for twice.
    """
    # Before what takes its time: torch, and the model.
    typer.echo(f"assay eval: opening {model}", err=True)
    from assay.environments import choose_tasks
    from assay.evaluation import EvaluationFolder
    from assay.home import assay_home
    from assay.observe.provenance import provenance

    sampled = SampledModel.of(model, engine, endpoint)
    ks = _ks(measured.k, measured.samples)
    source, levels, verifiers, max_new_tokens = _what(chosen, measured)
    scaffolds = _scaffolds(measured)
    sampling = _sampling(measured, max_new_tokens)
    until = _until(measured, list(verifiers))
    labels = read_labels(measured.labels)
    _check_verdicts(measured, until, verifiers)
    num_tasks = measured.num_tasks or (None if _is_whole_file(source, measured) else DEFAULT_TASKS)
    tasks = choose_tasks(source, measured.split.value, levels, num_tasks, chosen.seed)
    record = {
        "environment": plain(source),
        "split": measured.split.value,
        "levels": [list(level) for level in levels],
        "num_tasks": num_tasks,
        "tasks": tasks_hash(tasks),
        "samples": measured.samples,
        "sampling": plain(sampling),
        "seed": chosen.seed,
        "verifiers": {name: plain(each) for name, each in verifiers.items()},
        **sampled.identity,
    }
    made = {**provenance(), "model": model, **sampled.places, "device": engine.device}
    console = tables_console()
    for note in source.notes:
        console.print(note, markup=False, soft_wrap=True)
    if sampled.local is not None:
        from assay.launch import beyond_context

        limits = {"--max-new-tokens": sampling.max_new_tokens}
        for caution in beyond_context(limits, sampled.local.shape.max_context):
            console.print(f"caution: {caution}", markup=False, soft_wrap=True)
    console.print(f"measured: {len(tasks):,} tasks of the {measured.split.value} split")
    results: dict[str, Evaluation] = {}
    for name, scaffold in scaffolds.items():
        settings = record if name == "plain" else {**record, "scaffold": plain(scaffold)}
        label = "-".join([sampled.label, source.name, short_hash(json.dumps(settings, sort_keys=True).encode())[:8]])
        place = (output or assay_home() / "evals" / label).absolute()
        if output is not None and len(scaffolds) > 1:
            place = place / name
        if name != "plain":
            console.print(f"with the scaffold {name}:", markup=False)
        if scaffold.persists:
            console.print(
                f"{measured.samples} streams of {len(tasks)} episodes, one after the other: what one earns depends on "
                "those before it, and intervals over tasks say nothing of another order",
                markup=False,
                soft_wrap=True,
            )
        with EvaluationFolder(place, settings, made) as kept:
            results[name] = sampled.evaluate(
                kept,
                tasks,
                source,
                verifiers,
                sampling,
                samples=measured.samples,
                seed=chosen.seed,
                settings=settings,
                console=console,
                scaffold=scaffold,
                until=until,
            )
            _report(results[name], ks, sampled, kept, console, until)
            judge_beside_people(results[name], tasks, kept, labels, console)
    _print_differences(results, console)


def _report(
    result: Evaluation,
    ks: Sequence[int],
    sampled: SampledModel,
    kept: EvaluationFolder,
    console: Console,
    until: Until | None,
) -> None:
    """Keep the scores, and print them with what a reader should know beside them."""
    asked: dict[str, Any] = {} if sampled.tally is None else {"asked": sampled.tally.to_dict()}
    if sampled.pace is not None and sampled.pace[0]:
        asked["pace"] = {"samples": sampled.pace[0], "seconds": sampled.pace[1]}
    look = None if until is None else until.looked(result)
    if look is not None:
        asked["until"] = look.to_dict()
    constant = _constant(result)
    scores = kept.write_scores({**result.to_dict(ks), **constant, **asked})
    console.print(_table(result, ks))
    if look is not None:
        console.print(look.told(), markup=False, soft_wrap=True)
    _print_doubts(result, constant["cautions"], console)
    console.print(f"scores: {scores}", soft_wrap=True)


def _what(
    chosen: TaskOptions, measured: MeasureOptions
) -> tuple[Environment, Levels, Mapping[str, Verifier], int | None]:
    """Environment, levels, readings and token limit: those that the options name, or those of a recipe."""
    from assay.environments import choose_levels
    from assay.verifiers import make_verifier

    if measured.recipe is None:
        source = chosen.make()
        source = source.to_measure() if measured.split is SplitName.TEST else source
        readings = source.rewards
        if measured.verifier is not None:
            readings = {name: make_verifier(name) for name in _names("--verifier", measured.verifier)}
        levels = choose_levels(source, *chosen.dials)
        if _is_whole_file(source, measured) and not any(chosen.dials):
            levels = [*levels, (None, None)]  # rows without a level too
        return source, levels, dict(readings), measured.max_new_tokens
    if chosen.environment is not None or measured.verifier is not None or chosen.settings:
        raise ConfigError(
            "--environment, --set and --verifier have no effect with --recipe, which has them; leave them out"
        )
    config = _recipe(measured.recipe)
    source = config.environment
    limit = measured.max_new_tokens or config.evaluation.test_max_new_tokens or config.sampling.max_new_tokens
    levels = tuple((level.complexity, level.horizon) for level in config.curriculum.levels)
    if any(chosen.dials):
        levels = choose_levels(source, *chosen.dials)
    return source, levels, config.readings, limit


def _scaffolds(measured: MeasureOptions) -> dict[str, Scaffold]:
    """The scaffolds to measure with, by the names that were given."""
    from assay.config import parse_overrides
    from assay.scaffolds import Plain, make_scaffold

    options = parse_overrides(measured.scaffold_set or [])
    names = _names("--scaffold", measured.scaffold) if measured.scaffold else []
    for name, values in options.items():
        if name not in names or not isinstance(values, dict):
            raise ConfigError(f"--scaffold-set {name}: give NAME.KEY=VALUE, with the NAME of a scaffold of --scaffold")
    if names:
        return {name: make_scaffold(name, options.get(name)) for name in names}
    if measured.recipe is not None and (scaffold := _recipe(measured.recipe).scaffold).stays:
        return {scaffold.name: scaffold}
    return {"plain": Plain()}


def _print_differences(results: Mapping[str, Evaluation], console: Console) -> None:
    """Print what each further scaffold adds to the first, in pairs of the same tasks."""
    from assay.evaluation import compare

    (first, base), *others = results.items()
    for name, result in others:
        for reading in result.readings:
            difference = compare(base, result, reading)
            unit = "points" if difference.unit == "share" else "mean reward"
            console.print(
                f"{name} over {first}, {reading}, in {unit}: {difference.as_text()}, p = {difference.p_value:.2g}, "
                f"over {difference.num_tasks} tasks, of which {difference.num_improved} got better and "
                f"{difference.num_worsened} worse",
                markup=False,
                soft_wrap=True,
            )


def _check_verdicts(measured: MeasureOptions, until: Until | None, verifiers: Mapping[str, Verifier]) -> None:
    """Make sure that what asks for verdicts has some.

    Raises:
        ConfigError: --k where every reading's score is a number without a verdict, or --until of such a reading.
    """
    judged = [name for name, verifier in verifiers.items() if verifier.gives_verdicts]
    asked = "--k" if measured.k is not None and not judged else ""
    if until is not None and until.reading not in judged:
        asked = f"--until {until.text!r}"
    if asked:
        other = f" or name the reading {judged[0]}," if judged else ""
        raise ConfigError(
            f"{asked} asks for the share solved, and the score is a number without a verdict: leave it out,{other} or "
            "set solved_at of the verifier or environment to the least reward that solves"
        )


def _until(measured: MeasureOptions, readings: Sequence[str]) -> Until | None:
    """The question that ends the evaluation; None where all tasks are measured."""
    from assay.cli.compare import read_evaluation
    from assay.evaluation import Until

    if measured.until is None:
        if measured.against is not None:
            raise ConfigError('--against has no effect without --until, such as --until ">0"; or use assay compare')
        return None
    against = None if measured.against is None else read_evaluation(measured.against)
    return Until.parse(measured.until, readings, against)


def _is_whole_file(source: Environment, measured: MeasureOptions) -> bool:
    """Return True where all of a file is measured: it was given to be measured, and nobody said how much of it."""
    from assay.environments.file_environment import FileEnvironment

    given = measured.recipe is None and measured.num_tasks is None
    return given and isinstance(source, FileEnvironment) and source.is_named and bool(source.test_only)


def _sampling(measured: MeasureOptions, max_new_tokens: int | None) -> Sampling:
    from assay.config import validate
    from assay.engines.engine import Sampling

    samples, top_p, temperature = measured.samples, measured.top_p, measured.temperature
    if temperature is None:
        temperature = 0.0 if samples == 1 else 1.0
    sampling = validate(Sampling, {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens or 256})
    if sampling.temperature == 0 and (samples > 1 or top_p < 1):
        given = f"--samples {samples}" if samples > 1 else f"--top-p {top_p:g}"
        raise ConfigError(f"{given} has no effect at --temperature 0, where every sample is the same; raise it")
    return sampling


def _constant(result: Evaluation) -> dict[str, Any]:
    """Return the constant-answer baselines: the commonest response and gold answer, and the cautions about each
    reading."""
    from assay.evaluation import cautions, commonest_answer, commonest_response

    return {
        "commonest_response": commonest_response(result).to_dict(),
        "commonest_answer": commonest_answer(result).to_dict(),
        "cautions": {reading: cautions(result, reading) for reading in result.readings},
    }


def _print_turns(result: Evaluation, console: Console) -> None:
    """Print how the episodes went, where any has more than one turn, and what the parts of graded scores came to."""
    from assay.observe.visible import visible

    if result.takes_turns:
        ended = ", ".join(f"{how} {count}" for how, count in result.ended().items())
        console.print(f"turns: {result.mean_turns:.1f} on average; ended: {visible(ended)}", markup=False)
    for reading in result.readings:
        if result.takes_turns or result.is_graded(reading):
            for level, part in result.by_level().items():
                if parts := ", ".join(f"{name} {mean:.3g}" for name, mean in part.mean_parts(reading).items()):
                    console.print(f"parts of the score, {reading}, {level}: {visible(parts)}", markup=False)


def _print_doubts(result: Evaluation, cautions: Mapping[str, Sequence[str]], console: Console) -> None:
    """Print what a reader of the scores should know beside them: turns, mean rewards, cautions, bounds for what was not
    measured."""
    _print_turns(result, console)
    for reading in result.readings:
        if (
            result.is_graded(reading)
            and not result.lacks_verdicts(reading)
            and (mean := result.mean_reward(reading)) is not None
        ):
            console.print(f"mean reward, {reading}: {mean}", markup=False)
    for reading, sentences in cautions.items():
        for sentence in sentences:
            console.print(f"caution, {reading}: {sentence}", markup=False)
    for reading in result.readings:
        missing = result.num_not_measured(reading)
        if missing and result.lacks_verdicts(reading):
            console.print(
                f"{missing} of {result.num_samples} samples were not measured under {reading}, and are left out of the "
                "mean reward. The same command tries them again."
            )
        elif missing:
            bounds = result.bounds(reading)
            console.print(
                f"{missing} of {result.num_samples} samples were not measured under {reading}: accuracy would be "
                f"{100 * bounds.all_failed:.1f} % had all failed, {100 * bounds.all_solved:.1f} % had all been solved. "
                "The same command tries them again."
            )


def _recipe(place: Path) -> RunConfig:
    """The settings of a recipe file, or of the run in a folder."""
    from assay.config import load
    from assay.launch import read_run_record
    from assay.recipe import RunConfig

    return load(RunConfig, read_run_record(place)["settings"] if place.is_dir() else place)


def _table(result: Evaluation, ks: Sequence[int]) -> Table:
    """Accuracy, and pass@k, under each reading, of each of the evaluation's `parts` and of all."""
    from rich.table import Table

    without = [reading for reading in result.readings if result.lacks_verdicts(reading)]
    what = "mean reward" if len(without) == len(result.readings) else "accuracy"
    what = f"{what} (mean reward of {', '.join(without)})" if without and what == "accuracy" else what
    table = Table(title=f"{what}, with 95 % intervals over tasks")
    measures = [
        (reading, k)
        for reading in result.readings
        for k in (None, *(k for k in ks if k > 1))
        if k is None or reading not in without
    ]
    names = [reading if k is None else f"{reading} pass@{k}" for reading, k in measures]
    table.add_column("level")
    table.add_column("tasks", justify="right")
    parts = result.parts()
    if len(parts) > 1:
        parts["all"] = result
    if len(measures) > MOST_COLUMNS:
        # Side by side they would be cut to a letter each.
        table.add_column("measure")
        table.add_column("value", justify="right")
        for level, part in parts.items():
            for name, measure in zip(names, measures, strict=True):
                table.add_row(level, str(part.num_tasks), name, _cell(part, *measure), end_section=name == names[-1])
        return table
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for level, part in parts.items():
        cells = [_cell(part, *measure) for measure in measures]
        table.add_row(level, str(part.num_tasks), *cells, end_section=list(parts)[-2:-1] == [level])
    return table


def _cell(part: Evaluation, reading: str, k: int | None) -> str:
    if k is None:
        return part.as_text(reading)
    enough = any(with_verdict >= k for with_verdict, _ in part.counts(reading).values())
    return part.pass_at_k(reading, k).as_percent() if enough else "not measured"


def _ks(text: str | None, samples: int) -> tuple[int, ...]:
    if text is None:
        return tuple(k for k in DEFAULT_KS if k <= samples)
    given = sorted(set(numbers("--k", text)))
    ks = tuple(map(int, given))
    if not ks or list(ks) != given or ks[0] < 1 or ks[-1] > samples:
        raise ConfigError(f"--k {text}: each must be a whole number from 1 to --samples, which is {samples}")
    return ks


def _names(option: str, text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise ConfigError(f"{option} {text!r}: expected names with commas between")
    return list(dict.fromkeys(names))
