"""Watching: a subscriber that looks at a sample of each step's rollouts for signs that the reward is hacked."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from assay.observe.metrics import metric
from assay.observe.records import ALARM, ALARM_EVIDENCE
from assay.run.events import StepDone
from assay.run.keeping import Keeping
from assay.run.position import Clock
from assay.run.records import Records
from assay.seeds import derive_seed, uniform
from assay.training.report import ENTROPY
from assay.types import PROPOSAL, Group, Score, Verdict
from assay.verifiers import score_rollout
from assay.watch import SIGNALS, Alarm, Baseline, Canaries, Streams, Watched, WatchSettings
from assay.watch.signals import ENTROPY as ENTROPY_SIGNAL
from assay.watch.signals import entropy_drift
from assay.watch.streams import NUM_EXAMPLES, example_of

JUDGED = metric("watch/judged_count", "Rollouts of the step that the independent judge gave a score.")
JUDGE_FAILED = metric(
    "watch/judge_not_measured_count", "Rollouts of the step to which the independent judge gave no score."
)
JUDGE_SOLVED = metric("watch/judge_solved_share", "Share of the judged rollouts that the independent judge accepts.")
REFUSED = metric("watch/refused_share", "Share of the judged rollouts that are paid, and refused by the judge.")
CANARY_COUNT = metric("watch/canaries_count", "Rollouts of the step on tasks that no honest policy can solve.")
CANARY_PAID = metric("watch/canaries_paid_count", "Those of them that the reward paid.")
EVIDENCE = metric("watch/evidence_share", "The strongest evidence of any signal, as a share of what raises its alarm.")
SECONDS = metric("time/watch_seconds", "Wall clock of the watch in this step.")

LARGEST_COST = 0.03
"""Share of a step's time that looking may take; then fewer rollouts are looked at."""
USUAL_STEPS = 4
"""Steps whose entropies say what is usual."""
JUDGE_SECONDS = 60.0
"""After which a judge has given no score."""


