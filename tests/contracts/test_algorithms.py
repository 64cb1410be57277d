"""The conformance suite that `assay check algorithms` runs, over every algorithm; and that it finds what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from torch import Tensor
from typer.testing import CliRunner

from assay import losses
from assay.algorithms import RLOO, Algorithm, LossInputs
from assay.cli.main import app
from assay.training.conformance import ALGORITHMS, check_algorithm, check_gradients, check_tables
from assay.types import Group


def test_tables_and_gradients() -> None:
    checks = [*check_tables(), *check_gradients()]
    assert not [check for check in checks if not check.passed]
    subjects = {check.subject for check in checks}
    public = {name for name in losses.__all__ if name.islower() and not name.endswith("metrics")}
    assert not public - subjects - {"log_ratio", "per_sequence_mean", "per_sequence_sum"}


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_every_algorithm(algorithm: Algorithm) -> None:
    assert not [check for check in check_algorithm(algorithm) if not check.passed]


class Absolute(RLOO):
    """Compares with the first member instead of with the group."""

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return rewards_G - rewards_G[0] + 1e-3


def test_it_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {check.what for check in check_algorithm(Absolute()) if not check.passed}
    assert wrong == {"permuting a group permutes credit", "equal rewards give exact zeros"}
    monkeypatch.setattr(losses, "k3", lambda now, reference: now * 0)
    assert [check.subject for check in check_tables() if not check.passed] == ["k3"]
    monkeypatch.setattr(losses, "kl_penalty", lambda now, old, reference: now.detach() * 0 + now * 1)
    assert {check.subject for check in check_gradients() if not check.passed} == {"kl_penalty"}


class PerMicroBatch(RLOO):
    """Divides by what one micro-batch holds."""

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        loss_N, metrics_N = super().policy_loss(inputs)
        return loss_N / len(loss_N), metrics_N


def test_it_finds_a_mean_over_the_micro_batch() -> None:
    wrong = {check.what for check in check_algorithm(PerMicroBatch()) if not check.passed}
    assert wrong == {"splitting a minibatch into micro-batches changes nothing"}


class Thrifty(RLOO):
    """Adds up what it was paid, and credits the score alone."""

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[float]:
        return [value for _, _, value in group.measured]


def test_it_finds_turn_rewards_that_are_not_used() -> None:
    what = "what an environment pays for turns is used, or its use is an error"
    assert what in {check.what for check in check_algorithm(Thrifty(turn_rewards="add")) if not check.passed}


def test_the_command() -> None:
    result = CliRunner().invoke(app, ["check", "algorithms", "grpo"])
    assert result.exit_code == 0, result.output
    assert "ok     grpo: permuting a group permutes credit" in result.output
    assert result.output.strip().endswith("0 wrong")
    assert "rloo" not in result.output
    assert "unknown algorithm 'x'" in str(CliRunner().invoke(app, ["check", "algorithms", "x"]).exception)
