from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from assay.engines.engine import Sampling
from assay.environments.arithmetic import Arithmetic
from assay.environments.episode import EpisodeStep, SingleTurn
from assay.errors import ConfigError, DataError, EngineError, VerifierError
from assay.evaluation import Evaluation, evaluate
from assay.evaluation.evaluate import SEED_LABEL
from assay.render import ChatRenderer, load_renderer
from assay.seeds import derive_seed
from assay.types import Completion, Message, Rollout, Score, Task
from assay.verifiers import Exact, Numeric

TASKS = list(itertools.islice(Arithmetic().tasks("test", complexity=2), 6))
READINGS = {"strict": Exact(), "lenient": Numeric()}
SAMPLED = Sampling(temperature=1.0, max_new_tokens=40)
GREEDY = Sampling(temperature=0.0, max_new_tokens=40)


class BookEngine:
    """Answers as the test writes down: `answer(prompt, seed)`, after a number of turns of the event loop."""

    version = 0

    def __init__(self, folder: Path, renderer: ChatRenderer, answer: Callable[[str, int], str]) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._renderer = renderer
        self.answer = answer
        self.delay: Callable[[int], int] = lambda seed: 1
        self.failures: Counter[str] = Counter()
        """Request id to how many more of its tries fail."""
        self.seeds: list[int] = []
        self.under_way = 0
        self.most_under_way = 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        self.seeds.append(seed)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        for _ in range(self.delay(seed)):
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.failures[request_id] > 0:
            self.failures[request_id] -= 1
            raise EngineError("the device was lost")
        ids = self._tokenizer.encode(self.answer(self._renderer.decode(prompt_ids), seed)).ids
        ids += self._renderer.stop_token_ids[:1]
        cut = tuple(ids[: sampling.max_new_tokens])
        return Completion(cut, (-0.5,) * len(cut), "stop" if len(cut) == len(ids) else "length", ((0, 0),))

    async def abort(self, request_id: str) -> None:
        return None

    async def load_weights(self, weights: Iterable[tuple[str, Any]], version: int) -> None:
        return None

    async def close(self) -> None:
        return None


ANSWERS = {task.prompt[-1].content: task.answer for task in TASKS}


def right(prompt: str, seed: int) -> str:
    return next(answer for question, answer in ANSWERS.items() if question in prompt)


def sometimes(prompt: str, seed: int) -> str:
    return right(prompt, seed) if seed % 2 else str(seed % 1000)


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


@pytest.fixture
def engine(tiny_model: Path, renderer: ChatRenderer) -> BookEngine:
    return BookEngine(tiny_model, renderer, right)


def run(engine: BookEngine, renderer: ChatRenderer, tasks: Sequence[Task] = TASKS, **options: Any) -> Evaluation:
    settings = {"verifiers": READINGS, "sampling": GREEDY, "seed": 5, **options}
    return asyncio.run(evaluate(tasks, engine=engine, renderer=renderer, **settings))


def test_scores_under_every_reading(engine: BookEngine, renderer: ChatRenderer):
    engine.answer = lambda prompt, seed: f"It is {right(prompt, seed)}."
    result = run(engine, renderer, settings={"note": 1})
    assert (result.accuracy("strict").value, result.accuracy("lenient").value) == (0.0, 1.0)
    assert result.task_ids == tuple(task.task_id for task in TASKS)
    row = result.rows[2]
    assert row.prompt == f"user: {TASKS[2].prompt[0].content}"
    assert row.response == f"It is {TASKS[2].answer}."
    assert row.num_tokens == len(row.response) + 1, "the end token is sampled too"
    assert row.scores["lenient"].evidence == TASKS[2].answer
    assert result.settings == {"note": 1}


def test_request_seeds_follow_the_seed_rule(engine: BookEngine, renderer: ChatRenderer):
    run(engine, renderer, sampling=SAMPLED, samples_per_task=2)
    expected = {derive_seed(5, SEED_LABEL, task, sample, 0) for task in range(len(TASKS)) for sample in range(2)}
    assert set(engine.seeds) == expected
    assert SEED_LABEL != "request", "not the random numbers of training"


def test_order_of_ending_changes_nothing(engine: BookEngine, renderer: ChatRenderer):
    engine.answer = sometimes
    options = {"sampling": SAMPLED, "samples_per_task": 4}
    first = run(engine, renderer, **options)
    delays = random.Random(3)
    engine.delay = lambda seed: delays.randrange(9)
    ended: list[tuple[str, int]] = []
    second = run(engine, renderer, on_row=lambda row: ended.append(row.key), **options)
    assert second == first
    assert ended != [row.key for row in first.rows], "they did end in another order"
    assert 0 < first.accuracy("strict").value < 1


def test_limit_of_rollouts_under_way(engine: BookEngine, renderer: ChatRenderer):
    run(engine, renderer)
    assert engine.most_under_way == len(TASKS)
    engine.most_under_way = 0
    run(engine, renderer, max_concurrent=2)
    assert engine.most_under_way == 2


