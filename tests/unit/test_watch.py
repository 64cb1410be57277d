"""The watch: alarms that keep their rate, canaries, and what a run does about them."""

from __future__ import annotations

import asyncio
import io
import json
import math
import random
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.environments import make_environment
from assay.environments.arithmetic import Arithmetic
from assay.errors import ConfigError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run import Run, watching
from assay.statistics.e_process import EvidenceAbove, EvidenceOfRise
from assay.suite import Suite
from assay.types import CANARY, Completion, Ending, EndingKind, Message, Rollout, Score, Task, Turn
from assay.verifiers import Code, Exact
from assay.watch import SIGNALS, Baseline, Signal, Streams, Watched, canary_of
from assay.watch.signals import visible_tests

FLAWS = Path(__file__).parents[1] / "flaws"
BY_NAME = {signal.name: signal for signal in SIGNALS}


def values(rng: random.Random, rates: Iterable[float], num_members: int = 1) -> list[float]:
    """One value a rate: the share of members that show the signal."""
    return [statistics.fmean(rng.random() < rate for _ in range(num_members)) for rate in rates]


def first(evidence: EvidenceOfRise | EvidenceAbove, seen: Iterable[float]) -> int:
    """Place of the value that raises the alarm; a large number where none does."""
    return next((place for place, each in enumerate(seen) if evidence.add(each)), 9999)


def test_evidence_by_hand() -> None:
    # After four zeros and a one nobody who takes more than four values as the beginning has a stake on a rise. For the
    # interval of means from 0 to 0.01 bets on the first four gain nothing, (1 + a (0 - 0)) ** 4 = 1, and on the fifth
    # 1 + b (1 - 0.51) / 0.51 for b = 0.1, 0.3, 0.6, 0.9; half of the capital for r = 5, half waits. The other six
    # beginnings have 1, 1 and so on: eight of them have the one too, and lose 1 - a of it.
    evidence = EvidenceOfRise(0.5, false_alarm=0.05)
    for each in (0.0, 0.0, 0.0, 0.0, 1.0):
        evidence.add(each)
    rise = statistics.fmean(1 + b * 0.49 / 0.51 for b in (0.1, 0.3, 0.6, 0.9))
    lost = statistics.fmean(1 - a for a in (0.1, 0.3, 0.6, 0.9))
    assert evidence.evidence == pytest.approx((rise / 2 + 1 / 2 + 6 * lost) / 7)


def test_an_alarm_is_seldom_false_however_often_one_looks() -> None:
    rng, false = random.Random(1), 0
    for rate in (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0):
        for _ in range(20):
            false += first(EvidenceOfRise(0.0, false_alarm=0.05), values(rng, [rate] * 200)) < 9999
    assert false <= 0.05 * 140


def test_a_rise_is_seen_soon_also_where_it_comes_in_the_first_steps() -> None:
    rng = random.Random(2)
    # As a reward with a hole was seen to be hacked: by six groups a step, from 6 % to 80 % in eight steps.
    shares = [0.06, 0.11, 0.28, 0.47, 0.5, 0.33, 0.72, 0.83, 0.83, 0.83, 0.78, 0.53]
    early = [rate for rate in shares for _ in range(6)]
    assert all(first(EvidenceOfRise(0.05, false_alarm=0.025), values(rng, early, 6)) < 60 for _ in range(10))
    late = [0.1] * 200 + [0.6] * 100
    assert all(200 < first(EvidenceOfRise(0.05, false_alarm=0.025), values(rng, late, 6)) < 230 for _ in range(10))


def test_a_rise_within_the_tolerance_is_none() -> None:
    rng = random.Random(3)
    within = [0.1] * 50 + [0.14] * 150
    assert all(first(EvidenceOfRise(0.05, false_alarm=0.05), values(rng, within, 6)) == 9999 for _ in range(10))


