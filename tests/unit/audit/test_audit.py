"""Audits find planted flaws, and find nothing in their clean twins."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.audit import Audit, audit_environment, mutants_of
from assay.audit.attacks import Target, attacks_on
from assay.cli.main import app
from assay.environments import Environment, make_environment
from assay.errors import DataError, VerifierError
from assay.suite import Suite
from assay.types import Message, Rollout, Score, Split, Task
from assay.verifiers import Code, Exact, Numeric, Verifier


class Clean(Verifier):
    """Pays the answer and nothing else, as each flawed one below says it does."""

    name: str = "clean"

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        text = rollout.turns[-1].message.text
        return Score.solved() if self.pays(text, task.answer) else Score.failed("wrong")

    def pays(self, text: str, answer: str) -> bool:
        return text.strip() == answer


class Contains(Clean):
    def pays(self, text: str, answer: str) -> bool:
        return answer in text.split()


class StartsAlike(Clean):
    def pays(self, text: str, answer: str) -> bool:
        return bool(text) and answer.startswith(text)


class Lenient(Clean):
    def pays(self, text: str, answer: str) -> bool:
        return not text.strip() or text.strip() == answer


class Believes(Clean):
    def pays(self, text: str, answer: str) -> bool:
        return "correct" in text.lower() or text.strip() == answer


class FirstNumber(Clean):
    """Takes the first number, as a reader that was never shown two."""

    def pays(self, text: str, answer: str) -> bool:
        numbers = [word for word in text.split() if word.isdigit()]
        return bool(numbers) and numbers[0] == answer


class Long(Clean):
    def pays(self, text: str, answer: str) -> bool:
        return len(text) > 10_000 or text.strip() == answer


class Sums(Environment):
    name: str = "sums"
    answers: int = 1000
    """Distinct answers."""

    @property
    def rewards(self) -> dict[str, Verifier]:
        return {"strict": Clean()}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        for number in range(100, 140):
            answer = number * 7 % 900 + 100 if self.answers > 2 else int(number % 8 == 0)
            yield Task(self.name, (Message("user", f"Say the number of lot {number}"),), str(answer))


def audit(environment: Environment, verifier: Verifier | None = None, judge: Verifier | None = None) -> Audit:
    tasks = list(environment.tasks("train"))
    return asyncio.run(audit_environment(environment, tasks, verifier=verifier, judge=judge, evaluations=0))


def tricks(found: Audit) -> set[str]:
    return {each.trick for each in found.findings}


@pytest.mark.parametrize(
    ("verifier", "expected"),
    [
        (Clean(), set()),
        (Exact(), set()),
        (Numeric(), set()),
        (Contains(), {"every candidate at once", "the answer, then another"}),
        (StartsAlike(), {"the answer's first half"}),
        (Lenient(), {"nothing", "spaces alone", "form without content"}),
        (Believes(), {"self-declared success", "instructions to the judge"}),
        (FirstNumber(), {"the answer, then another"}),
        (Long(), {"very long"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_planted_flaw_is_found_and_nothing_else(verifier: Verifier, expected: set[str]) -> None:
    found = audit(Sums(), verifier)
    assert tricks(found) == expected
    for each in found.findings:
        # 40 of 40: Wilson's interval begins at 40 / (40 + 1.96^2).
        assert (each.paid, each.tried) == (40, 40)
        assert each.rate.low == pytest.approx(40 / (40 + 3.8416), abs=1e-3)


def test_one_answer_to_every_task_is_found_where_it_earns_more_than_chance() -> None:
    # One answer in eight is "1": of two answers, chance explains 1.2 / 2.
    found = audit(Sums(answers=2))
    assert found.answerless_response == "0"
    # Chosen on every second task, and measured on the others, where it is right on each: number % 8 == 0 is even.
    assert found.answerless is not None
    assert found.answerless.value == 1.0
    assert tricks(found) >= {"one answer to every task", "the commonest answer"}
    assert audit(Sums()).answerless.value == 0.0  # type: ignore[union-attr]


def test_a_second_verifier_clears_what_it_accepts_too() -> None:
    assert tricks(audit(Sums(), Lenient(), judge=Clean())) == {"nothing", "spaces alone", "form without content"}
    assert tricks(audit(Sums(), Lenient(), judge=Long())) == {"nothing", "spaces alone", "form without content"}
    assert not tricks(audit(Sums(), Believes(name="other"), judge=Believes()))
    with pytest.raises(DataError, match="is the reward itself"):
        audit(Sums(), judge=Clean())


class Raises(Clean):
    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if not rollout.turns[-1].message.text:
            raise VerifierError("it was empty")
        return await super().__call__(rollout, task)


class Exits(Clean):
    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if not rollout.turns[-1].message.text:
            sys.exit(0)
        return await super().__call__(rollout, task)


class NotANumber(Clean):
    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if not rollout.turns[-1].message.text:
            return Score.solved(float("nan"))
        return await super().__call__(rollout, task)


@pytest.mark.parametrize("verifier", [Raises(), Exits(), NotANumber()], ids=lambda each: type(each).__name__)
def test_a_verifier_that_an_attack_brings_down_is_a_finding(verifier: Verifier) -> None:
    found = audit(Sums(), verifier)
    assert tricks(found) == {"nothing: no score", "form without content: no score"}
    assert all("the verifier failed" in each.reason for each in found.findings)


class Length(Clean):
    """A number without a verdict: the longer the better."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return Score.graded(float(len(rollout.turns[-1].message.text)))


