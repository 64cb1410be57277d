"""The models of a map at play: one open at a time, all episodes of a part under way at once, each kept as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from assay.cli.progress import progress
from assay.cli.task_options import plain, tasks_hash

if TYPE_CHECKING:
    from assay.cli.sampled_model import SampledModel
    from assay.engines import Sampling
    from assay.environments import Environment
    from assay.evaluation import EvalRow, EvaluationFolder
    from assay.evaluation.map import MapCell, MapEpisode, MapMeasurement, MapPart
    from assay.rollout.scripted import ScriptedResult

MAX_CONCURRENT = 128
"""Episodes of an environment that are under way at once."""
SECONDS_BETWEEN_LINES = 10.0
"""Time after which a line of progress is due where there is no terminal."""


@dataclass(frozen=True)
class MapRules:
    """The rules that the episodes of a map are played by."""

    sampling: Mapping[str, Sampling]
    """Sampling of each environment."""
    episode_tokens: Mapping[str, int | None]
    """Name of a cell to the most tokens that an episode of it may sample."""
    seed: int


@dataclass
class MapPlayers:
    """Plays the episodes of a map. An asynchronous context manager: a model is open until another one plays."""

    models: Mapping[str, SampledModel]
    """The models by the names that the map has."""
    sources: Mapping[str, Environment]
    """The environments by label."""
    folder: Path
    """The map's: each model and environment has a folder of an evaluation in it."""
    rules: MapRules
    _kept: dict[tuple[str, str], EvaluationFolder] = field(default_factory=dict)
    _rows: dict[tuple[str, str], EvalRow] = field(default_factory=dict)
    """(model, task id) to the row, of all that was measured until now."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _bar: ExitStack = field(default_factory=ExitStack)
    _opened: tuple[str, Any, Any] | None = None
    """Name, engine and renderer of the model that is open."""
    _advance: Callable[[], None] = lambda: None
    _ended_tokens: int = 0
    """Tokens of episodes that ended in this process."""
    _engine_tokens: int = 0
    """Tokens that engines sampled which are closed by now."""

    @contextmanager
    def open_folder(self, cells: Sequence[MapCell]) -> Iterator[None]:
        """Open what is kept of each model and environment, for this process alone.

        Raises:
            RunFolderError: the folder holds a map with other settings, or another process writes to it.
        """
        from assay.evaluation import EvaluationFolder
        from assay.observe.provenance import provenance

        with ExitStack() as stack:
            for name, model in self.models.items():
                for label, source in self.sources.items():
                    settings = {
                        "environment": plain(source),
                        "tasks": {
                            cell.name: {"number": len(cell.tasks), "hash": tasks_hash(cell.tasks)}
                            for cell in cells
                            if cell.environment == label
                        },
                        "sampling": plain(self.rules.sampling[label]),
                        "episode_tokens": {
                            cell.name: self.rules.episode_tokens[cell.name]
                            for cell in cells
                            if cell.environment == label
                        },
                        "seed": self.rules.seed,
                        "verifiers": {reading: plain(verifier) for reading, verifier in source.rewards.items()},
                        **model.identity,
                    }
                    place = self.folder / _file_name(name) / _file_name(label)
                    kept = EvaluationFolder(place, settings, {**provenance(), "model": model.model, **model.places})
                    self._kept[name, label] = stack.enter_context(kept)
                    self._rows |= {(name, row.task_id): row for row in kept.rows if row.measured}
            yield

    async def __aenter__(self) -> MapPlayers:
        from assay.host import Host

        await self._stack.enter_async_context(Host())
        self._stack.push_async_callback(self._close)
        self._stack.enter_context(self._bar)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    def begin(self, part: MapPart) -> None:
        """Show progress of a part, with the time that is left, until the next part begins."""
        self._bar.close()
        total = len(part.episodes)
        before = sum((model, episode.task.task_id) in self._rows for model, episode in part.episodes)
        self._advance = lambda: None
        if before == total:
            return
        expected = None if part.expected_tokens is None else part.expected_tokens * (total - before) / total
        began = self.num_tokens

        def share() -> float | None:
            return (self.num_tokens - began) / expected if expected else None

        def note() -> str:
            return f"{self.num_tokens:,} tokens"

        bar = progress(part.what, before, total, note, share=share, seconds_between=SECONDS_BETWEEN_LINES, num_lines=1)
        self._advance = self._bar.enter_context(bar)

    def say(self, line: str) -> None:
        """Print a line beside the progress, which ends: a bar on a terminal would be drawn over it."""
        self._bar.close()
        typer.echo(line, err=True)

    @property
    def num_tokens(self) -> int:
        """Tokens sampled in this process, those of episodes under way included where they can be seen."""
        return max(
            self._ended_tokens, self._engine_tokens + getattr(self._opened and self._opened[1], "num_sampled", 0)
        )

    async def play(self, model: str, episodes: Sequence[MapEpisode]) -> Sequence[EvalRow]:
        """Sample and score what is not yet kept, all environments at once; nothing is opened where all is."""
        by_label: dict[str, list[MapEpisode]] = {}
        for episode in episodes:
            if (model, episode.task.task_id) not in self._rows:
                by_label.setdefault(episode.cell.environment, []).append(episode)
        if by_label:
            engine, renderer = await self._open(model)
            try:
                async with asyncio.TaskGroup() as group:
                    for label, own in by_label.items():
                        group.create_task(self._play(model, label, own, engine, renderer))
            except ExceptionGroup as failures:
                # The first that failed cancelled the others: one cause, and the one a person can act on.
                raise failures.exceptions[0] from None
        return [self._rows[model, episode.task.task_id] for episode in episodes]

    async def _play(self, model: str, label: str, episodes: Sequence[MapEpisode], engine: Any, renderer: Any) -> None:
        from assay.evaluation import evaluate
        from assay.rollout import EpisodeLimits
        from assay.scaffolds import Plain

        kept, source, endpoint = self._kept[model, label], self.sources[label], self.models[model].endpoint
        cells = {episode.task.task_id: episode.cell.name for episode in episodes}

        def keep(row: EvalRow) -> None:
            kept.append(row)
            self._rows[model, row.task_id] = row
            self._ended_tokens += row.num_tokens or 0
            self._advance()

        await evaluate(
            [episode.task for episode in episodes],
            engine=engine,
            renderer=renderer,
            verifiers=source.rewards,
            sampling=self.rules.sampling[label],
            make_episode=Plain().episodes(source),
            max_turns=Plain().turns(source),
            limits=lambda task: EpisodeLimits(max_tokens=self.rules.episode_tokens[cells[task.task_id]]),
            seed=self.rules.seed,
            positions=[episode.position for episode in episodes],
            max_concurrent=MAX_CONCURRENT if endpoint is None else 2 * endpoint.max_concurrent,
            on_row=keep,
        )

    def so_far(self, cells: Sequence[MapCell]) -> MapMeasurement:
        """Return what was measured until now, as a map that somebody interrupted."""
        from assay.evaluation.map import MapMeasurement
        from assay.evaluation.map.measurement import num_pilot

        found = MapMeasurement(cells, list(self.models), is_interrupted=True)
        for model in self.models:
            for place, cell in enumerate(cells):
                rows = [self._rows.get((model, task.task_id)) for task in cell.tasks]
                first = num_pilot(cell)
                for kept, part in ((found.pilot, rows[:first]), (found.rows, rows[first:])):
                    if some := [row for row in part if row is not None]:
                        kept[model, place] = some
        return found

    async def _open(self, name: str) -> tuple[Any, Any]:
        if self._opened is None or self._opened[0] != name:
            await self._close()
            engine, renderer, _ = self.models[name].open_engine(self.folder / _file_name(name))
            self._opened = (name, engine, renderer)
        return self._opened[1:]

    async def _close(self) -> None:
        from assay.verifiers import close_verifiers

        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._engine_tokens += getattr(opened[1], "num_sampled", 0)
            verifiers = [verifier for source in self.sources.values() for verifier in source.rewards.values()]
            await asyncio.gather(opened[1].close(), close_verifiers(verifiers))


def token_counter(models: Iterable[SampledModel]) -> Callable[[ScriptedResult], Sequence[int]] | None:
    """Return what counts an expert's tokens, message by message, as the first model on this machine would say them.
    None where all are at endpoints, whose tokens nobody knows."""
    local = next(((each, each.local) for each in models if each.local is not None), None)
    if local is None:
        return None
    renderer = local[0].options.renderer(local[1])

    def count(play: ScriptedResult) -> Sequence[int]:
        return [len(renderer.encode_answer(renderer.spell(turn.message))) for turn in play.rollout.turns]

    return count


def label_models(models: Sequence[SampledModel]) -> dict[str, SampledModel]:
    """The models by a short name each; a name that comes again is numbered."""
    found: dict[str, SampledModel] = {}
    for model in models:
        name, number = model.label, 2
        while name in found:
            name, number = f"{model.label}-{number}", number + 1
        found[name] = model
    return found


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name)
