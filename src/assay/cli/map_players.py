"""The models of a map at play: one open at a time, each episode kept as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.progress import progress
from assay.cli.task_options import plain, tasks_hash

if TYPE_CHECKING:
    from assay.cli.sampled_model import SampledModel
    from assay.engines import Sampling
    from assay.environments import Environment
    from assay.evaluation import EvalRow, EvaluationFolder
    from assay.evaluation.map import MapCell, MapPlan
    from assay.rollout.scripted import ScriptedResult
    from assay.types import Task


@dataclass
class MapPlayers:
    """Plays the episodes of a map. An asynchronous context manager: a model is open until another one plays."""

    models: Mapping[str, SampledModel]
    """The models by the names that the map has."""
    sources: Mapping[str, Environment]
    """The environments by label."""
    folder: Path
    """The map's: each model and environment has a folder of an evaluation in it."""
    sampling: Sampling
    seed: int
    _kept: dict[tuple[str, str], EvaluationFolder] = field(default_factory=dict)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _opened: tuple[str, Any, Any] | None = None
    """Name, engine and renderer of the model that is open."""
    _advance: Callable[[], None] = lambda: None
    _num_tokens: int = 0

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
                        "tasks": {cell.name: tasks_hash(cell.tasks) for cell in cells if cell.environment == label},
                        "sampling": plain(self.sampling),
                        "seed": self.seed,
                        "verifiers": {reading: plain(verifier) for reading, verifier in source.rewards.items()},
                        **model.identity,
                    }
                    place = self.folder / _file_name(name) / _file_name(label)
                    kept = EvaluationFolder(place, settings, {**provenance(), "model": model.model, **model.places})
                    self._kept[name, label] = stack.enter_context(kept)
            yield

    async def __aenter__(self) -> MapPlayers:
        from assay.host import Host

        await self._stack.enter_async_context(Host())
        self._stack.push_async_callback(self._close)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    def expect(self, plan: MapPlan) -> None:
        """Show progress from here on, with the time that is left."""
        from assay.evaluation.map.measure import num_estimating

        total = sum(plan.counts) * len(self.models)
        before = sum(num_estimating(kept.rows) for kept in self._kept.values())
        bar = progress("episodes", min(before, total), total, lambda: f"{self._num_tokens:,} tokens")
        self._advance = self._stack.enter_context(bar)

    async def play(self, model: str, label: str, tasks: Sequence[Task], positions: Sequence[int]) -> Sequence[EvalRow]:
        """Sample and score what is not yet kept; nothing is opened where all is."""
        from assay.evaluation import evaluate
        from assay.scaffolds import Plain

        kept, source = self._kept[model, label], self.sources[label]
        wanted = {task.task_id for task in tasks}
        done = {row.task_id: row for row in kept.rows if row.task_id in wanted and row.measured}
        if len(done) == len(tasks):
            return [done[task.task_id] for task in tasks]
        engine, renderer = await self._open(model)

        def keep(row: EvalRow) -> None:
            kept.append(row)
            self._num_tokens += row.num_tokens or 0
            self._advance()

        endpoint = self.models[model].endpoint
        result = await evaluate(
            tasks,
            engine=engine,
            renderer=renderer,
            verifiers=source.rewards,
            sampling=self.sampling,
            make_episode=Plain().episodes(source),
            max_turns=Plain().turns(source),
            seed=self.seed,
            positions=positions,
            max_concurrent=128 if endpoint is None else 2 * endpoint.max_concurrent,
            on_row=keep,
            done=done.values(),
        )
        return result.rows

    def count_tokens(self) -> Callable[[ScriptedResult], int] | None:
        """Return what counts an expert's tokens as the first model would say them; None at an endpoint, whose tokens
        nobody knows."""
        first = next(iter(self.models.values()))
        if first.local is None:
            return None
        renderer = first.options.renderer(first.local)

        def count(play: ScriptedResult) -> int:
            return sum(len(renderer.encode_answer(renderer.spell(turn.message))) for turn in play.rollout.turns)

        return count

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
            verifiers = [verifier for source in self.sources.values() for verifier in source.rewards.values()]
            await asyncio.gather(opened[1].close(), close_verifiers(verifiers))


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