class Distance(Clean):
    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return Score.graded(float(rollout.turns[-1].message.text.strip() == task.answer))


def test_a_number_without_a_verdict_is_held_against_that_of_the_right_answer() -> None:
    found = tricks(audit(Sums(), Length()))
    assert {"very long", "self-declared success", "the answer, then another", "one answer to every task"} <= found
    assert not {"nothing", "the answer's first half"} & found
    assert not tricks(audit(Sums(), Distance()))


class Half(Clean):
    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        score = await super().__call__(rollout, task)
        return score if score.value or "correct" not in rollout.turns[-1].message.text else Score.failed("half", 0.5)


def test_what_is_earned_without_being_solved_is_told() -> None:
    found = audit(Sums(), Half())
    assert not found.findings
    means = {trial.trick.name: trial.mean for trial in found.trials}
    assert (means["instructions to the judge"], means["nothing"]) == (0.5, 0.0)


REFERENCE = """
def larger(a, b):
    if a > b:
        return a
    return b
"""
STRONG = ("assert larger(1, 2) == 2", "assert larger(3, 1) == 3", "assert larger(5, 5) == 5")
WEAK = ("assert larger(1, 2) == 2",)


class Programs(Environment):
    name: str = "larger"
    tests: tuple[str, ...] = STRONG

    @property
    def rewards(self) -> dict[str, Verifier]:
        return {"strict": Code()}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        suite = Suite(tests=self.tests, reference=REFERENCE)
        yield Task(self.name, (Message("user", "larger(a, b)?"),), "", suite=suite)


class Stalls(Clean):
    """Gives nobody else a turn: a regular expression that goes back over what is long, and catches what ends it."""

    def pays(self, text: str, answer: str) -> bool:
        try:
            if text == " \n\t\n":
                re.match("(a|aa)+$", "a" * 60 + "b")
            return super().pays(text, answer)
        except Exception:
            return False


def test_a_verifier_that_stalls_is_a_finding_of_that_response_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.audit.payer.SECONDS", 0.3)
    handler = signal.getsignal(signal.SIGALRM)
    world = Sums()
    found = asyncio.run(
        audit_environment(world, list(world.tasks("train"))[:6], verifier=Stalls(), judge=None, evaluations=0)
    )
    assert tricks(found) == {"spaces alone: no score"}
    assert "no score within 0.3 s, in which nothing else could run" in found.findings[0].reason
    assert signal.getsignal(signal.SIGALRM) is handler


