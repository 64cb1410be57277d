"""Run folders for tests of the studio, written through the store as real runs are."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from assay.evaluation.row import EvalRow
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=http://203.0.113.9/a.png onerror=\"document.title='owned'\"> "
    "![x](http://203.0.113.9/b.png) [y](javascript:document.title='owned') {{ 7 * 7 }} \x1b[31m"
)


def decode(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", "replace")


def rollout(task: Task, group: int, member: int, said: Sequence[str], ending: EndingKind) -> Rollout:
    """One turn for each thing said; between them a tool that is called, and answers."""
    turns = []
    for number, text in enumerate(said):
        sampled = text.encode()
        last = number == len(said) - 1
        call = {"type": "function", "function": {"name": "look", "arguments": {"at": "door"}}}
        message = Message("assistant", text, tool_calls=() if last else (call,))
        completion = Completion(tuple(sampled), tuple(-0.05 * n for n in range(len(sampled))), "stop", ((0, 1),))
        answers = () if last else (Message("tool", "it is open", name="look"),)
        turns.append(Turn(tuple(b"Q "), number > 0, completion, message, answers, 0.5, f"s{number}"))
    return Rollout(task.task_id, group, member, tuple(turns), Ending(ending))


def write_run(folder: Path, *, steps: int = 6, seed: int = 0, solved_after: float = 0.8, alarm: bool = True) -> Path:
    """Write a run of a few steps: two groups of two a step, of two levels; a hostile response, one of two turns,
    one that was not measured; a closing test of eight tasks."""
    generator = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with RunStore(folder) as store:
        write_steps(store, range(steps), generator)
        if alarm:
            store.record_event(2, "alarm", f"reward up, judge not: {HOSTILE}")
        store.record_event(0, "level", "c2 h1")
        for step, accuracy in ((BEFORE_TRAINING, 0.25), (2, 0.4), (steps - 1, 0.6)):
            store.record_evaluation(
                step,
                split="validation",
                decoding="greedy",
                reading="strict",
                accuracy=accuracy,
                low=accuracy - 0.1,
                high=accuracy + 0.1,
                num_tasks=8,
            )
        for step, share in ((BEFORE_TRAINING, 0.2), (steps - 1, solved_after)):
            rows = [_row(number, generator.random() < share, step).to_dict() for number in range(8)]
            store.record_evaluation_rows(step, "test", "greedy", rows)
    (folder / "config.json").write_text(json.dumps({"settings": {}}))
    (folder / "summary.json").write_text(json.dumps({"status": "finished", "num_steps": steps}))
    return folder


def write_steps(store: RunStore, steps: range, generator: random.Random) -> None:
    """Add steps to a run."""
    for step in steps:
        groups = []
        for group in range(2):
            number = 2 * step + group
            level = float(2 + group)
            task = Task("sums", (Message("user", "Q"),), "113", complexity=level, horizon=1.0)
            said = [[HOSTILE], ["first", "it is 113"]] if number == 0 else [["it is 113"], [f"it is {number}"]]
            endings = (EndingKind.FINISHED, EndingKind.TRUNCATED if number % 3 == 1 else EndingKind.FINISHED)
            rollouts = tuple(rollout(task, number, m, said[m], endings[m]) for m in range(2))
            other = Score.not_measured("timeout") if number == 5 else Score.failed("wrong", evidence=str(number))
            first = Score.solved() if generator.random() < 0.7 else Score.failed("wrong")
            groups.append(Group(number, task, rollouts, (first, other)))
        store.record_step(step, {"policy/entropy_nats": 2.0 - step / 10, "train/grad_norm": 1.0})
        store.record_groups(step, groups, decode)


def _row(number: int, solved: bool, step: int) -> EvalRow:
    side = "before" if step == BEFORE_TRAINING else "after"
    return EvalRow(
        f"task-{number}",
        number,
        0,
        "sums",
        "c2 h1",
        2.0,
        1.0,
        f"user: What is {number} + 1?",
        str(number + 1),
        f"{side}: {number + 1 if solved else 0}" + (f" {HOSTILE}" if number == 0 else ""),
        "finished",
        5,
        {"strict": Score.solved() if solved else Score.failed("wrong")},
    )