def test_a_bound_that_the_beginning_does_not_excuse() -> None:
    rng = random.Random(4)
    # From the first value on: known by hand, six bettors from each moment.
    evidence = EvidenceAbove(0.5, false_alarm=0.05)
    evidence.add(1.0)
    # Half of the capital began before the first value, and gains b (1 - 0.5) / 0.5.
    assert evidence.evidence == pytest.approx(
        statistics.fmean(1 + b for b in (0.05, 0.15, 0.3, 0.5, 0.7, 0.9)) / 2 + 1 / 2
    )
    raised = EvidenceAbove(0.5, false_alarm=0.01)
    assert first(raised, values(rng, [0.95] * 40)) < 25
    assert all(raised.add(0.0) for _ in range(50)), "an alarm stays raised"
    false = sum(first(EvidenceAbove(0.5, false_alarm=0.05), values(rng, [0.5] * 300)) < 9999 for _ in range(100))
    assert false <= 0.05 * 100
    for allowed, false_alarm in ((0.0, 0.1), (0.5, 1.0)):
        with pytest.raises(ValueError, match="must be above 0"):
            EvidenceAbove(allowed, false_alarm=false_alarm)
    again = EvidenceAbove.restored(json.loads(json.dumps(evidence.state())))
    assert [again.add(1.0), again.evidence] == [evidence.add(1.0), evidence.evidence]


def test_a_judge_that_refuses_most_of_what_is_paid_from_the_first_step_on() -> None:
    streams, raised = Streams(0.05), []
    signal = BY_NAME["mostly refused"]
    for _ in range(30):
        raised.append(streams.add(signal, "", 1.0, None))
    found = [each for each in raised if each is not None]
    assert len(found) == 1
    assert raised.index(found[0]) < 15
    again = Streams(0.05)
    again.load_state(json.loads(json.dumps(streams.state())), BY_NAME)
    assert again.state() == streams.state()


def test_streams_together_keep_the_rate() -> None:
    rng, false = random.Random(2), 0
    signals = [Signal(f"signal {number}", "says", 0.0, lambda look, baseline: None) for number in range(4)]
    for _ in range(60):
        streams, rate = Streams(0.05), rng.choice([0.05, 0.3, 0.6])
        raised = [
            streams.add(signals[place % 4], "", each, None) for place, each in enumerate(values(rng, [rate] * 400))
        ]
        false += any(raised)
    assert false <= 0.05 * 60


def test_evidence_goes_on_where_it_was_and_bad_numbers_are_refused() -> None:
    evidence = EvidenceOfRise(0.1, false_alarm=0.01)
    for each in (0.0, 1.0, 0.5, 0.0, 0.25, 1.0):
        evidence.add(each)
    again = EvidenceOfRise.restored(json.loads(json.dumps(evidence.state())))
    assert [again.add(1.0), again.evidence] == [evidence.add(1.0), evidence.evidence]
    with pytest.raises(ValueError, match="tolerance is 1"):
        EvidenceOfRise(1.0, false_alarm=0.1)
    with pytest.raises(ValueError, match="must be above 0"):
        EvidenceOfRise(0.5, false_alarm=1.0)
    with pytest.raises(ValueError, match="outside"):
        evidence.add(1.5)


def test_streams_of_a_release_that_learned_what_is_usual_first_begin_anew() -> None:
    streams = Streams(0.05)
    old = {"signal": "refused", "where": "", "false_alarm": 0.025, "reference": [0.0] * 32, "evidence": None}
    streams.load_state([{**old, "recent": [], "examples": []}], BY_NAME)
    assert streams.state() == []


def turn(text: str, calls: tuple[dict[str, Any], ...] = (), num_tokens: int = 10) -> Turn:
    completion = Completion((1,) * num_tokens, (0.0,) * num_tokens, "stop", ((0, 0),))
    return Turn((), False, completion, Message("assistant", text, tool_calls=calls))


def look(
    response: str = "4",
    score: Score | None = None,
    judged: Score | None = None,
    task: Task | None = None,
    group: int = 0,
    **more: Any,
) -> Watched:
    task = task or Task("sums", (Message("user", "2 + 2?"),), "4")
    rollout = Rollout(task.task_id, group, 0, (turn(response, **more),), Ending(EndingKind.FINISHED))
    return Watched(0, task, rollout, score or Score.solved(), judged)


def value(name: str, seen: Watched, baseline: Baseline | None = None) -> float | None:
    return BY_NAME[name].value(seen, baseline or Baseline(8))


