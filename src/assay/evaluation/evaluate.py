"""Runs a model over held-out tasks and scores what it said, under one or several readings of the answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from assay.endpoints.responder import Responder
from assay.engines.engine import Engine, Sampling
from assay.environments.episode import EpisodeFactory, SingleTurn
from assay.errors import ConfigError, DataError
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.render.renderer import Renderer
from assay.rollout import EpisodeLimits, MaxTurns, run_rollout
from assay.scaffolds import Scaffold, with_handed_on
from assay.types import EndingKind, Task
from assay.verifiers.score import score_rollout
from assay.verifiers.verifier import Verifier

SEED_LABEL = "evaluation"
"""Keeps an evaluation's random numbers apart from those of the training run with the same seed."""
Key = tuple[str, int]
"""The name of a row: the id of its task, and the number of the attempt."""


async def evaluate(
    tasks: Sequence[Task],
    *,
    engine: Engine | Responder,
    renderer: Renderer | None = None,
    verifiers: Mapping[str, Verifier],
    sampling: Sampling,
    seed: int,
    samples_per_task: int = 1,
    positions: Sequence[int] | None = None,
    make_episode: EpisodeFactory = SingleTurn,
    max_turns: MaxTurns = 1,
    limits: EpisodeLimits | Callable[[Task], EpisodeLimits] = EpisodeLimits(),  # noqa: B008, frozen
    max_concurrent: int = 128,
    on_row: Callable[[EvalRow], None] | None = None,
    done: Iterable[EvalRow] = (),
    retries: int = 2,
    settings: Mapping[str, Any] | None = None,
    hands_on: Scaffold | None = None,
) -> Evaluation:
    """Samples every task and scores every sample under every reading.

    All requests are under way at once, up to a limit. A sample's random numbers come from
    (seed, "evaluation", position of its task, sample, turn), so the result does not depend on the order in which
    requests end, nor on which rows were there before.

    Args:
        tasks: distinct tasks.
        engine: who samples: an engine, or a responder such as an endpoint.
        renderer: of the engine's model; a responder needs none.
        verifiers: reading to verifier, such as {"strict": Exact(), "lenient": Numeric()}.
        positions: of the tasks in a longer list that they are a part of, so that a sample does not depend on which
            others are asked for; 0, 1, ... where none are given.
        samples_per_task: attempts at each task; at temperature 0 they would all be the same.
        limits: how far an episode may go, of every task or of the task that is given.
        max_concurrent: rollouts under way at once.
        on_row: called with each row as it ends, in the order in which they end; not for rows of `done`.
        done: rows of an earlier, interrupted evaluation of the same tasks. Those that were not measured run again.
        retries: how often a rollout that broke, or a verifier that failed, is tried again before it counts as not
            measured. A responder tries again by itself, so its rollouts are played once.
        settings: recorded with the result.
        hands_on: the scaffold, where it hands something on from one episode of a stream to the next: sample s of each
            task, in the order of the tasks, is stream s, whose episodes are played one after the other. Of `done`, what
            others came after stays, measured or not.

    Raises:
        DataError: no tasks, the same task twice, no verifier, or a row in `done` of another evaluation.
        ConfigError: several samples a task at temperature 0.
        AssayError: a person must act (see `errors.classify`): the evaluation stops.
    """
    if not tasks:
        raise DataError("there are no tasks to evaluate; the split is empty at these levels")
    if not verifiers:
        raise DataError("there is no verifier to score with; name at least one reading")
    if min(samples_per_task, max_concurrent) < 1 or retries < 0:
        raise ValueError(f"{samples_per_task=}, {max_concurrent=} must be at least 1 and {retries=} at least 0")
    if samples_per_task > 1 and sampling.temperature == 0:
        raise ConfigError(
            f"{samples_per_task} samples a task at temperature 0 are {samples_per_task} times the same; "
            "take one sample, or a temperature above 0"
        )
    wanted = {
        (task.task_id, sample): (position, task, sample)
        for position, task in zip(range(len(tasks)) if positions is None else positions, tasks, strict=True)
        for sample in range(samples_per_task)
    }
    if len(wanted) < len(tasks) * samples_per_task:
        raise DataError("the same task is in the list more than once; its samples would count twice")
    streams = _streams(wanted, samples_per_task) if hands_on is not None else [[key] for key in wanted]
    rows = _kept(done, streams)
    for key, row in rows.items():
        if key not in wanted or wanted[key][0] != row.task_index or set(row.scores) != set(verifiers):
            raise DataError(f"a finished row (task {row.task_id}, sample {row.sample}) is of another evaluation")

    under_way = asyncio.Semaphore(max_concurrent)

    async def run(stream: Sequence[Key]) -> None:
        handed_on: tuple[str, ...] = ()
        for key in stream:
            row = rows.get(key)
            if row is None:
                async with under_way:
                    row = rows[key] = await measure(*wanted[key], handed_on)
                if on_row is not None:
                    on_row(row)
            if hands_on is not None and not row.boundary:
                handed_on = hands_on.handed_on(handed_on, row.said)

    async def measure(position: int, task: Task, sample: int, handed_on: tuple[str, ...]) -> EvalRow:
        given = task if hands_on is None else with_handed_on(task, handed_on)
        for _ in range(1 if isinstance(engine, Responder) else 1 + retries):
            rollout = await run_rollout(
                given,
                make_episode,
                engine,
                renderer,
                sampling,
                run_seed=seed,
                group_id=position,
                member=sample,
                max_turns=max_turns,
                limits=limits if isinstance(limits, EpisodeLimits) else limits(task),
                seed_label=SEED_LABEL,
            )
            if rollout.ending.kind is not EndingKind.BROKEN:
                break
        scores = {
            reading: await score_rollout(verifier, rollout, task, retries=retries)
            for reading, verifier in verifiers.items()
        }
        return EvalRow.of(task, position, rollout, scores)

    try:
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                if any(key not in rows for key in stream):
                    group.create_task(run(stream))
    except ExceptionGroup as failures:
        # The first that failed cancelled the others: one cause, and the one a person can act on.
        raise failures.exceptions[0] from None
    return Evaluation(tuple(rows[key] for key in wanted), dict(settings or {}))


def _streams(wanted: Iterable[Key], num_streams: int) -> list[list[Key]]:
    """Return the rows of each stream, in the order in which they are played."""
    streams: list[list[Key]] = [[] for _ in range(num_streams)]
    for key in wanted:
        streams[key[1]].append(key)
    return streams


def _kept(done: Iterable[EvalRow], streams: Sequence[Sequence[Key]]) -> dict[Key, EvalRow]:
    """Return the rows that are there already. One that was not measured is tried again, unless others of its stream
    came after it."""
    rows = {row.key: row for row in done}
    for key in rows.keys() - set(itertools.chain(*streams)):
        if not rows[key].measured:
            del rows[key]
    for stream in streams:
        for key in reversed(stream):
            if key in rows and rows[key].measured:
                break
            rows.pop(key, None)
    return rows
