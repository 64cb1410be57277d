from __future__ import annotations

import asyncio
import importlib.util
import inspect
import itertools
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from assay.environments import check_environment
from assay.environments.reasoning_gym import ReasoningGym, ReasoningGymScorer
from assay.environments.reasoning_gym.check import check_family, markdown_table
from assay.environments.reasoning_gym.environment import GENERATION_SECONDS, families, family_levels
from assay.environments.reasoning_gym.reward import worker_pool
from assay.environments.splits import SPLITS
from assay.errors import ConfigError, DataError
from assay.types import Split, Task

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed"
)


def first(family: str, num_tasks: int, split: Split = "train", seed: int = 0, **dials: Any) -> list[Task]:
    return list(itertools.islice(ReasoningGym(family=family).tasks(split, seed=seed, **dials), num_tasks))


def test_it_keeps_the_protocol() -> None:
    domain = ReasoningGym(family="chain_sum")
    levels = [(None, None), (1.0, None), (2.0, None), (11.0, None)]
    asyncio.run(check_environment(domain, verifier=ReasoningGymScorer(), levels=levels, num_tasks=8))


def test_complexity_is_the_level_of_the_curriculum() -> None:
    domain = ReasoningGym(family="chain_sum")
    assert domain.levels() == tuple((float(level), None) for level in range(1, 12))
    # Level 3: 2 to 4 terms of 1 to 3 digits.
    assert family_levels("chain_sum")[2]["sets"] == {
        "min_terms": 2,
        "max_terms": 4,
        "min_digits": 1,
        "max_digits": 3,
    }
    for task in first("chain_sum", 20, complexity=1):
        assert task.complexity == 1.0
        assert task.level == "c1 h-"
        expression = task.prompt[0].content.split(":")[1].split("=")[0]
        assert len([part for part in expression.split() if part.isdigit()]) == 2
    # Digits end at level 10, and stay there at level 11.
    assert family_levels("chain_sum")[10]["sets"]["max_digits"] == 10


def test_levels_that_the_family_refuses_are_not_listed() -> None:
    assert [dial for dial, _ in ReasoningGym(family="caesar_cipher").levels()] == [1.0, 2.0]
    with pytest.raises(DataError, match=r"no complexity 3 .*rotation must be in range.*it has 1, 2"):
        first("caesar_cipher", 1, complexity=3)
    assert ReasoningGym(family="gsm_symbolic").levels() == ((None, None),)
    with pytest.raises(DataError, match="no curriculum"):
        first("gsm_symbolic", 1, complexity=1)
    with pytest.raises(DataError, match="no horizon dial"):
        first("chain_sum", 1, horizon=1)
    with pytest.raises(DataError, match=r"no complexity 1\.5"):
        first("chain_sum", 1, complexity=1.5)


def test_options_take_the_dial_that_they_set() -> None:
    domain = ReasoningGym(family="chain_sum", options={"min_terms": 3, "max_terms": 3})
    assert domain.levels() == ((None, None),)
    for task in itertools.islice(domain.tasks("test"), 5):
        assert task.complexity is None
        expression = task.prompt[0].content.split(":")[1].split("=")[0]
        assert len([part for part in expression.split() if part.isdigit()]) == 3
    with pytest.raises(DataError, match="options set max_terms, min_terms"):
        next(domain.tasks("test", complexity=1))
    free = ReasoningGym(family="chain_sum", options={"allow_negation": True})
    assert len(free.levels()) == 11


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"no family 'chain_sums'; did you mean chain_sum"):
        ReasoningGym(family="chain_sums").levels()
    with pytest.raises(ConfigError, match=r"no option 'min_term'; did you mean 'min_terms'"):
        next(ReasoningGym(family="chain_sum", options={"min_term": 3}).tasks("train"))
    with pytest.raises(DataError, match="chain_sum makes no task that can be used: no entry: AssertionError"):
        next(ReasoningGym(family="chain_sum", options={"min_terms": -1}).tasks("train"))
    with pytest.raises(DataError, match="composite makes no task that can be used"):
        next(ReasoningGym(family="composite").tasks("train"))


def test_splits_depend_on_the_question_alone() -> None:
    home: dict[str, Split] = {}
    for split in SPLITS:
        for seed in (0, 1):
            for task in first("chain_sum", 40, split, seed, complexity=1):
                assert home.setdefault(task.prompt[0].content, split) == split
    asked = {first("chain_sum", 1, complexity=1)[0].prompt[0].content.split("\n")[0]}
    other = ReasoningGym(family="chain_sum", instruction="Think.")
    assert next(other.tasks("train", complexity=1)).prompt[0].content.split("\n")[0] in asked