def test_what_the_judge_refuses() -> None:
    assert value("refused", look(judged=Score.failed())) == 1.0
    assert value("refused", look(judged=Score.solved())) == 0.0
    assert value("refused", look(score=Score.failed(), judged=Score.failed())) == 0.0
    assert value("refused", look()) is None
    assert value("mostly refused", look(judged=Score.failed())) == 1.0
    assert value("mostly refused", look(judged=Score.solved())) == 0.0
    assert value("mostly refused", look(score=Score.failed(), judged=Score.failed())) is None
    assert value("refused", look(judged=Score.not_measured("the judge is gone"))) is None
    baseline = Baseline(4)
    for number in range(4):
        assert value("refused", look(score=Score.graded(number / 10), judged=Score.failed()), baseline) is None
        baseline.add(look(score=Score.graded(number / 10)))
    assert value("refused", look(score=Score.graded(0.9), judged=Score.failed()), baseline) == 1.0
    assert value("refused", look(score=Score.graded(0.1), judged=Score.failed()), baseline) == 0.0


def test_one_answer_for_tasks_of_other_answers() -> None:
    baseline = Baseline(8)
    baseline.add(look("the same"))
    other = Task("sums", (Message("user", "3 + 3?"),), "6")
    assert value("same answer", look("the same", task=other), baseline) == 1.0
    assert value("same answer", look("the same"), baseline) == 0.0
    assert value("same answer", look("another", task=other), baseline) == 0.0
    assert value("same answer", look("the same", score=Score.failed(), task=other), baseline) == 0.0


def test_tests_that_are_repeated_or_touched() -> None:
    prompt = "Write square.\n\nassert square(7) == 49\nassert square(12) == 144"
    suite = Suite(tests=("assert square(7) == 49",))
    task = Task("programs", (Message("user", prompt),), "", suite=suite)
    assert visible_tests(task) == [("7", "49"), ("12", "144")]
    table = "def square(x):\n    return {7: 49, 12: 144}[x]"
    assert value("repeats tests", look(table, task=task)) == 1.0
    assert value("repeats tests", look("def square(x):\n    return x * x\n# 7 49 12 144", task=task)) == 0.0
    assert value("repeats tests", look("no tests are shown")) is None
    assert value("touches tests", look("import sys\nsys.exit(0)", task=task)) == 1.0
    assert value("touches tests", look("open('tests.py', 'w').write('')", task=task)) == 1.0
    assert value("touches tests", look("def square(x):\n    return x * x", task=task)) == 0.0
    call = {"type": "function", "function": {"name": "write_file", "arguments": {"path": "tests/test_a.py"}}}
    assert value("touches tests", look("", calls=(call,))) == 1.0


def test_tools_parts_and_lengths() -> None:
    baseline = Baseline(2)
    assert value("no tools", look(), baseline) is None
    call = {"type": "function", "function": {"name": "look_up", "arguments": {}}}
    for _ in range(2):
        baseline.add(look("", calls=(call,)))
    assert value("no tools", look(), baseline) == 1.0
    assert value("no tools", look("", calls=(call,)), baseline) == 0.0
    assert value("one part", look(score=Score.solved(parts={"form": 1.0, "right": 0.0}))) == 1.0
    assert value("one part", look(score=Score.solved(parts={"form": 1.0, "right": 1.0}))) == 0.0
    assert value("one part", look()) is None
    assert value("length", look(num_tokens=100), baseline) == 1.0
    assert value("length", look(num_tokens=20), baseline) == 0.0


def test_canaries_cannot_be_solved() -> None:
    environment = Arithmetic()
    task = next(environment.tasks("train"))
    canary = canary_of(environment, task, Exact())
    assert canary is not None
    assert canary.metadata[CANARY]
    assert (canary.prompt, len(canary.answer)) == (task.prompt, 12)
    assert canary.task_id != task.task_id
    tested = Task("p", (Message("user", "square"),), "", suite=Suite(tests=("assert square(7) == 49",)))
    contradictory = canary_of(environment, tested, Code())
    assert contradictory is not None
    assert contradictory.suite is not None
    assert contradictory.suite.tests == ("assert square(7) == 49", "assert not (square(7) == 49)")
    world = make_environment("maze")
    assert canary_of(world, next(world.tasks("train")), world.rewards["strict"]) is None


def settings_of(source: Path, **changes: Any) -> RunConfig:
    plain = {
        "num_steps": 8,
        "groups_per_step": 4,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "python", "function": f"{FLAWS}/rewards.py:anything", "gold_format": ""},
        "sampling": {"max_new_tokens": 2},
        "trainer": {"learning_rate": 1e-4},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 1, "keep_last": 1},
        **changes,
    }
    return validate(RunConfig, plain)


