from __future__ import annotations

import dataclasses
import math
import sqlite3
import stat
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.observe.records import LevelShare, OutcomeCount, StepRewards
from assay.observe.store import BEFORE_TRAINING, STORE_NAME, RunStore
from assay.statistics import Interval
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Turn


def decode(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", "replace")


def test_metrics_come_back_bit_for_bit_and_nan_as_unknown(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        store.record_step(0, {"loss/policy": 0.1 + 0.2, "time/step_seconds": 1.5, "gap/mean_nats": math.nan})
        store.record_step(1, {"loss/policy": -1e-310, "time/step_seconds": 2.5})
    reader = RunStore.open_readonly(tmp_path)
    assert reader.metrics()["loss/policy"] == [(0, 0.1 + 0.2), (1, -1e-310)]
    assert reader.metrics()["gap/mean_nats"] == [(0, None)]
    assert set(reader.comparable_metrics()) == {"loss/policy", "gap/mean_nats"}
    assert reader.num_steps() == 2


def test_rollouts_come_back_as_they_were(tmp_path: Path, group: Group) -> None:
    trainer = {(7, 1): [-0.25]}
    with RunStore(tmp_path) as store:
        store.record_groups(3, [group], decode, trainer)
    solved, failed, truncated, unmeasured = RunStore.open_readonly(tmp_path).rollouts(step=3)

    assert (solved.prompt, solved.response, solved.answer) == ("Q", "it is 4", "4")
    assert (solved.level, solved.complexity, solved.horizon) == ("c2 h1", 2.0, 1.0)
    assert (solved.verdict, solved.value, solved.parts, solved.evidence) == ("solved", 1.0, {"correct": 1.0}, "4")
    assert solved.token_ids == tuple(b"Qit is 4")
    assert solved.loss_mask == (False, *[True] * 7)
    assert solved.token_logprobs == tuple(-n / 8 for n in range(7))
    assert (solved.num_tokens, solved.version, solved.fork_starts) == (7, 3, ())
    assert solved.trainer_logprobs is None
    assert failed.trainer_logprobs == (-0.25,)
    assert (truncated.ending, truncated.ending_reason) == ("truncated", "length")
    assert (unmeasured.verdict, unmeasured.value, unmeasured.reason) == ("not_measured", None, "timeout")


def test_turns_come_back_as_they_were(tmp_path: Path, group: Group) -> None:
    paid = Message("tool", "3", tool_call_id="call-1", name="add")
    asked = Message("assistant", "", tool_calls=({"type": "function", "function": {"name": "add", "arguments": {}}},))
    first = Turn((1, 2), False, Completion((5, 6), (-0.5, -0.5), "stop", ((0, 4),)), asked, (paid,), 0.5, "s3")
    second = Turn((9,), True, Completion((7,), (-1.0,), "length", ((0, 5),)), Message("assistant", "3"))
    rollout = dataclasses.replace(group.rollouts[0], turns=(first, second))
    played = dataclasses.replace(group, rollouts=(rollout, *group.rollouts[1:]))
    with RunStore(tmp_path) as store:
        store.record_groups(3, [played], decode)
    reader = RunStore.open_readonly(tmp_path)
    one, two = reader.turns(3, 7, rollout.member)
    assert (one.turn, one.extends_previous, one.num_context_tokens, one.num_tokens) == (0, False, 2, 2)
    assert (one.message, one.env_messages, one.env_reward) == (asked, (paid,), 0.5)
    assert (one.state, two.state) == ("s3", "")
    assert (one.finish_reason, one.version) == ("stop", 4)
    assert (two.turn, two.extends_previous, two.message.content, two.env_messages) == (1, True, "3", ())
    assert (two.finish_reason, two.version, two.env_reward) == ("length", 5, None)
    with RunStore(tmp_path) as store:
        store.rollback(3)
    assert RunStore.open_readonly(tmp_path).turns(3, 7, rollout.member) == []


def test_a_store_of_before_turns_is_read(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store:
        store.record_groups(0, [group], decode)
    connection = sqlite3.connect(tmp_path / STORE_NAME)
    connection.executescript("DROP TABLE turns; PRAGMA user_version=1;")
    connection.close()
    reader = RunStore.open_readonly(tmp_path)
    assert len(reader.rollouts()) == 4
    assert reader.turns(0, 7, 0) == []


def test_readers_can_choose(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store:
        store.record_groups(0, [group], decode)
        store.record_groups(1, [dataclasses.replace(group, group_id=8)], decode)
    reader = RunStore.open_readonly(tmp_path)
    assert [(r.step, r.group_id, r.member) for r in reader.rollouts(member=2)] == [(0, 7, 2), (1, 8, 2)]
    assert [r.member for r in reader.rollouts(group=8, limit=2)] == [0, 1]
    assert reader.rollouts(step=5) == []


def test_two_turns_and_a_fork_keep_their_masks(tmp_path: Path, group: Group) -> None:
    def completion(text: str, version: int) -> Completion:
        return Completion(tuple(text.encode()), (-1.0,) * len(text), "stop", ((0, version),))

    turns = (
        Turn(tuple(b"ask"), False, completion("a", 2), Message("assistant", "a")),
        Turn(tuple(b"more"), True, completion("bc", 2), Message("assistant", "bc")),
        Turn(tuple(b"rewritten"), False, completion("d", 1), Message("assistant", "d")),
    )
    rollout = Rollout(group.task.task_id, 7, 0, turns, Ending(EndingKind.FINISHED))
    with RunStore(tmp_path) as store:
        store.record_groups(0, [Group(7, group.task, (rollout,), (Score.solved(),))], decode)
    (record,) = RunStore.open_readonly(tmp_path).rollouts()
    assert record.prompt == "ask"
    assert record.response == "amorebcrewrittend"
    trained = [decode([token]) for token, mask in zip(record.token_ids, record.loss_mask, strict=True) if mask]
    assert trained == ["a", "b", "c", "d"]
    assert record.fork_starts == (len("askamorebc"),)
    assert (record.num_turns, record.version) == (3, 1)


def test_a_rollout_that_broke_before_its_first_token_is_recorded(tmp_path: Path, group: Group) -> None:
    broken = Rollout(group.task.task_id, 7, 0, (), Ending(EndingKind.BROKEN, "engine"))
    with RunStore(tmp_path) as store:
        store.record_groups(0, [Group(7, group.task, (broken,), (Score.not_measured("engine"),))], decode)
    (record,) = RunStore.open_readonly(tmp_path).rollouts()
    assert (record.prompt, record.response, record.token_ids, record.num_tokens) == ("Q", "", (), 0)


def test_trainer_logprobs_of_the_wrong_length_are_refused(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store, pytest.raises(ValueError, match="2 trainer log-probabilities for 7"):
        store.record_groups(0, [group], decode, {(7, 0): [-1.0, -2.0]})


def test_a_lone_surrogate_does_not_stop_a_run(tmp_path: Path, group: Group) -> None:
    scores = (Score.failed("wrong", evidence="\ud800"), *group.scores[1:])
    with RunStore(tmp_path) as store:
        store.record_groups(0, [dataclasses.replace(group, scores=scores)], lambda ids: "\udfff")
    record = RunStore.open_readonly(tmp_path).rollouts()[0]
    assert (record.response, record.evidence) == ("?", "?")


@pytest.mark.parametrize(
    "part",
    ["7", "\x00", "\x1b[2J\x07\b\r\n", "\u202e\u2067\u200f\u061c", "\ud800", "'; DROP TABLE rollouts; --"],
    ids=["digit", "null", "control", "right to left", "surrogate", "quote"],
)
def test_hostile_text_is_kept_whole_in_bounded_time_and_memory(tmp_path: Path, group: Group, part: str) -> None:
    text = part * (10_000_000 // len(part.encode("utf-8", "surrogatepass")))
    kept = text.replace("\ud800", "?")
    task = dataclasses.replace(group.task, answer=text)
    rollouts = tuple(dataclasses.replace(rollout, task_id=task.task_id) for rollout in group.rollouts)
    scores = (Score.failed(part, evidence=part), *group.scores[1:])
    tracemalloc.start()
    try:
        began = time.process_time()
        with RunStore(tmp_path) as store:
            store.record_groups(0, [Group(7, task, rollouts, scores)], lambda ids: text)
            store.record_event(0, "note", text)
            store.record_evaluation_rows(0, "test", "greedy", [{"response": text}])
        seconds = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reader = RunStore.open_readonly(tmp_path)
    first, *others = reader.rollouts()
    assert len(others) == len(group.rollouts) - 1
    assert (first.prompt, first.response, first.answer) == (kept, kept, kept)
    shown = part.replace("\ud800", "?")
    assert (first.reason, first.evidence) == (shown, shown)
    assert [event.text for event in reader.events()] == [kept]
    assert reader.evaluation_rows(0, "test", "greedy") == [{"response": kept}]
    # Fourteen texts of ten megabytes in one transaction: four rows of a group are held at once.
    assert seconds < 30
    assert peak < 400_000_000


def test_what_the_rollouts_add_up_to(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store:
        store.record_groups(2, [group], decode, {(7, 1): [0.5], (7, 3): [-0.25]})
    reader = RunStore.open_readonly(tmp_path)
    # Not measured is left out of shares and rewards, and counted among the outcomes.
    assert reader.level_shares() == [LevelShare(2, "c2 h1", solved=1, measured=3, reward=1 / 3, num_rewards=3)]
    assert reader.step_rewards() == [StepRewards(2, (1 / 3,), (7 + 1 + 8 + 1) / 4, 1.0, 3, (0.0, 1.0))]
    assert set(reader.outcomes()) == {
        OutcomeCount("finished", "", "solved", "", 1),
        OutcomeCount("finished", "", "failed", "wrong", 1),
        OutcomeCount("truncated", "length", "failed", "no answer", 1),
        OutcomeCount("finished", "", "not_measured", "timeout", 1),
    }
    assert reader.outcomes(step=1) == []
    assert reader.logprob_gaps() == {2: (0.5 + 0.25) / 2}


def _record_all(store: RunStore, step: int, group: Group) -> None:
    store.record_step(step, {"loss/policy": float(step)})
    store.record_groups(step, [dataclasses.replace(group, group_id=step)], decode)
    store.record_evaluation(
        step, split="validation", decoding="greedy", reading="strict", accuracy=0.5, low=0.4, high=0.6, num_tasks=9
    )
    store.record_evaluation_rows(step, "validation", "greedy", [{"task": step}])
    store.record_event(step, "level", f"level {step}")
    store.commit()


def test_rollback_forgets_the_step_and_all_after_it(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store:
        for step in (BEFORE_TRAINING, 0, 1, 2):
            _record_all(store, step, group)
        store.record_event(9, "level", "uncommitted")
        store.rollback(1)
    reader = RunStore.open_readonly(tmp_path)
    kept = [BEFORE_TRAINING, 0]
    assert [step for step, _ in reader.metrics()["loss/policy"]] == kept
    assert sorted({r.step for r in reader.rollouts()}) == kept
    assert [e.step for e in reader.evaluations()] == kept
    assert [e.step for e in reader.events()] == kept
    assert reader.evaluation_rows(0, "validation", "greedy") == [{"task": 0}]
    assert reader.evaluation_rows(1, "validation", "greedy") == []


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.record_step(0, {"loss/policy": 1.0})
    store.commit()
    store.record_step(1, {"loss/policy": 1.0})
    assert RunStore.open_readonly(tmp_path).num_steps() == 1  # a reader beside the writer sees whole steps
    store.close()
    with RunStore(tmp_path) as again:
        assert again.num_steps() == 1


def test_an_exception_drops_the_step_it_happened_in(tmp_path: Path) -> None:
    def fail_midway() -> None:
        with RunStore(tmp_path) as store:
            store.record_step(0, {"loss/policy": 1.0})
            raise KeyError

    with pytest.raises(KeyError):
        fail_midway()
    assert RunStore.open_readonly(tmp_path).num_steps() == 0


def test_sync_moves_the_log_into_the_file(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.record_step(0, {"loss/policy": 1.0})
    store.sync()
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((tmp_path / STORE_NAME).read_bytes())  # without the write-ahead log beside it
    assert sqlite3.connect(copy).execute("SELECT COUNT(*) FROM steps").fetchone() == (1,)
    store.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    reader = RunStore.open_readonly(tmp_path)
    with pytest.raises(RunFolderError, match="readonly"):
        reader.record_event(0, "level", "no")


def test_a_full_disk_is_said(tmp_path: Path, group: Group) -> None:
    store = RunStore(tmp_path)
    store._connection.execute("PRAGMA max_page_count=20")
    many = [dataclasses.replace(group, group_id=i) for i in range(1000)]
    with pytest.raises(RunFolderError, match=r"full.*make room"):
        store.record_groups(0, many, decode)
    store.close()


def test_no_store_and_no_database_are_said(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run store"):
        RunStore.open_readonly(tmp_path)
    (tmp_path / STORE_NAME).write_text("this is not a database, whatever its name may say" * 100)
    with pytest.raises(RunFolderError, match=r"cannot be read as a run store: file is not a database.*copy it"):
        RunStore.open_readonly(tmp_path)
    with pytest.raises(RunFolderError, match="cannot be used"):
        RunStore(tmp_path)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    RunStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / STORE_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for opened in (RunStore, RunStore.open_readonly):
        with pytest.raises(RunFolderError, match="format 99"):
            opened(tmp_path)


def test_a_store_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with RunStore(folder) as store:
        store.record_step(0, {"loss/policy": 1.0})
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert RunStore.open_readonly(folder).num_steps() == 1
    finally:
        folder.chmod(stat.S_IRWXU)


def test_a_store_of_before_mean_rewards_opens_and_goes_on(tmp_path: Path, group: Group) -> None:
    """Format 2 had no mean rewards: read as it is, and brought to this format where its run goes on."""
    with RunStore(tmp_path) as store:
        _record_all(store, 0, group)
    with sqlite3.connect(tmp_path / "run.sqlite") as connection:
        for name in ("mean_reward", "reward_low", "reward_high"):
            connection.execute(f"ALTER TABLE evaluations DROP COLUMN {name}")
        connection.execute("PRAGMA user_version=2")
    connection.close()
    (old,) = RunStore.open_readonly(tmp_path).evaluations()
    assert (old.accuracy, old.mean_reward, old.measure) == (0.5, None, (0.5, 0.4, 0.6))
    with RunStore(tmp_path) as store:
        place = {"split": "validation", "decoding": "greedy", "reading": "strict"}
        store.record_evaluation(
            1, **place, accuracy=None, low=None, high=None, num_tasks=9, mean_reward=Interval(12.0, 11.0, 13.0)
        )
    kept, new = RunStore.open_readonly(tmp_path).evaluations()
    assert kept == old
    assert (new.accuracy, new.measure) == (None, (12.0, 11.0, 13.0))
