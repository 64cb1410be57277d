"""Plays groups of rollouts and hands them over in the order in which they were issued.

    next_task --> issue --> group_size rollouts, each scored when it ends --> waiting --> kept, in issue order
                    ^                                                            |
                    +------------------ a dropped group is replaced <------------+

Issue order, never first come first served: groups that end early have short answers, and a step filled with them would
train on short answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from assay.engines.engine import Engine, Sampling
from assay.engines.restarting import RestartingEngine
from assay.environments.episode import EpisodeFactory
from assay.errors import BOUNDARIES, ConfigError, FailureKind, TrainingStoppedError, classify
from assay.observe.metrics import metric
from assay.render.renderer import Renderer
from assay.rollout.left_out import LeftOut
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import MaxTurns, run_rollout
from assay.rollout.timeouts import Timeouts
from assay.rollout.world import describe
from assay.types import CANARY, Ending, EndingKind, Group, Rollout, Score, Task, Verdict

DROPPED_UNMEASURED = metric(
    "rollout/dropped_unmeasured_count", "Groups dropped and replaced because too few of their rollouts were measured."
)
DROPPED_BY_KEEP = metric(
    "rollout/dropped_by_keep_count", "Groups dropped and replaced because the algorithm's keep() refused them."
)
RETRIED = metric("rollout/retried_count", "Rollouts played again because something outside the response failed.")
BROKEN = metric("rollout/broken_count", "Rollouts still broken after their retries: not measured, no reward.")
BROKEN_AT: dict[str, str] = {
    boundary: metric(f"rollout/broken_at_{boundary}_count", f"Broken rollouts whose failure crossed the {boundary}.")
    for boundary in BOUNDARIES
}
LEFT_OUT_SHARE = metric(
    "rollout/left_out_share", "Share of the rollouts played that were not measured, and so left out of training."
)
UNFILTERED_SOLVED_SHARE = metric(
    "rollout/unfiltered_solved_share",
    "Solved rollouts over those with a verdict, those of dropped groups included.",
)
MAX_STALENESS = metric(
    "rollout/max_staleness_versions", "How many versions older than the engine's the oldest trained-on token is."
)
MEAN_STALENESS = metric(
    "rollout/mean_staleness_versions", "How many versions older than the engine's a trained-on token is, in the mean."
)
RESTARTED = metric(
    "rollout/restarted_count",
    'Completions that were under way when the step\'s weights came, and began again (partial_rollouts="restart").',
)


@dataclass(frozen=True)
class _Result:
    """A finished group."""

    group: Group
    num_retried: int


@dataclass
class _Issued:
    """A group from its issue to its delivery."""

    group_id: int
    task: Task
    work: asyncio.Task[None] | None = None
    result: _Result | None = None


@dataclass
class _Counts:
    """Counts of one call of `next_groups`."""

    num_dropped_unmeasured: int = 0
    num_dropped_by_keep: int = 0
    num_retried: int = 0
    num_broken: int = 0
    broken_at: dict[str, int] = dataclasses.field(default_factory=dict)
    num_played: int = 0
    num_measured: int = 0
    num_judged: int = 0
    """Rollouts that are solved or failed."""
    num_solved: int = 0
    max_staleness: int = 0
    num_tokens: int = 0
    """Tokens of the groups that are trained on."""
    num_versions: int = 0
    """How many versions old those tokens are, summed."""
    num_restarted: int = 0


class Collector:
    """Keeps groups of rollouts under way; the only owner of tasks, queues and timeouts. Used as `async with`.

    At most n + max_staleness * groups_per_step groups are issued and not delivered. Groups are issued in
    `next_groups(n)` only, so after the publish of the step before. A group is therefore at most `max_staleness`
    versions old when it is delivered. With max_staleness = 0, `next_groups` issues exactly the groups it returns (and
    replacements).

    Args:
        score: what a finished or truncated rollout earned; broken rollouts are not measured and never get there.
        score_group: where given, asked instead of `score`, once all rollouts of a group are there: one score each.
        next_task: group id to task, asked once a group, in ascending order.
        group_size: rollouts of each task.
        groups_per_step: how many groups one step takes.
        min_group_size: a group with fewer measured members is dropped and replaced by the next group id.
        keep: whether a group is worth training on (dynamic sampling); asked in issue order.
        retries: how often a broken rollout is played again, whole and with the same seeds.
        limits: how far an episode may go; its clocks run only inside `next_groups`.
        max_left_out_share: training stops, with the causes, when more than this share of a step's rollouts is left out
            in `LEFT_OUT_STEPS` steps in a row.
        max_dropped_groups_in_a_row: then training stops, with the causes.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        renderer: Renderer,
        make_episode: EpisodeFactory,
        score: Callable[[Rollout, Task], Awaitable[Score]],
        next_task: Callable[[int], Task],
        sampling: Sampling,
        group_size: int,
        run_seed: int,
        groups_per_step: int,
        max_staleness: int = 0,
        min_group_size: int = 2,
        keep: Callable[[Group], bool] = lambda group: True,
        max_turns: MaxTurns = 1,
        retries: int = 2,
        limits: EpisodeLimits = EpisodeLimits(),  # noqa: B008, frozen
        max_left_out_share: float = 0.2,
        max_dropped_groups_in_a_row: int = 256,
        score_group: Callable[[Sequence[Rollout], Task], Awaitable[Sequence[Score]]] | None = None,
    ) -> None:
        for name, value, minimum in (
            ("group_size", group_size, 1),
            ("groups_per_step", groups_per_step, 1),
            ("max_staleness", max_staleness, 0),
            ("min_group_size", min_group_size, 1),
            ("max_turns", max_turns if isinstance(max_turns, int) else 1, 1),
            ("retries", retries, 0),
            ("max_dropped_groups_in_a_row", max_dropped_groups_in_a_row, 1),
        ):
            if value < minimum:
                raise ConfigError(f"{name} must be at least {minimum}, got {value}")
        if min_group_size > group_size:
            raise ConfigError(
                f"min_group_size {min_group_size} is more than group_size {group_size}: every group would be dropped"
            )
        self.progress: Callable[[str, int, int], None] = lambda part, done, total: None
        """Told of each rollout of a step that has ended: "rollouts", how many have, and of how many."""
        self._num_played = self._num_wanted = 0
        self._engine = engine
        self._renderer = renderer
        self._make_episode = make_episode
        self._score = score
        self._score_group = score_group
        self._next_task = next_task
        self._sampling = sampling
        self._group_size = group_size
        self._run_seed = run_seed
        self._groups_per_step = groups_per_step
        self._max_staleness = max_staleness
        self._min_group_size = min_group_size
        self._keep = keep
        self._max_turns = max_turns
        self._retries = retries
        self._limits = limits
        self._left_out = LeftOut(max_left_out_share, group_size * groups_per_step)
        self._timeouts = Timeouts()
        self._max_dropped_in_a_row = max_dropped_groups_in_a_row

        self._open = False
        self._next_group_id = 0
        self._waiting: dict[int, _Issued] = {}
        """Groups that were issued and not delivered, by group id, in issue order."""
        self._dropped: list[Group] = []
        self._num_dropped_in_a_row = 0
        self._causes_in_a_row: Counter[str] = Counter()
        self._num_refused_in_a_row = 0
        self._counts = _Counts()

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Takes back everything under way and waits until every environment is closed."""
        self._open = False
        self._timeouts.resume()  # else a world that does not close would be waited for without end
        works = [issued.work for issued in self._waiting.values() if issued.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        for issued in self._waiting.values():
            issued.work = None

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next groups in issue order, each with at least `min_group_size` measured members and kept by `keep`.

        Raises:
            TrainingStoppedError: too many groups in a row were dropped.
            AssayError: a failure that a person must act on, in any group under way.
        """
        if not self._open:
            raise RuntimeError("a collector runs inside `async with collector`")
        window = num_groups + self._max_staleness * self._groups_per_step
        ahead = sum(issued.result is not None for issued in [*self._waiting.values()][:num_groups])
        self._num_played, self._num_wanted = ahead * self._group_size, num_groups * self._group_size
        self._counts, self._dropped = _Counts(), []
        if isinstance(self._engine, RestartingEngine):
            self._counts.num_restarted = self._engine.take_num_restarted()
        self._left_out.begin_step()
        self._timeouts.resume()
        try:
            kept: list[Group] = []
            while len(kept) < num_groups:
                self._issue(window)
                # Kept groups stay in line until all are there, so that a cancelled call loses none.
                issued = list(self._waiting.values())[len(kept)]
                result = await self._finish(issued)
                if self._accept(result):
                    kept.append(result.group)
                else:
                    self._num_wanted += self._group_size
                    del self._waiting[issued.group_id]
        finally:
            self._timeouts.pause()
        self._left_out.end_step()
        for group in kept:
            del self._waiting[group.group_id]
        if not self._waiting:
            # What is kept of ended rollouts serves none before the next weights, and the update needs the memory.
            self._engine.forget()
        return kept

    def take_dropped(self) -> list[Group]:
        """The groups that the last `next_groups` dropped, canaries among them, in issue order; hands them out once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Metrics of the last `next_groups`. The solved share is NaN where nothing was measured."""
        counts = self._counts
        return {
            DROPPED_UNMEASURED: counts.num_dropped_unmeasured,
            DROPPED_BY_KEEP: counts.num_dropped_by_keep,
            RETRIED: counts.num_retried,
            BROKEN: counts.num_broken,
            **{
                name: counts.broken_at[boundary] for boundary, name in BROKEN_AT.items() if boundary in counts.broken_at
            },
            LEFT_OUT_SHARE: 1.0 - counts.num_measured / counts.num_played if counts.num_played else math.nan,
            UNFILTERED_SOLVED_SHARE: counts.num_solved / counts.num_judged if counts.num_judged else math.nan,
            MAX_STALENESS: counts.max_staleness,
            MEAN_STALENESS: counts.num_versions / counts.num_tokens if counts.num_tokens else math.nan,
            **({RESTARTED: counts.num_restarted} if isinstance(self._engine, RestartingEngine) else {}),
        }

    def state(self) -> dict[str, Any]:
        """Return the collector's state as JSON: finished groups whole, unfinished ones as their tasks.

        Unfinished groups start again from the seeds of their requests. Taken between two calls of `next_groups`.
        """
        return {
            "next_group_id": self._next_group_id,
            "waiting": [
                {"group_id": issued.group_id, "task": issued.task.to_dict()}
                if issued.result is None
                else {"group": issued.result.group.to_dict(), "num_retried": issued.result.num_retried}
                for issued in self._waiting.values()
            ],
            "counts": dataclasses.asdict(self._counts),
            "steps_that_left_out_too_many": self._left_out.steps_in_a_row,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken. Only for a collector that has not issued anything yet."""
        if self._waiting or self._next_group_id:
            raise RuntimeError("a state is loaded into a fresh collector")
        self._next_group_id = state["next_group_id"]
        for data in state["waiting"]:
            if "group" in data:
                group = Group.from_dict(data["group"])
                issued = _Issued(group.group_id, group.task, result=_Result(group, data["num_retried"]))
            else:
                issued = _Issued(data["group_id"], Task.from_dict(data["task"]))
            self._waiting[issued.group_id] = issued
        self._counts = _Counts(**state["counts"])
        self._left_out.restore(state.get("steps_that_left_out_too_many", 0))

    def _issue(self, window: int) -> None:
        """Fills up to `window` groups and sets going those that are not, after a resume too."""
        while len(self._waiting) < window:
            group_id = self._next_group_id
            self._waiting[group_id] = _Issued(group_id, self._next_task(group_id))
            self._next_group_id += 1
        for issued in self._waiting.values():
            if issued.result is None and issued.work is None:
                issued.work = asyncio.create_task(self._play_group(issued), name=f"group {issued.group_id}")

    async def _finish(self, issued: _Issued) -> _Result:
        """Waits for one group; a failure of any group under way is raised at once."""
        while True:
            running: list[asyncio.Task[None]] = []
            for other in self._waiting.values():
                if other.work is not None and other.work.done():
                    other.work.result()
                elif other.work is not None:
                    running.append(other.work)
            if issued.result is not None:
                return issued.result
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    def _accept(self, result: _Result) -> bool:
        """Counts a group in and says whether it is trained on."""
        group, counts = result.group, self._counts
        if CANARY in group.task.metadata:
            # Played to be watched: no part of what the step counts, and never trained on.
            self._dropped.append(group)
            return False
        counts.num_retried += result.num_retried
        for rollout in group.rollouts:
            if rollout.ending.kind is EndingKind.BROKEN:
                counts.num_broken += 1
                boundary = rollout.ending.boundary or "engine"
                counts.broken_at[boundary] = counts.broken_at.get(boundary, 0) + 1
        counts.num_played += len(group.rollouts)
        counts.num_measured += len(group.measured)
        counts.num_judged += sum(score.has_verdict for score in group.scores)
        counts.num_solved += sum(score.verdict is Verdict.SOLVED for score in group.scores)
        self._left_out.add(group)
        if len(group.measured) < self._min_group_size:
            counts.num_dropped_unmeasured += 1
            self._causes_in_a_row.update(score.reason for score in group.scores if not score.measured)
        elif not self._keep(group):
            counts.num_dropped_by_keep += 1
            self._num_refused_in_a_row += 1
        else:
            for version, num_tokens in tokens_by_version(group).items():
                age = self._engine.version - version
                counts.max_staleness = max(counts.max_staleness, age)
                counts.num_tokens += num_tokens
                counts.num_versions += age * num_tokens
            self._num_dropped_in_a_row = self._num_refused_in_a_row = 0
            self._causes_in_a_row.clear()
            return True
        self._dropped.append(group)
        self._num_dropped_in_a_row += 1
        if self._num_dropped_in_a_row >= self._max_dropped_in_a_row:
            raise TrainingStoppedError(self._explain_drops())
        return False

    def _explain_drops(self) -> str:
        refused, unmeasured = self._num_refused_in_a_row, self._num_dropped_in_a_row - self._num_refused_in_a_row
        lines = [f"{self._num_dropped_in_a_row} groups in a row were dropped, so there is nothing to train on."]
        if unmeasured:
            (cause, times), *_ = self._causes_in_a_row.most_common(1)
            lines.append(
                f"In {unmeasured} fewer than {self._min_group_size} of {self._group_size} rollouts could be measured, "
                f"most often ({times} rollouts) because of: {cause}. Repair that; it is no fault of the responses."
            )
        if refused:
            lines.append(
                f"In {refused} the algorithm's keep() refused the group, such as when all its rollouts earned the "
                f"same. Choose easier or harder tasks, larger groups, or switch the filter off."
            )
        return "\n".join(lines)

    async def _play_group(self, issued: _Issued) -> None:
        try:
            async with asyncio.TaskGroup() as scope:
                members = [scope.create_task(self._play_member(issued, member)) for member in range(self._group_size)]
                for member in members:
                    member.add_done_callback(self._count_played)
        except ExceptionGroup as failures:
            # One error that a person must act on says it all; its siblings were cancelled.
            raise failures.exceptions[0] from None
        played = [member.result() for member in members]
        rollouts = tuple(rollout for rollout, _, _ in played)
        scores = tuple(score for _, score, _ in played)
        if self._score_group is not None:
            scores = tuple(await self._score_group(rollouts, issued.task))
        rollouts, scores = _with_suspects_failed(rollouts, scores)
        group = Group(issued.group_id, issued.task, rollouts, scores)
        issued.result = _Result(group, num_retried=sum(num_retried for _, _, num_retried in played))

    def _count_played(self, _: asyncio.Task[Any]) -> None:
        self._num_played += 1
        self.progress("rollouts", min(self._num_played, self._num_wanted), self._num_wanted)

    async def _play_member(self, issued: _Issued, member: int) -> tuple[Rollout, Score, int]:
        """Play one member; return its rollout, its score, and how often it had to be played again."""
        rollout, num_retried = await self._play_once(issued, member), 0
        while rollout.ending.kind is EndingKind.BROKEN and num_retried < self._retries:
            rollout, num_retried = await self._play_once(issued, member), num_retried + 1
        if rollout.ending.kind is EndingKind.BROKEN or self._score_group is not None:
            return rollout, Score.not_measured(rollout.ending.reason), num_retried
        try:
            score = await self._score(rollout, issued.task)
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            score = Score.not_measured(describe(error))
        return rollout, score, num_retried

    async def _play_once(self, issued: _Issued, member: int) -> Rollout:
        return await run_rollout(
            issued.task,
            self._make_episode,
            self._engine,
            self._renderer,
            self._sampling,
            run_seed=self._run_seed,
            group_id=issued.group_id,
            member=member,
            max_turns=self._max_turns,
            limits=self._limits,
            timeouts=self._timeouts,
        )


def tokens_by_version(group: Group) -> Counter[int]:
    """Return how many sampled tokens of a group's measured rollouts each version sampled."""
    counts: Counter[int] = Counter()
    for completion in (turn.completion for rollout, _, _ in group.measured for turn in rollout.turns):
        ends = [*(start for start, _ in completion.version_spans[1:]), len(completion.token_ids)]
        for (start, version), end in zip(completion.version_spans, ends, strict=True):
            counts[version] += end - start
    return counts


def _with_suspects_failed(
    rollouts: tuple[Rollout, ...], scores: tuple[Score, ...]
) -> tuple[tuple[Rollout, ...], tuple[Score, ...]]:
    """Count what the policy may have caused as failed where a sibling was measured: the world works for this task, so
    what the model said made the difference. Left out, it would be a way to get around every bad reward.

    Without a measured sibling nobody can tell; such a group is left out, and has nothing to compare anyway.
    """
    if not any(score.measured for score in scores):
        return rollouts, scores
    settled: list[tuple[Rollout, Score]] = []
    for rollout, score in zip(rollouts, scores, strict=True):
        # The verifier may say that it is the response's doing, or the episode itself.
        own = score if score.suspected is not None else rollout.score
        if not score.measured and own is not None and own.suspected is not None:
            value = min(own.suspected, *(other.value for other in scores if other.value is not None))
            has_verdict = any(other.has_verdict for other in scores)
            details = {"reason": "unreported", "evidence": own.reason}
            score = Score.failed(value=value, **details) if has_verdict else Score.graded(value, **details)
            if rollout.ending.kind is EndingKind.BROKEN:
                rollout = dataclasses.replace(rollout, ending=Ending(EndingKind.FINISHED, rollout.ending.reason))
        settled.append((rollout, score))
    return tuple(rollout for rollout, _ in settled), tuple(score for _, score in settled)