class Watching:
    """Told of a step after it was written down, and before it is kept."""

    def __init__(
        self,
        settings: WatchSettings,
        records: Records,
        keeping: Keeping,
        clock: Clock,
        canaries: Canaries,
        *,
        seed: int,
    ) -> None:
        self._settings = settings
        self._records = records
        self._keeping = keeping
        self._clock = clock
        self._canaries = canaries
        self._seed = derive_seed(seed, "watch")
        self._share = settings.share
        self._baseline = Baseline(settings.reference)
        self._streams = Streams(settings.false_alarm)
        self._entropies: list[float] = []
        self.alarms: list[Alarm] = []
        """Those of this leg of the run, the first of each signal."""

    async def step_done(self, done: StepDone) -> None:
        """Looks at the step, and raises the alarms that it gives cause for."""
        started = time.monotonic()
        attempted = (group for group in [*done.groups, *done.dropped] if PROPOSAL not in group.task.metadata)
        groups = [group for group in attempted if group.measured]
        looks = [look for group in groups for look in self._chosen(done.step, group)]
        judged = await asyncio.gather(*(self._judged(look) for look in looks))
        looks = [
            Watched(look.step, look.task, look.rollout, look.score, score)
            for look, score in zip(looks, judged, strict=True)
        ]
        alarms = [*self._follow(looks), *self._follow_entropy(done), *await self._look_at_canaries(done)]
        seconds = time.monotonic() - started
        if seconds > LARGEST_COST * done.seconds and self._settings.judge is not None and self._share > 0.001:
            self._share /= 2
        found = {**self._metrics(looks, done.canaries), SECONDS: seconds}
        self._records.more(done.step, found)
        for alarm in alarms:
            self._raise(alarm)

    def _chosen(self, step: int, group: Group) -> list[Watched]:
        """The members of a group that are looked at: a share of them, and at least one."""
        own = [
            (uniform(self._seed, group.group_id * 100_003 + rollout.member), Watched(step, group.task, rollout, score))
            for rollout, score in zip(group.rollouts, group.scores, strict=True)
            if score.measured
        ]
        chosen = [look for drawn, look in own if drawn < self._share]
        return chosen or [min(own, key=lambda pair: pair[0])[1]]

    async def _judged(self, look: Watched) -> Score | None:
        judge = self._settings.judge
        if judge is None:
            return None
        try:
            async with asyncio.timeout(JUDGE_SECONDS):
                return await score_rollout(judge, look.rollout, look.task, retries=0)
        except TimeoutError:
            return Score.not_measured(f"no score within {JUDGE_SECONDS:g} s")

    def _follow(self, looks: Sequence[Watched]) -> list[Alarm]:
        """Gives each stream the mean of each group, in order: members of a group share their task."""
        by_group: dict[int, list[Watched]] = {}
        for look in looks:
            by_group.setdefault(look.rollout.group_id, []).append(look)
        alarms: list[Alarm] = []
        for own in by_group.values():
            for signal in SIGNALS:
                values = [(value, look) for look in own if (value := signal.value(look, self._baseline)) is not None]
                if not values:
                    continue
                largest, shows = max(values, key=lambda pair: pair[0])
                rollout = shows.rollout
                example = example_of(shows.step, rollout.group_id, rollout.member, shows.task.task_id, shows.response)
                mean = math.fsum(value for value, _ in values) / len(values)
                places = ["", f"{shows.task.domain} {shows.task.level}"] if signal.by_level else [""]
                for where in places:
                    raised = self._streams.add(signal, where, mean, example if largest > 0 else None)
                    if raised is not None:
                        alarms.append(raised.alarm(shows.step))
            for look in own:
                self._baseline.add(look)
        return alarms

    def _follow_entropy(self, done: StepDone) -> list[Alarm]:
        entropy = done.report.metrics.get(ENTROPY)
        if entropy is None or math.isnan(entropy):
            return []
        if len(self._entropies) < USUAL_STEPS:
            self._entropies.append(entropy)
            return []
        raised = self._streams.add(ENTROPY_SIGNAL, "", entropy_drift(entropy, self._entropies), None)
        return [] if raised is None else [raised.alarm(done.step)]

    async def _look_at_canaries(self, done: StepDone) -> list[Alarm]:
        """Pay on a canary is an alarm at once; one that the judge accepts too has an honest solution, and is taken
        out."""
        shown, num_paid, num_played = [], 0, 0
        for group in done.canaries:
            num_played += len(group.rollouts)
            for rollout, score in zip(group.rollouts, group.scores, strict=True):
                if score.verdict is not Verdict.SOLVED or group.task.task_id in self._canaries.taken_out:
                    continue
                look = Watched(done.step, group.task, rollout, score)
                judged = await self._judged(look)
                example = example_of(done.step, rollout.group_id, rollout.member, group.task.task_id, look.response)
                if judged is not None and judged.verdict is Verdict.SOLVED:
                    self._canaries.taken_out.add(group.task.task_id)
                    self._records.event(
                        done.step,
                        "canary",
                        f"step {done.step + 1}: the canary {group.task.task_id} is taken out: the judge accepts its "
                        f"solution too: {json.dumps(example.response[:200])}",
                    )
                    continue
                num_paid += 1
                shown.append(example)
        if not shown or any(alarm.signal == "canary" for alarm in self.alarms):
            return []
        says = "paid for a task that no honest policy can solve"
        return [Alarm("canary", says, "", done.step, num_paid / num_played, 0.0, tuple(shown[:NUM_EXAMPLES]))]

    def _metrics(self, looks: Sequence[Watched], canaries: Sequence[Group]) -> dict[str, float]:
        found = {EVIDENCE: self._streams.strongest}
        if self._settings.judge is not None:
            scores = [look.judged for look in looks if look.judged is not None]
            refused = [value for look in looks if (value := SIGNALS[0].value(look, self._baseline)) is not None]
            judged = [score for score in scores if score.has_verdict]
            found |= {JUDGED: float(sum(score.measured for score in scores))}
            found |= {JUDGE_FAILED: float(sum(not score.measured for score in scores))}
            if judged:
                solved = sum(score.verdict is Verdict.SOLVED for score in judged)
                found |= {JUDGE_SOLVED: solved / len(judged)}
            if refused:
                found |= {REFUSED: math.fsum(refused) / len(refused)}
        if self._settings.canaries:
            scores = [score for group in canaries for score in group.scores]
            found |= {CANARY_COUNT: float(len(scores))}
            found |= {CANARY_PAID: float(sum(score.verdict is Verdict.SOLVED for score in scores))}
        return found

    def _raise(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)
        self._records.event(alarm.step, ALARM, alarm.line())
        self._records.store.record_event(alarm.step, ALARM_EVIDENCE, json.dumps(alarm.to_dict(), ensure_ascii=True))
        if self._settings.on_alarm == "warn" or self._clock.halted:
            return
        kept = self._keeping.hold(use=self._settings.on_alarm == "rollback")
        before = "there is no checkpoint before it" if kept is None else f"the checkpoint of step {kept} is kept"
        what = "is the run's model" if self._settings.on_alarm == "rollback" and kept is not None else ""
        self._clock.halted = f"the watch raised an alarm; {before}{', and ' + what if what else ''}"

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run goes on with, as JSON."""
        return {
            "baseline": self._baseline.state(),
            "streams": self._streams.state(),
            "entropies": self._entropies,
            "share": self._share,
            "taken_out": sorted(self._canaries.taken_out),
            "alarms": [alarm.to_dict() for alarm in self.alarms],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._baseline = Baseline.restored(state["baseline"])
        self._streams.load_state(state["streams"], {signal.name: signal for signal in (*SIGNALS, ENTROPY_SIGNAL)})
        self._entropies, self._share = list(state["entropies"]), state["share"]
        self._canaries.taken_out |= set(state["taken_out"])
        self.alarms = [Alarm.restored(alarm) for alarm in state["alarms"]]