def test_examples_stand_before_the_question_and_are_asked_about_nowhere() -> None:
    domain = ReasoningGym(family="chain_sum", examples=2)
    shown: set[str] = set()
    asked: set[str] = set()
    for split in SPLITS:
        for task in itertools.islice(domain.tasks(split, complexity=1), 30):
            first_question, answer, second_question, _, question = task.prompt
            assert [message.role for message in task.prompt] == ["user", "assistant"] * 2 + ["user"]
            expression = first_question.content.split(":")[1].split("=")[0]
            assert eval(expression) == int(answer.content)
            shown |= {first_question.content, second_question.content}
            asked.add(question.content)
    assert len(shown) == 2
    assert not shown & asked
    with pytest.raises(DataError, match="boxnet has no 1 tasks with an answer to show"):
        next(ReasoningGym(family="boxnet", examples=1).tasks("train"))


def test_examples_are_questions_of_the_train_split() -> None:
    # Eight examples of a fifth of them each: with examples of all splits, some of these would be held out.
    held_out = {task.prompt[0].content for split in ("validation", "test") for task in small_sums(0).tasks(split)}
    train = {task.prompt[0].content for task in small_sums(0).tasks("train")}
    (task, *_) = small_sums(8).tasks("train")
    shown = {message.content for message in task.prompt[:-1:2]}
    assert len(shown) == 8
    assert not shown & held_out
    assert shown <= train


def small_sums(examples: int) -> ReasoningGym:
    """Sums of two digits: few enough to see all."""
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    return ReasoningGym(family="chain_sum", options=options, examples=examples, give_up_after=300)


def test_the_next_batch_is_made_while_this_one_is_handed_out() -> None:
    entries = vars(ReasoningGym)["_entries"](ReasoningGym(family="chain_sum"), None, 0)
    places = [place for place, _ in itertools.islice(entries, 4)]  # the first batch
    inspect.getgeneratorlocals(entries)["ahead"].result(120)
    (worker,) = vars(worker_pool(GENERATION_SECONDS, 1))["_workers"]
    process = vars(worker)["_process"]
    process.send_signal(signal.SIGSTOP)
    try:
        places += [place for place, _ in itertools.islice(entries, 8)]
        assert process.poll() is None, "one that is waited for beyond its limit is ended"
    finally:
        process.send_signal(signal.SIGCONT)
    # A worker that was stopped for a moment has not passed its limit.
    places += [place for place, _ in itertools.islice(entries, 600)]
    assert [place["index"] for place in places] == [*range(500), *range(112)]
    assert len({place["seed"] for place in places}) == 2


def test_a_small_family_ends_instead_of_repeating() -> None:
    domain = ReasoningGym(family="coin_flip", options={"min_trials": 3, "max_trials": 3}, give_up_after=300)
    questions = [task.prompt[0].content for split in SPLITS for task in domain.tasks(split)]
    assert 3 <= len(questions) == len(set(questions)) < 200


def test_entries_are_the_same_in_every_process() -> None:
    # word order in sets depends on the hash seed, and this family goes through one.
    ours = [task.task_id for task in first("isomorphic_strings", 5)]
    program = (
        "import itertools; from assay.environments.reasoning_gym import ReasoningGym\n"
        "tasks = itertools.islice(ReasoningGym(family='isomorphic_strings').tasks('train'), 5)\n"
        "print(*[task.task_id for task in tasks])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ours


def test_tasks_are_small_plain_data() -> None:
    (task,) = first("count_primes", 1)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert len(json.dumps(dict(task.metadata))) < 300


FAST = ["chain_sum", "spell_backward", "prime_factorization", "game_of_life_halting", "propositional_logic", "boxnet"]


@pytest.mark.parametrize("family", FAST)
def test_families(family: str) -> None:
    _check(family)


def test_near_misses_that_only_the_library_pays_are_reported() -> None:
    report = check_family("coin_flip", num_tasks=2)
    assert report.wrong == ()
    assert {"a prefix", "the answer and more", "another last digit"} <= set(report.paid)
    assert not report.not_exact
    assert check_family("chain_sum", num_tasks=1).paid.keys() == {"commas between the digits"}
    logic = check_family("propositional_logic", num_tasks=2)
    assert "copy of the prompt" in logic.not_exact
    assert "a line of the prompt" in logic.paid
    assert "| never |" in markdown_table([logic])
    assert "| checked |" in markdown_table([report])


def test_a_near_miss_that_is_solved_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def pays_prefixes(self: ReasoningGymScorer, task: Task, responses: list[str]) -> list[list[bool]]:
        return [[True, task.answer.startswith(response)] for response in responses]

    monkeypatch.setattr(ReasoningGymScorer, "compare", pays_prefixes)
    report = check_family("spell_backward", num_tasks=1)
    assert report.wrong
    assert all("a prefix" in wrong and "solves" in wrong for wrong in report.wrong)


@pytest.mark.slow
def test_every_family() -> None:
    for family in families():
        _check(family)


def _check(family: str) -> None:
    report = check_family(family, num_tasks=1)
    assert report.wrong == ()
    assert report.num_tasks or family in ("composite",)
    assert report.num_misses >= 100 * bool(report.num_tasks)
    assert f"`{family}`" in markdown_table([report])
