from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from assay.curriculum import LevelSettings
from assay.engines import ScriptedEngine
from assay.engines.engine import Sampling
from assay.environments.arithmetic import Arithmetic
from assay.environments.rows import Rows
from assay.errors import DataError
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.held_out import SEED, EvaluationSettings, HeldOut
from assay.render import ChatRenderer, load_renderer
from assay.types import Split, Task
from assay.verifiers import Exact, Format, Math, Numeric, Verifier, check_all_gold, make_verifier

LEVELS = (LevelSettings(complexity=2), LevelSettings(complexity=3))
ANSWERS = {
    task.prompt[-1].content: task.answer
    for split in ("validation", "test")
    for level in (2, 3)
    for task in Arithmetic().tasks(split, complexity=level)
}

Answer = Callable[[str], str]


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


@pytest.fixture
def held_out(tiny_model: Path, renderer: ChatRenderer) -> Callable[..., HeldOut]:
    """A HeldOut whose model says what a function of the question gives."""
    encode = Tokenizer.from_file(str(tiny_model / "tokenizer.json")).encode

    def make(
        answer: Answer,
        *,
        environment: Any = None,
        max_new_tokens: int = 8,
        strict: Any = None,
        lenient: Any = None,
        **settings: Any,
    ) -> HeldOut:
        def say(prompt_ids: tuple[int, ...], seed: int) -> list[int]:
            prompt = renderer.decode(prompt_ids)
            return encode(answer(next(question for question in ANSWERS if question in prompt))).ids

        return HeldOut(
            EvaluationSettings(**{"validation_tasks": 8, "test_tasks": 5, "test_max_new_tokens": 40, **settings}),
            environment or Arithmetic(),
            {"strict": strict or Exact(), "lenient": lenient or Numeric(reading="any")},
            LEVELS,
            Sampling(max_new_tokens=max_new_tokens),
            engine=ScriptedEngine.saying(say, stop_token_ids=renderer.stop_token_ids, decode=renderer.decode),
            renderer=renderer,
        )

    return make


def measured(held_out: HeldOut) -> Any:
    async def run() -> Any:
        await held_out.check_tasks(Exact())
        return await held_out.validate(), await held_out.test(LEVELS[0], "before")

    return asyncio.run(run())


def test_validation_is_spread_over_the_levels_and_shares_no_task_with_the_test(held_out: Callable[..., HeldOut]):
    validation, test = measured(held_out(ANSWERS.__getitem__))
    assert {level: part.num_tasks for level, part in validation.by_level().items()} == {"c2 h1": 4, "c3 h1": 4}
    assert len(set(validation.task_ids)) == 8
    assert test["greedy"].task_ids == test["sampled"].task_ids
    assert test["greedy"].num_tasks == 5
    assert not set(validation.task_ids) & set(test["greedy"].task_ids)
    assert validation.readings == ("strict",)
    assert set(test["sampled"].readings) == {"strict", "lenient"}


def test_the_readings_differ_as_they_should(held_out: Callable[..., HeldOut]):
    validation, test = measured(held_out(lambda question: f"It is {ANSWERS[question]}!", max_new_tokens=40))
    assert validation.accuracy("strict").value == 0.0
    assert test["greedy"].accuracy("strict").value == 0.0
    assert test["greedy"].accuracy("lenient").value == 1.0


def test_the_claim_is_the_smallest_gain(held_out: Callable[..., HeldOut]):
    """Before: right to a lenient reader only. After: right to both. So the lenient gain, 0, is what may be claimed."""
    _, before = measured(held_out(lambda question: f"It is {ANSWERS[question]}."))
    _, after = measured(held_out(ANSWERS.__getitem__))
    result = BeforeAfter(before, after).to_dict()
    gains = {(r["decoding"], r["reading"]): r["gain"]["value"] for r in result["readings"]}
    assert gains[("greedy", "strict")] == gains[("sampled", "strict")] == 1.0
    assert result["gain"]["value"] == gains[("greedy", "lenient")] == 0.0
    assert result["gain"]["reading"] == "lenient"
    assert result["before"]["accuracy"] == result["after"]["accuracy"] == 1.0
    assert result["before"]["num_tasks"] == 5
    assert result["cautions"] == []


def test_several_attempts_at_temperature_1_tell_pass_at_k(held_out: Callable[..., HeldOut]):
    """Three attempts a task, one greedily: what the closing test takes is reckoned with them."""
    made = held_out(ANSWERS.__getitem__, test_samples=3)
    _, before = measured(held_out(str, test_samples=3))
    _, after = measured(made)
    assert [after[decoding].num_samples for decoding in ("greedy", "sampled")] == [5, 15]
    assert made.test_seconds == pytest.approx(2 * (1 + 3) * 5 * made.seconds_per_test_task)
    found = BeforeAfter(before, after).to_dict()
    assert [(each["name"], each["reading"], each["gain"]["value"]) for each in found["of_k"]] == [
        (name, reading, 1.0) for reading in ("strict", "lenient") for name in ("pass@2", "pass^2")
    ]
    assert json.loads(json.dumps(found["of_k"])) == found["of_k"]
    assert BeforeAfter(*(measured(held_out(str))[1] for _ in range(2))).to_dict()["of_k"] == []


def test_a_gain_by_one_answer_to_everything_is_told(held_out: Callable[..., HeldOut]):
    """After: "7" to every task."""
    _, before = measured(held_out(lambda question: f"no idea, {question}"))
    _, after = measured(held_out(lambda question: "7"))
    result = BeforeAfter(before, after).to_dict()
    assert result["commonest_response"]["after"] == {"text": "7", "share": 1.0}
    assert result["commonest_response"]["before"]["share"] == 1 / 5
    assert result["cautions"][0] == "100 % of the responses are the same text: '7'"