def test_changed_programs_that_weak_tests_accept_are_shown() -> None:
    strong, weak = audit(Programs()), audit(Programs(tests=WEAK))
    assert not strong.findings
    # > to >= gives the same number where both are equal: no test can tell.
    assert [each.mutant.change for each in strong.survivors] == ["line 3: Gt to GtE"]
    assert {each.mutant.change for each in weak.survivors} == {
        "line 3: a branch left out",
        "line 3: Gt to GtE",
        "line 4: nothing returned",
    }
    assert strong.num_mutants == weak.num_mutants == 4


def test_mutants_are_bounded_and_differ_from_the_reference() -> None:
    program = "def f(x):\n" + "".join(f"    x = x + {number}\n" for number in range(50)) + "    return x\n"
    mutants = mutants_of(program, most=12)
    assert len(mutants) == len({mutant.program for mutant in mutants}) == 12
    assert mutants_of("def f(:") == []


def test_attacks_on_programs_name_the_function_that_is_tested() -> None:
    (task,) = Programs().tasks("train")
    target = Target(task, "", (), "")
    said = {trick.name: response for trick, response in attacks_on(target)}
    assert "def larger(*values" in said["a value that equals everything"]
    assert "the commonest answer" not in said


def test_the_command_exits_with_3_where_something_is_paid(tmp_path: Path) -> None:
    (tmp_path / "kind.py").write_text(
        "from assay import Score, Verifier\n\n\n"
        "class Kind(Verifier):\n"
        '    name: str = "kind"\n\n'
        "    async def __call__(self, rollout, task):\n"
        '        return Score.solved() if "answer" in rollout.turns[-1].message.text else Score.failed()\n'
    )
    output = tmp_path / "audit.json"
    run = ["audit", "arithmetic", "--num-tasks", "12", "--evaluations", "0", "--json", str(output)]
    result = CliRunner().invoke(app, [*run, "--verifier", f"{tmp_path}/kind.py:Kind"])
    assert result.exit_code == 3, result.output
    found = json.loads(output.read_text())
    assert "words about an answer" in {each["trick"] for each in found["findings"]}
    assert {"trick", "rate", "low", "high", "example"} <= set(found["findings"][0])
    assert CliRunner().invoke(app, run).exit_code == 0
    clean = json.loads(output.read_text())
    assert (clean["findings"], clean["answerless_share"]) == ([], 0.0)
    assert clean["judged_by"].startswith("construction")


def test_a_world_of_turns_is_attacked_in_every_turn() -> None:
    maze = make_environment("maze")
    tasks = [task for _, task in zip(range(4), maze.tasks("train"), strict=False)]
    found = asyncio.run(audit_environment(maze, tasks))
    assert (found.findings, found.answerless) == ([], None)
    assert all(trial.tried == 4 for trial in found.trials)


def test_an_environment_of_test_tasks_alone_is_audited_on_those(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from assay import Environment, Message, Task\n"
        "from assay.errors import DataError\n\n\n"
        "class Own(Environment):\n"
        "    def tasks(self, split, *, complexity=None, horizon=None, seed=0):\n"
        '        if split != "test":\n'
        '            raise DataError("all are test tasks")\n'
        '        yield Task(self.name, (Message("user", "Say 7"),), "7")\n'
    )
    result = CliRunner().invoke(app, ["audit", f"{tmp_path}/own.py:Own"])
    assert "on 1 tasks" in result.output
    # The prompt ends in the answer, and one task says nothing of guesses.
    assert result.exit_code == 0
    refused = CliRunner().invoke(app, ["audit", f"{tmp_path}/own.py:Own", "--split", "train"])
    assert "all are test tasks" in str(refused.exception)
