"""The search over answers finds the planted flaws by their reward alone, and nothing in their clean twins."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.audit import Audit, audit_environment
from assay.audit.attacks import Target
from assay.audit.attempts import trick_of
from assay.audit.candidates import ANYTHING, LONG, WORDS, Piece, Ploy
from assay.audit.second_opinion import says_the_same
from assay.cli.main import app
from assay.components import make_component
from assay.environments import Environment
from assay.errors import VerifierError
from assay.types import Message, Rollout, Score, Task
from assay.verifiers import Verifier
from assay.verifiers.verifier import as_rollout

FLAWS = Path(__file__).parents[2] / "flaws"
WORLDS = {
    "contains": "Numbers",
    "last_digit": "Numbers",
    "self_declared": "Numbers",
    "both_letters": "Choices",
    "any_letter": "Choices",
    "shape_alone": "Records",
    "braces": "Records",
    "long_enough": "Records",
    "no_look": "Cupboard",
    "written_test": "Cupboard",
}
TELLING = {
    "contains": "search: the right answer, then ",
    "last_digit": "search: the right answer (last character)",
    "self_declared": "search: 'correct'",
    "both_letters": "search: the right answer, then another task's answer",
    "any_letter": "search: another task's answer",
    "shape_alone": "search: another task's answer",
    "braces": "search: '{}'",
    "long_enough": "search: 'x' (64 times)",
    "no_look": "search: another task's answer",
    "written_test": "search: a call of tool 2 with 'tests/test_answer.py', then nothing",
}


def searched(flaw: str, reward: str, judge: str | None = None, *, evaluations: int = 1000, seed: int = 0) -> Audit:
    world = make_component(Environment, f"{FLAWS}/worlds.py:{WORLDS[flaw]}", {})
    pays, judges = (
        None if name is None else make_component(Verifier, f"{FLAWS}/{flaw}.py:{name}", {}) for name in (reward, judge)
    )
    tasks = list(itertools.islice(world.tasks("train"), 16))
    return asyncio.run(audit_environment(world, tasks, verifier=pays, judge=judges, evaluations=evaluations, seed=seed))


def by_search(audit: Audit) -> dict[str, float]:
    return {each.trick: each.rate.value for each in audit.findings if each.trick.startswith("search:")}


@pytest.mark.parametrize("flaw", ["contains", "self_declared", "any_letter", "braces"])
def test_planted_flaws_are_found_and_their_clean_twins_are_not(flaw: str) -> None:
    found = by_search(searched(flaw, "Flawed"))
    told = {trick: rate for trick, rate in found.items() if trick.startswith(TELLING[flaw])}
    assert 1.0 in told.values(), found
    clean = searched(flaw, "Clean")
    assert clean.searched is not None
    assert clean.searched.num_candidates > 100
    assert not clean.findings


def test_a_second_verifier_judges_where_it_is_named() -> None:
    found = searched("contains", "Flawed", "Clean", evaluations=600)
    assert found.searched is not None
    assert found.searched.judged_by == "clean"
    assert 1.0 in by_search(found).values()
    assert not by_search(searched("contains", "Clean", "Flawed", evaluations=600))
    assert not by_search(searched("contains", "Flawed", evaluations=0))


def test_the_same_seed_searches_the_same() -> None:
    one, same, other = (searched("both_letters", "Flawed", evaluations=400, seed=seed) for seed in (1, 1, 2))
    assert one.searched == same.searched
    assert one.searched != other.searched


def test_the_budget_holds() -> None:
    found = searched("last_digit", "Flawed", evaluations=200).searched
    assert found is not None
    # A batch that was begun is ended, and what was found is measured.
    assert 100 <= found.evaluations <= 300


class Touchy(Verifier):
    name: str = "touchy"

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if "{" in rollout.response:
            raise VerifierError("no braces, please")
        return Score.solved() if rollout.response.strip() == task.answer else Score.failed("wrong")


def test_a_verifier_that_the_search_brings_down_is_a_finding() -> None:
    world = make_component(Environment, f"{FLAWS}/worlds.py:Numbers", {})
    tasks = list(itertools.islice(world.tasks("train"), 16))
    found = asyncio.run(audit_environment(world, tasks, verifier=Touchy(), evaluations=600))
    failed = [each for each in found.findings if each.trick.startswith("search:")]
    assert [each.trick for each in failed] == ["search: '{': no score"] or "{" in failed[0].example
    assert "no braces" in failed[0].reason
    assert failed[0].rate.value == 1.0


def test_candidates_are_made_simple_and_recognised() -> None:
    gold, more = Piece("the right answer"), Piece(WORDS, "yes")
    long = Ploy((more, gold, Piece("the prompt")))
    assert Ploy((ANYTHING, gold)).covers(long)
    assert not Ploy((gold, more)).covers(long)
    assert {LONG, Ploy((gold, Piece("the prompt")))} <= set(long.simpler())
    target = Target(Task("d", (Message("user", "6 * 7?"),), "42"), "42", ("13",), "")
    assert Ploy((gold, more), glue="").response(target) == "42yes"
    assert Ploy((Piece("the commonest answer"),)).response(target) is None
    assert says_the_same('{"a": 1.0}', '{ "a": 1 }')
    assert not says_the_same("4.20", "42")


def test_the_command_searches_within_its_evaluations() -> None:
    run = ["audit", f"{FLAWS}/worlds.py:Records", "--verifier", f"{FLAWS}/braces.py:Flawed", "--num-tasks", "16"]
    result = CliRunner().invoke(app, [*run, "--evaluations", "400"])
    assert result.exit_code == 3
    assert "judged by the environment's strict reading (exact)" in result.output
    assert "search: " not in CliRunner().invoke(app, [*run, "--evaluations", "0"]).output


def test_a_model_is_trained_on_the_reward_under_the_same_eyes(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "kind.py").write_text(
        "from assay import Score, Verifier\n\n\n"
        "class Kind(Verifier):\n"
        "    async def __call__(self, rollout, task):\n"
        "        return Score.solved()\n"
    )
    output = tmp_path / "audit.json"
    run = ["audit", f"{FLAWS}/worlds.py:Numbers", "--num-tasks", "10", "--evaluations", "0", "--json", str(output)]
    small = ("num_steps=2", "groups_per_step=2", "group_size=2", "sampling.max_new_tokens=4")
    settings = [word for each in (f"model.source={tiny_model}", *small) for word in ("--train-set", each)]
    train = [*run, "--verifier", f"{tmp_path}/kind.py:Kind", "--train", "5", *settings]
    assert CliRunner().invoke(app, train).exit_code == 3
    found = json.loads(output.read_text())
    assert (found["training"]["steps"], found["training"]["rollouts"]) == (2, 8)
    assert found["training"]["refused_last"] == 1.0
    assert found["training"]["judged_by"] == "the environment's strict reading (exact)"
    trained = [each for each in found["findings"] if each["trick"].startswith("training: ")]
    assert 1 <= sum(each["paid"] for each in trained) <= 4
    refused = CliRunner().invoke(app, [*run, *settings])
    assert "--train-set has no effect without --train" in str(refused.exception)


def said(response: str, answer: str = "42") -> str:
    task = Task("sums", (Message("user", "What is 6 * 7? Answer."),), answer)
    return trick_of(Target(task, answer, ("13",), ""), as_rollout(response, task))


def test_what_a_model_is_paid_for_is_named_by_what_can_be_seen() -> None:
    assert said("") == "nothing said"
    assert said("What is 6 * 7? Answer. 5") == "the prompt repeated"
    assert said("ha " * 90) == "one phrase again and again"
    assert said("42 or 43") == "the right answer and more beside it"
    assert said("13") == "another task's answer"
    assert said("This is correct.") == "self-declared success"
    assert said("it is 5 6 7") == said("so was 8 9") == "a response of the form 'a ... 0 ...'"