def test_answers_that_validation_cuts_off_may_take_longer_in_the_test(held_out: Callable[..., HeldOut]):
    """Every answer is cut at 8 tokens; the test allows 40, five times as long."""
    slow = held_out(lambda question: "x" * 50)
    asyncio.run(slow.check_tasks(Exact()))
    asyncio.run(slow.validate())
    first = slow.seconds_per_test_task
    assert first > 0
    assert slow.test_seconds == pytest.approx(2 * 2 * 5 * first)
    slow.seconds_per_test_task = 1e6
    asyncio.run(slow.validate())
    assert slow.seconds_per_test_task == 1e6, "the slowest validation counts"


class WithoutTestTasks(Arithmetic):
    def tasks(self, split: Split, **dials: Any) -> Iterator[Task]:
        return iter(()) if split == "test" else super().tasks(split, **dials)


def test_an_empty_test_split_is_found_before_the_first_step(held_out: Callable[..., HeldOut]):
    with pytest.raises(DataError, match="test"):
        asyncio.run(held_out(str, environment=WithoutTestTasks()).check_tasks(Exact()))
    asyncio.run(held_out(str, environment=WithoutTestTasks(), test_tasks=0).check_tasks(Exact()))


def rows(tmp_path: Path, bad: str | None) -> Rows:
    """Training rows, one of which may have another answer, beyond the first 32 that a level is tried with anyway."""
    rows = [{"prompt": f"What is {i}?", "answer": str(i)} for i in range(200)]
    if bad is None:
        return Rows(path=write(tmp_path, rows))
    for row in rows:
        domain = Rows(path=write(tmp_path, [{**each, "answer": bad} if each is row else each for each in rows]))
        if bad in [task.answer for task in domain.tasks("train", seed=SEED)][32:]:
            return domain
    raise AssertionError("no such row")


def write(tmp_path: Path, rows: list[dict[str, str]]) -> str:
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "data.jsonl")


def of_file(held_out: Callable[..., HeldOut], domain: Rows) -> HeldOut:
    made = held_out(str, environment=domain)
    made._levels = (LevelSettings(),)
    return made


@pytest.mark.parametrize(
    ("verifier", "bad", "message"),
    [
        (
            Numeric(),
            "twelve",
            r"data.jsonl, line \d+: the answer 'twelve' of task .* is not a number; correct the task",
        ),
        (Math(), "nan", r"data.jsonl, line \d+: the answer 'nan' of task .* is no answer to compare with"),
    ],
)
def test_every_gold_answer_of_a_file_is_checked(
    held_out: Callable[..., HeldOut], tmp_path: Path, verifier: Verifier, bad: str, message: str
):
    assert asyncio.run(of_file(held_out, rows(tmp_path, None)).check_tasks(verifier)) == ""
    with pytest.raises(DataError, match=message):
        asyncio.run(of_file(held_out, rows(tmp_path, bad)).check_tasks(verifier))


def test_parts_of_a_sum_are_checked_too(held_out: Callable[..., HeldOut], tmp_path: Path):
    parts = {"right": {"verifier": {"name": "exact"}}, "number": {"verifier": {"name": "numeric"}}}
    reward = make_verifier("weighted", {"parts": parts, "solved_by": "right"})
    with pytest.raises(DataError, match="'twelve' of task"):
        asyncio.run(of_file(held_out, rows(tmp_path, "twelve")).check_tasks(reward))


def test_a_check_that_takes_too_long_says_how_far_it_came(held_out: Callable[..., HeldOut], tmp_path: Path):
    domain = rows(tmp_path, "twelve")
    said = asyncio.run(of_file(held_out, domain).check_tasks(Numeric(), gold_seconds=0.0))
    assert said.startswith(f"0 of {len(domain.splits['train'])} gold answers were checked in 0 s")


def test_how_far_the_check_has_come_is_told():
    tasks = list(itertools.islice(Arithmetic().tasks("train"), 70))
    told: list[tuple[int, int]] = []
    assert asyncio.run(check_all_gold(Exact(), tasks, progress=lambda *how: told.append(how))) == 70
    assert told == [(32, 70), (64, 70), (70, 70)]


def test_data_without_answers_is_refused_by_name_where_a_reading_needs_one(
    held_out: Callable[..., HeldOut], tmp_path: Path
):
    domain = Rows(path=write(tmp_path, [{"prompt": f"q{i}"} for i in range(60)]), answer="")
    with pytest.raises(DataError, match=r"line \d+\) has no gold answer.*environment.answer"):
        asyncio.run(of_file(held_out, domain).check_tasks(Format()))
    made = held_out(str, environment=domain, strict=Format(), lenient=Format(shape="reasoning"))
    made._levels = (LevelSettings(),)
    assert asyncio.run(made.check_tasks(Format())) == ""


def test_fewer_held_out_tasks_than_asked_for_are_told(held_out: Callable[..., HeldOut], tmp_path: Path):
    few = Rows(path=write(tmp_path, [{"prompt": f"{i}?", "answer": str(i)} for i in range(60)]))
    splits = few.splits
    made = held_out(str, environment=few, validation_tasks=96, test_tasks=256)
    made._levels = (LevelSettings(),)
    asyncio.run(made.check_tasks(Exact()))
    assert made.sizes == (
        f"held out: {len(splits['validation'])} of 96 validation tasks, {len(splits['test'])} of 256 test tasks"
    )
    enough = held_out(str)
    asyncio.run(enough.check_tasks(Exact()))
    assert enough.sizes == "held out: 8 validation tasks, 5 test tasks"