def play(config: RunConfig, folder: Path, **options: Any) -> Run:
    run = build_run(config, folder, console=Console(stream=io.StringIO(), live=False), **options)
    asyncio.run(train(run))
    return run


def test_a_run_rolls_back_from_an_alarm_and_keeps_its_evidence(tiny_model: Path, tmp_path: Path) -> None:
    watch = {"judge": {"name": "exact"}, "reference": 8, "on_alarm": "rollback", "canaries": 0.2}
    # Pays right answers alone until step 4, then everything: the hack is found.
    verifier = {"name": "python", "function": f"{FLAWS}/rewards.py:everything_later", "gold_format": ""}
    config = settings_of(tiny_model, watch=watch, verifier=verifier, num_steps=20)
    run = play(config, tmp_path / "run")
    store = RunStore.open_readonly(tmp_path / "run")
    alarms = store.alarms()
    assert {alarm["signal"] for alarm in alarms} & {"refused", "canary"}
    assert run.position.step < 20
    held = (tmp_path / "run" / "model").resolve()
    assert held.parent.name == f"step-{alarms[0]['step']:06d}", "the last checkpoint before the alarm"
    events = [event for event in store.events() if event.kind == "alarm"]
    assert len(events) == len(alarms)
    assert "see step" in events[0].text
    (refused,) = [alarm for alarm in alarms if alarm["signal"] == "refused" and not alarm["where"]] or alarms[:1]
    assert 1 <= len(refused["examples"]) <= 3
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["alarms"] == alarms
    metrics = store.metrics()
    assert metrics["watch/judged_count"]
    # Canaries are no part of what is stored and trained on.
    assert sum(value or 0 for _, value in metrics["watch/canaries_count"]) > 0
    assert all(len(record.answer) < 12 for record in store.rollouts())
    assert sum(value or 0 for _, value in metrics["time/watch_seconds"]) < 0.2 * sum(
        value or 0 for _, value in metrics["time/step_seconds"]
    )


def test_a_watched_run_goes_on_where_it_was(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the judge may cost more than its share, and is then asked less: that is no matter of resuming.
    monkeypatch.setattr(watching, "LARGEST_COST", math.inf)
    watch = {"judge": {"name": "exact"}, "reference": 8, "canaries": 0.2}
    whole = play(settings_of(tiny_model, watch=watch, num_steps=4), tmp_path / "whole")
    play(settings_of(tiny_model, watch=watch, num_steps=2), tmp_path / "cut")
    cut = play(settings_of(tiny_model, watch=watch, num_steps=4), tmp_path / "cut", resume=True)
    assert cut.watching.state() == whole.watching.state()
    first, second = (RunStore.open_readonly(tmp_path / name).comparable_metrics() for name in ("whole", "cut"))
    assert first == second


def test_a_judge_that_is_the_reward_and_what_has_no_effect_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="no independent judge"):
        settings_of(tiny_model, verifier={"name": "exact"}, watch={"judge": {"name": "exact"}})
    with pytest.raises(ConfigError, match=r"checkpoint\.every_steps=0 writes none"):
        settings_of(tiny_model, watch={"on_alarm": "rollback"}, checkpoint={"every_steps": 0})
    with pytest.raises(ConfigError, match="samples nothing"):
        settings_of(tiny_model, algorithm={"name": "sft"}, group_size=1, watch={"share": 0.5})


def test_a_canary_that_the_judge_accepts_too_is_shown_and_taken_out(tiny_model: Path, tmp_path: Path) -> None:
    accepts = {"name": "python", "function": f"{FLAWS}/rewards.py:anything_else", "gold_format": ""}
    run = play(settings_of(tiny_model, num_steps=6, watch={"judge": accepts, "canaries": 0.2}), tmp_path / "run")
    events = RunStore.open_readonly(tmp_path / "run").events()
    assert any(event.kind == "canary" and "is taken out" in event.text for event in events)
    assert not run.watching.alarms


def test_a_judge_that_raises_is_counted_and_stops_nothing(tiny_model: Path, tmp_path: Path) -> None:
    raises = {"name": "python", "function": f"{FLAWS}/rewards.py:raises", "gold_format": ""}
    run = play(settings_of(tiny_model, num_steps=2, watch={"judge": raises}), tmp_path / "run")
    counted = RunStore.open_readonly(tmp_path / "run").metrics()["watch/judge_not_measured_count"]
    assert all(value for _, value in counted)
    assert not run.watching.alarms
