"""`assay train`: run a recipe, or go on with a run."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import set_option
from assay.errors import AssayError, ConfigError, RunFolderError
from assay.observe.activity import doing
from assay.types import NO_DIALS

if TYPE_CHECKING:
    from assay.recipe import RunConfig
    from assay.run import TrainResult

_STARTED = time.monotonic()


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe in TOML, such as recipes/arithmetic_rlvr/demo.toml.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        set_option("Override a setting: --set trainer.learning_rate=2e-5."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with a run from its newest checkpoint: a run folder, a name, or latest.",
        ),
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option(help="Where the run is kept. Default: a new folder under ~/.assay/runs.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the resolved settings, memory, tokens, data and first prompt, then stop."),
    ] = False,
) -> None:
    """Train a model by reinforcement learning, as a recipe says.

    The run is kept in a folder: settings, every rollout, curves, checkpoints, and at the end a report and summary.json.
    Ctrl-C finishes the step, writes a checkpoint and prints how to resume.
    """
    if (recipe is None) == (resume is None):
        raise ConfigError("name a recipe to start, or --resume a run to go on with (not both)")
    # Before what takes its time: torch, and the model.
    typer.echo(f"assay train: reading {recipe if resume is None else resume}", err=True)
    if resume is not None:
        if dry_run:
            raise ConfigError("--dry-run has no effect with --resume: the run's config.json has its resolved settings")
        if run_folder is not None:
            raise ConfigError("--run-folder has no effect with --resume: a run stays in its folder")
        folder, config = _resumed(resume, settings or [])
    else:
        assert recipe is not None
        folder, config = _new(recipe, settings or [], run_folder)
    if dry_run:
        _describe(config, folder)
        return
    _run(config, folder, resume=resume is not None)


def _new(recipe: Path, settings: list[str], run_folder: Path | None) -> tuple[Path, RunConfig]:
    from assay.config import load
    from assay.models import source
    from assay.recipe import RunConfig

    config = load(RunConfig, recipe, settings)
    typer.echo(f"model: {source.first_words(config.model.source)}", err=True)
    # Imported once the settings are known to be right: with it comes PyTorch, for seconds.
    with doing("loading PyTorch"):
        from assay.public import new_run_folder

    return (run_folder or new_run_folder(config)).absolute(), config


def _resumed(run: str, settings: list[str]) -> tuple[Path, RunConfig]:
    from assay.config import load
    from assay.home import assay_home
    from assay.launch import read_run_record
    from assay.observe.folder import find_run
    from assay.recipe import RunConfig

    folder = find_run(run, assay_home() / "runs").absolute()
    return folder, load(RunConfig, read_run_record(folder)["settings"], settings)


def _run(config: RunConfig, folder: Path, resume: bool) -> None:
    import asyncio

    from assay.public import train_and_rebuild
    from assay.run import Run

    runs: list[Run] = []

    def begun(run: Run) -> None:
        if not runs:
            typer.echo(f"run folder: {folder}")
        runs.append(run)
        if resume or len(runs) > 1:
            run.records.console.message(f"going on after step {run.position.step}")

    try:
        result = asyncio.run(train_and_rebuild(config, folder, resume=resume, started=_STARTED, begun=begun))
    except AssayError as error:
        kept = runs[-1].keeping.newest_step() if runs else None
        hint = f"what was done until step {kept} is kept; go on with: assay train --resume {folder}" if kept else ""
        raise type(error)(f"{error}\n{hint}".rstrip()) from error
    typer.echo(_describe_result(result))
    if result.status == "interrupted":
        raise typer.Exit(130)


def _describe(config: RunConfig, folder: Path) -> None:
    import json

    from assay.cli.dry_run import describe_tasks
    from assay.config import dump
    from assay.launch import named_model, resolve, run_disk, run_memory
    from assay.training import check_memory
    from assay.training.disk import check_disk
    from assay.training.within import shares_within

    if folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} exists already; choose another --run-folder")
    resolved = resolve(config)
    model = named_model(config)
    disk = run_disk(config, model)
    typer.echo(json.dumps({**dump(config), "resolved": resolved}, indent=2))
    tasks, lengths = describe_tasks(config, model, resolved["chat_template"])
    shares = shares_within(
        lambda some: run_memory(config, model, resolved, lengths, some),
        config.memory_shares,
        lengths.whole,
        config.max_memory,
    )
    estimate = run_memory(config, model, resolved, lengths, shares)
    typer.echo(f"\nmemory, about, with episodes of up to {lengths.line()}:")
    for line in estimate.lines():
        typer.echo(f"  {line}")
    typer.echo(f"  {estimate.summary(check_memory(estimate, resolved['device']))}")
    if shares != config.memory_shares:
        typer.echo(f"  to keep within max_memory={config.max_memory:g} GiB: {shares.line()}")
    typer.echo(f"\ndisk: {disk.line()}")
    check_disk(folder, disk)
    rollouts = config.groups_per_step * config.group_size
    if config.algorithm.needs.samples_nothing:
        tokens = f"none is sampled: {rollouts} given responses a step, {rollouts * config.num_steps:,} in all"
    else:
        most = rollouts * lengths.sampled
        tokens = (
            f"{rollouts} completions a step, at most {most:,} sampled tokens; "
            f"in {config.num_steps} steps at most {most * config.num_steps:,}"
        )
    typer.echo(f"\ntokens: {tokens}")
    typer.echo(f"\n{tasks}\n")
    typer.echo(f"run folder: {folder} (not made: this was a dry run)")


def _describe_result(result: TrainResult) -> str:
    """The end of a run in a few lines."""
    summary = result.summary
    from assay.observe.console import duration

    lines = [f"{summary['status']} after {summary['num_steps']} steps, {duration(summary['seconds'])}"]
    if "readings" in summary:
        lines += _describe_test(summary)
    if "comparisons" in summary:
        lines += _describe_comparisons(summary["comparisons"])
    lines += [f"report: {result.folder / 'report' / 'index.html'}"]
    # As it was called, where it is not on the path.
    called = f"{sys.executable} -m assay.cli.main" if sys.argv[0].endswith("main.py") else sys.argv[0]
    program = "assay" if shutil.which("assay") else called
    lines += [f"{name}: {command.replace('assay', program, 1)}" for name, command in summary["commands"].items()]
    return "\n".join(lines)


def _describe_test(summary: Mapping[str, Any]) -> list[str]:
    of_level = "" if summary["level"] == NO_DIALS else f" of level {summary['level']}"
    lines = [f"held-out test, {summary['before']['num_tasks']} tasks{of_level}:"]
    for entry in summary["readings"]:
        before, after, difference = entry["before"], entry["after"], entry["gain"]
        if before["accuracy"] is None or after["accuracy"] is None:
            lines.append(
                f"  {entry['decoding']:<8} {entry['reading']:<8}  mean reward  before {_mean(before['mean_reward'])}"
                f"  after {_mean(after['mean_reward'])}  gain {difference['value']:+.4g}"
            )
            continue
        lines.append(
            f"  {entry['decoding']:<8} {entry['reading']:<8}"
            f"  before {_percent(before, 'accuracy')}  after {_percent(after, 'accuracy')}"
            f"  gain {100 * difference['value']:+.1f} points"
        )
        if before.get("is_graded") or after.get("is_graded"):
            rewards = [f"{side} {_mean(entry[side]['mean_reward'])}" for side in ("before", "after")]
            lines.append(f"  {'':<8} {'':<8}  mean reward  {'  '.join(rewards)}")
    lines += [_gain_line(summary[key]) for key in ("gain", "reward_gain") if key in summary]
    lines += [f"caution, after training: {caution}" for caution in summary["cautions"]]
    for transcript in summary["transcripts"]:
        lines += [
            f"  asked:  {_one_line(transcript['prompt'])}",
            f"  before: {_one_line(transcript['before'])}",
            f"  after:  {_one_line(transcript['after'])}",
        ]
    return lines


def _gain_line(gain: Mapping[str, Any]) -> str:
    from assay.observe.summary_text import gain_text

    of = "gain in mean reward" if gain.get("unit") == "reward" else "gain"
    return (
        f"{of}: {gain_text(gain)}, the smallest of these ({gain['decoding']}, {gain['reading']}), paired test "
        f"p = {gain['p_value']:.2g}"
    )


def _describe_comparisons(tested: Mapping[str, Any]) -> list[str]:
    accuracy, calibration = tested["accuracy"], tested["calibration"]
    lines = [
        f"held-out test, {tested['num_comparisons']} comparisons ({tested['num_not_measured']} not measured): in the "
        f"right order {100 * accuracy['value']:.1f} % [{100 * accuracy['low']:.1f}, {100 * accuracy['high']:.1f}]"
    ]
    if calibration is not None:
        lines.append(
            f"  its own confidence {100 * calibration['mean_confidence']:.1f} %, calibration error "
            f"{100 * calibration['calibration_error']:.1f} points, log loss {calibration['log_loss']:.3f} (knowing "
            f"nothing: 0.693), mean margin {calibration['mean_margin']:+.3f}"
        )
    if (length := tested.get("length_coefficient")) is not None:
        lines.append(
            f"  reward of twice the length {length['value']:+.3f} [{length['low']:+.3f}, {length['high']:+.3f}]"
        )
    return lines


def _mean(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "not measured"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _percent(entry: Mapping[str, float], key: str) -> str:
    return f"{100 * entry[key]:5.1f} % [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _one_line(text: str, most: int = 160) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} ..."
