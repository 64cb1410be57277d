"""`assay map MODEL`: success over complexity and horizon, sampled where it is uncertain, and where it ends."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import max_new_tokens_option, output_file, seed_option, set_option, temperature_option
from assay.cli.endpoint import EndpointOptions
from assay.cli.engine import EngineOptions
from assay.cli.groups import with_groups
from assay.cli.sampled_model import SampledModel
from assay.cli.tables import write_table
from assay.cli.task_options import numbers, plain, short_hash, tasks_hash
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.cli.map_players import MapPlayers, MapRules
    from assay.environments import Environment
    from assay.evaluation.map import MapCell, TaskLength
    from assay.rollout.scripted import ScriptedResult

DEFAULT_BUDGET = 30_000
"""Sampled tokens for each model: three environments of twelve cells, of which a model of 135 M parameters samples some
40 tokens a second on one core."""
MAP, UNITS, REPORT = "map.json", "units.json", "report.md"
MOST_TASKS = 60


class AxisName(StrEnum):
    HORIZON = "horizon"
    ACTIONS = "actions"
    TOKENS = "tokens"
    MINUTES = "minutes"


@dataclass(frozen=True)
class MapOptions:
    """Options that choose what is mapped, and how far."""

    environments: Annotated[
        str, typer.Option(help="Names with commas between, or your own as path.py:Class: a map each.")
    ] = "arithmetic"
    settings: Annotated[
        list[str] | None,
        set_option("An option of one of the environments, such as maze.pays_turns=true.", metavar="NAME.KEY=VALUE"),
    ] = None
    complexity: Annotated[
        str | None, typer.Option(help="Only these, such as 1,2,3. Default: three that each environment lists.")
    ] = None
    horizon: Annotated[
        str | None, typer.Option(help="Only these, such as 1,2,4,8. Default: four that each environment lists.")
    ] = None
    budget: Annotated[
        int | None,
        typer.Option(
            help="Sampled tokens, of all models together. Default: 30,000 for each model.", min=1, show_default=False
        ),
    ] = None
    max_tasks: Annotated[int, typer.Option(help="Most tasks of a cell, beside the pilot's.", min=1)] = MOST_TASKS
    axis: Annotated[
        AxisName,
        typer.Option(
            help="The unit of horizons: the environment's own, actions or tokens of its expert, or people's minutes."
        ),
    ] = AxisName.HORIZON
    reading: Annotated[str, typer.Option(help="Which of the environments' readings of an answer counts.")] = "strict"
    temperature: Annotated[float, temperature_option()] = 0.0
    max_new_tokens: Annotated[
        int | None,
        max_new_tokens_option(
            "Token limit of one message; an episode may have as many for each message of the expert. Default: twice "
            "the expert's longest message, and at least 32."
        ),
    ] = None
    seed: Annotated[int, seed_option("Chooses the tasks and the samples.")] = 0


@with_groups
def map_models(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help='"default", a Hugging Face folder, a run, an adapter, or "openai:NAME". Others are compared with '
            "the first, on the same tasks.",
        ),
    ],
    options: MapOptions,
    engine: EngineOptions,
    endpoint: EndpointOptions,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the map. Default: under ~/.assay/maps.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", callback=output_file, help="Write all numbers to this JSON file too.", show_default=False
        ),
    ] = None,
) -> None:
    """Map how hard and how long the tasks are that a model can do: success over complexity and horizon.

    A pilot of three tasks a cell, shortest horizons first, decides where the budget goes: to where the outcome is
    uncertain and an episode is cheap. The estimates are of other tasks, so that they are not of the luck that decided.
    Out come a heat map with counts and intervals, a table, the 50 % and 80 % horizon at each complexity, and whether
    reliability per step falls with length.

    The same command continues a map that was interrupted; a larger --budget adds to it. Ctrl-C leaves a table of what
    had ended by then.
    """
    typer.echo(f"assay map: opening {', '.join(models)}", err=True)
    from assay.cli.map_players import MapPlayers, label_models, token_counter
    from assay.evaluation.map import check_budget
    from assay.observe.folder import write_json

    sources = _sources(options)
    cells, notes = _cells(sources, options)
    sampled = label_models(_sampled(models, engine, endpoint))
    record = [
        *({"environment": plain(source)} for source in sources.values()),
        *({cell.name: tasks_hash(cell.tasks)} for cell in cells),
        *(each.identity for each in sampled.values()),
        {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens, "seed": options.seed},
    ]
    name = "-".join([*sampled, short_hash(json.dumps(record, sort_keys=True).encode())[:8]])
    folder = (output or _maps() / name).absolute()
    units = asyncio.run(_units(sources, cells, folder, token_counter(sampled.values())))
    rules = _rules(cells, units, options)
    players = MapPlayers(sampled, sources, folder, rules)
    budget = options.budget or DEFAULT_BUDGET * len(models)
    check_budget(cells, units, len(models), budget)
    with players.open_folder(cells):
        write_json(folder / UNITS, {cell.name: each.to_dict() for cell, each in zip(cells, units, strict=True)})
        typer.echo(_told(players, cells, units, budget), err=True)
        result = _run(players, cells, units, notes, budget, options)
    if json_file is not None:
        write_json(json_file, result)
    _write(folder, result)
    if json_file is not None:
        typer.echo(f"written: {json_file}")
    if result["is_interrupted"]:
        typer.echo("stopped; the same command continues this map")
        raise KeyboardInterrupt
    if result["left_out"]:
        raise typer.Exit(1)


def _run(
    players: MapPlayers,
    cells: Sequence[MapCell],
    units: Sequence[TaskLength],
    notes: Mapping[str, Sequence[str]],
    budget: int,
    options: MapOptions,
) -> dict[str, Any]:
    """Sample, and return what the map says."""
    from assay.evaluation.map import Axis, MapMeasurement, map_result, measure_map

    async def measure() -> MapMeasurement:
        async with players:
            return await measure_map(
                cells,
                list(players.models),
                players.play,
                budget=budget,
                reading=options.reading,
                lengths=units,
                say=players.say,
                on_part=players.begin,
            )

    try:
        measured = asyncio.run(measure())
    except KeyboardInterrupt:
        measured = players.so_far(cells)
    result = map_result(
        measured,
        units,
        horizon_units={label: source.horizon_unit for label, source in players.sources.items()},
        axis=Axis(options.axis.value),
        reading=options.reading,
        notes=notes,
    )
    return {**result, "budget": budget}


def _write(folder: Path, result: dict[str, Any]) -> None:
    """Write the map to its folder, and print its report."""
    from assay.evaluation.map import draw_map, map_markdown, table_rows
    from assay.observe.folder import write_json
    from assay.observe.provenance import provenance
    from assay.observe.visible import visible

    write_json(folder / MAP, {**result, "provenance": provenance()})
    report = map_markdown(result)
    (folder / REPORT).write_text(f"{report}\n![share solved over complexity and horizon](map.png)\n", encoding="utf-8")
    draw_map(result, [folder / "map.png", folder / "map.svg"])
    written = [MAP, REPORT, "map.png", "map.svg", *write_table(folder, table_rows(result))]
    typer.echo("\n".join(map(visible, report.splitlines())))
    typer.echo(f"map: {folder} ({', '.join(written)})")


def _sources(options: MapOptions) -> dict[str, Environment]:
    """The environments by label, with their options."""
    from assay.config import parse_overrides
    from assay.environments import make_environment, rewards_of

    names = list(dict.fromkeys(part.strip() for part in options.environments.split(",") if part.strip()))
    if not names:
        raise ConfigError(f"--environments {options.environments!r}: expected names with commas between")
    given = parse_overrides(options.settings or [])
    try:
        labels = {name: make_environment(name, {}).name if ":" in name else name for name in names}
    except ConfigError as error:
        hint = " (--environments is parted at commas, those in a path too)" if len(names) > 1 else ""
        raise ConfigError(f"{error}{hint}") from None
    if twice := [name for name in names if list(labels.values()).count(labels[name]) > 1]:
        raise ConfigError(
            f"--environments: {' and '.join(twice)} are both named {labels[twice[0]]}; name one otherwise"
        )
    if unknown := sorted(given.keys() - set(labels.values())):
        raise ConfigError(
            f"--set {unknown[0]}: name one of the environments first, such as {next(iter(labels.values()))}.KEY=VALUE"
        )
    sources: dict[str, Environment] = {}
    for name, label in labels.items():
        own = given.get(label, {})
        if not isinstance(own, dict):
            raise ConfigError(f"--set {label}={own}: name an option of it, such as {label}.KEY=VALUE")
        sources[label] = make_environment(name, own).to_measure()
        if options.reading not in rewards_of(sources[label]):
            raise ConfigError(f"--reading {options.reading}: {label} has {', '.join(rewards_of(sources[label]))}")
        if not rewards_of(sources[label])[options.reading].gives_verdicts:
            raise ConfigError(
                f"{label}: a map is of the share solved, and its reward is a number without a verdict; say what solves "
                f"by --set {label}.solved_at=NUMBER, or use assay eval, which has the mean reward"
            )
    return sources


def _cells(sources: Mapping[str, Environment], options: MapOptions) -> tuple[list[MapCell], dict[str, list[str]]]:
    from assay.evaluation.map import choose_cells
    from assay.evaluation.map.measurement import PILOT_TASKS

    dials = numbers("--complexity", options.complexity), numbers("--horizon", options.horizon)
    cells: list[MapCell] = []
    notes: dict[str, list[str]] = {}
    for label, source in sources.items():
        found, said = choose_cells(label, source, *dials, num_tasks=PILOT_TASKS + options.max_tasks, seed=options.seed)
        cells += found
        notes[label] = [*said, *source.notes]
        for line in said:
            typer.echo(line, err=True)
    return cells, notes


def _sampled(models: Sequence[str], engine: EngineOptions, endpoint: EndpointOptions) -> list[SampledModel]:
    """The models, each with the options that are about its kind where there are both kinds."""
    from assay.types import ENDPOINT_PREFIX

    remote = [model.startswith(ENDPOINT_PREFIX) for model in models]
    if all(remote) or not any(remote):
        return [SampledModel.of(model, engine, endpoint) for model in models]
    return [
        SampledModel.of(model, EngineOptions(), endpoint) if far else SampledModel.of(model, engine, EndpointOptions())
        for model, far in zip(models, remote, strict=True)
    ]


async def _units(
    sources: Mapping[str, Environment],
    cells: Sequence[MapCell],
    folder: Path,
    count: Callable[[ScriptedResult], Sequence[int]] | None,
) -> list[TaskLength]:
    """Return the length of each cell's tasks: as the folder has it, or as the experts play them."""
    from assay.evaluation.map import TaskLength, expert_units
    from assay.host import Host
    from assay.observe.folder import read_json

    kept = read_json(folder / UNITS)
    if kept.keys() == {cell.name for cell in cells}:
        return [TaskLength(**kept[cell.name]) for cell in cells]
    async with Host():
        return [await expert_units(sources[cell.environment], cell, count) for cell in cells]