def test_continues_where_it_was_interrupted(engine: BookEngine, renderer: ChatRenderer):
    engine.answer = sometimes
    options = {"sampling": SAMPLED, "samples_per_task": 2}
    whole = run(engine, renderer, **options)
    engine.seeds.clear()
    new: list[tuple[str, int]] = []
    rest = run(engine, renderer, done=whole.rows[:7], on_row=lambda row: new.append(row.key), **options)
    assert rest == whole
    assert sorted(new) == sorted(row.key for row in whole.rows[7:])
    assert len(engine.seeds) == 5


def test_rows_of_another_evaluation_are_refused(engine: BookEngine, renderer: ChatRenderer):
    rows = run(engine, renderer).rows
    with pytest.raises(DataError, match="of another evaluation"):
        run(engine, renderer, TASKS[1:], done=rows[1:])
    with pytest.raises(DataError, match="of another evaluation"):
        run(engine, renderer, done=rows, verifiers={"strict": Exact()})


def test_broken_rollout_is_retried_with_the_same_seed(engine: BookEngine, renderer: ChatRenderer):
    engine.failures[f"{SEED_LABEL}/3/0/0"] = 3
    result = run(engine, renderer)
    assert result.accuracy("strict").value == 1.0
    assert engine.seeds.count(derive_seed(5, SEED_LABEL, 3, 0, 0)) == 4


def test_what_goes_on_failing_is_not_measured_and_never_zero(engine: BookEngine, renderer: ChatRenderer):
    engine.failures[f"{SEED_LABEL}/3/0/0"] = 1000
    result = run(engine, renderer)
    assert result.accuracy("strict").value == 1.0
    assert result.num_not_measured("strict") == 1
    assert result.bounds("strict").all_failed == pytest.approx(5 / 6)
    assert result.rows[3].ending.startswith("broken: EngineError")
    assert "device was lost" in result.rows[3].scores["strict"].reason

    engine.failures.clear()
    again = run(engine, renderer, done=result.rows)
    assert again.num_not_measured("strict") == 0, "a sample that was not measured runs again"
    assert again.rows[:3] == result.rows[:3]


class Flaky:
    """Fails a number of times, then is Exact."""

    name = "flaky"

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        self.failures -= 1
        if self.failures >= 0:
            raise VerifierError("its worker died")
        return await Exact()(rollout, task)

    def gold_response(self, task: Task) -> str:
        return task.answer


def test_verifier_that_fails_is_asked_again(engine: BookEngine, renderer: ChatRenderer):
    one = TASKS[:1]
    assert run(engine, renderer, one, verifiers={"strict": Flaky(2)}).accuracy("strict").value == 1.0
    result = run(engine, renderer, one, verifiers={"strict": Flaky(9), "lenient": Numeric()})
    assert result.num_not_measured("strict") == 1
    assert result.accuracy("lenient").value == 1.0
    assert len(engine.seeds) == 2, "a verifier that fails is no reason to sample again"


def test_truncated_response_is_scored(engine: BookEngine, renderer: ChatRenderer):
    engine.answer = lambda prompt, seed: "x" * 60
    result = run(engine, renderer)
    assert result.endings() == {"truncated: length": 6}
    assert result.accuracy("strict").value == 0.0
    assert result.mean_tokens == 40


def test_several_turns(engine: BookEngine, renderer: ChatRenderer):
    class Twice(SingleTurn):
        turns = 0

        async def step(self, message: Message) -> EpisodeStep:
            self.turns += 1
            return EpisodeStep(done=True) if self.turns == 2 else EpisodeStep((Message("user", "Sure?"),))

    result = run(engine, renderer, TASKS[:2], make_episode=Twice, max_turns=2)
    assert result.endings() == {"finished": 2}
    assert result.rows[0].num_tokens == 2 * (len(TASKS[0].answer) + 1)


def test_a_mistake_of_the_user_stops_it(engine: BookEngine, renderer: ChatRenderer):
    words = Task("words", TASKS[0].prompt, "seven")
    with pytest.raises(DataError, match=r"'seven'.*not a number"):
        run(engine, renderer, [*TASKS, words])


def test_rejects(engine: BookEngine, renderer: ChatRenderer):
    with pytest.raises(DataError, match="no tasks"):
        run(engine, renderer, [])
    with pytest.raises(DataError, match="more than once"):
        run(engine, renderer, [TASKS[0], TASKS[0]])
    with pytest.raises(DataError, match="no verifier"):
        run(engine, renderer, verifiers={})
    with pytest.raises(ConfigError, match="2 samples a task at temperature 0"):
        run(engine, renderer, samples_per_task=2)
    with pytest.raises(ValueError, match="retries=-1"):
        run(engine, renderer, retries=-1)
    assert engine.seeds == []