def _rules(cells: Sequence[MapCell], units: Sequence[TaskLength], options: MapOptions) -> MapRules:
    """The limits of episodes: as they were asked for, or by what experts say."""
    from assay.cli.map_players import MapRules
    from assay.config import validate
    from assay.engines import Sampling
    from assay.evaluation.map import episode_limit, message_limit

    sampling: dict[str, Sampling] = {}
    for label in dict.fromkeys(cell.environment for cell in cells):
        own = [length for cell, length in zip(cells, units, strict=True) if cell.environment == label]
        limit = options.max_new_tokens or message_limit(own)
        sampling[label] = validate(Sampling, {"temperature": options.temperature, "max_new_tokens": limit})
    episode_tokens = {
        cell.name: episode_limit(length, sampling[cell.environment].max_new_tokens)
        for cell, length in zip(cells, units, strict=True)
    }
    return MapRules(sampling, episode_tokens, options.seed)


def _told(players: MapPlayers, cells: Sequence[MapCell], units: Sequence[TaskLength], budget: int) -> str:
    """Return what will be sampled, in sentences, before any of it is."""
    from assay.evaluation.map.measurement import num_pilot

    pilot = sum(map(num_pilot, cells))
    least = sum(num_pilot(cell) * (length.tokens or 1.0) for cell, length in zip(cells, units, strict=True))
    limits = [players.rules.episode_tokens[cell.name] for cell in cells]
    most = sum(num_pilot(cell) * (limit or math.inf) for cell, limit in zip(cells, limits, strict=True))
    models = len(players.models)
    upper = f" to {most * models:,.0f}" if math.isfinite(most) else " or more"
    messages = ", ".join(f"{each.max_new_tokens} ({label})" for label, each in players.rules.sampling.items())
    return (
        f"{len(cells)} cells of {', '.join(players.sources)}, {models} model{'s' * (models > 1)}, a budget of "
        f"{budget:,} sampled tokens\n"
        f"a message may take {messages} tokens, and an episode as many for each message of the expert\n"
        f"pilot: {pilot * models} episodes, shortest horizons first: {least * models:,.0f}{upper} tokens; what they "
        "take decides what the rest of the budget buys, and that is said before it is spent"
    )


def _maps() -> Path:
    from assay.home import assay_home

    return assay_home() / "maps"
