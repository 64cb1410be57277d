from __future__ import annotations

import copy

import pytest
import torch

from assay.algorithms import GRPO, LossInputs, LossOutput, Needs, Reinforce
from assay.batching import pack
from assay.config import validate
from assay.errors import ConfigError, TrainingStoppedError
from assay.models import open_model
from assay.observe.metrics import METRICS
from assay.policies.model import DecoderPolicy
from assay.policies.policy import PolicyOutput
from assay.training import Trainer, TrainerSettings
from assay.training.ranks import OneRank, share_out
from assay.types import CreditedSample, Sample


def samples(num_groups: int = 2) -> list[CreditedSample]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for group_id in range(num_groups):
        for index in range(2):
            tokens = torch.randint(256, (5 + group_id + index,), generator=generator)
            mask = torch.arange(len(tokens)) >= 3
            advantages = (1.0 - 2.0 * index) * mask
            made.append(CreditedSample(group_id, index, tokens, mask, -5.0 * mask, advantages=advantages))
    return made


def snapshot(policy: DecoderPolicy, trainer: Trainer) -> list[torch.Tensor]:
    tensors = [parameter.detach().clone() for parameter in policy.parameters()]
    return tensors + [tensor.clone() for tensor in trainer.state_dict().tensors.values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


class NotFinite(Reinforce):
    """A loss that is NaN."""

    def loss(self, inputs: LossInputs) -> LossOutput:
        return LossOutput(inputs.policy_logprobs.sum() * float("nan"), {})


class InfiniteGradient(Reinforce):
    """A finite loss, 0, whose gradient is not: the square root at 0."""

    def loss(self, inputs: LossInputs) -> LossOutput:
        return LossOutput((inputs.policy_logprobs - inputs.policy_logprobs.detach()).abs().sqrt().sum(), {})


class HungryPolicy(DecoderPolicy):
    """A policy that, when told to, asks for more memory than any machine has."""

    hungry = False

    def forward(self, batch, **options) -> PolicyOutput:
        output = super().forward(batch, **options)
        if self.hungry:
            torch.empty(2**60, dtype=torch.uint8)
        return output


def test_one_adamw_update_by_hand(tiny_model):
    """The first update of Adam moves each weight by the learning rate times the sign of its (clipped) gradient."""
    policy = open_model(tiny_model).policy()
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-3, max_grad_norm=0.5), temperature=2.0)
    [[batch]] = pack(samples(), 100)
    logprobs = policy.forward(batch, temperature=2.0).logprobs
    (-(logprobs * batch.advantages).sum() / batch.num_predictions).backward()
    gradients = [parameter.grad.clone() for parameter in policy.parameters() if parameter.grad is not None]
    norm = torch.cat([gradient.double().flatten() for gradient in gradients]).norm()
    policy.zero_grad()

    report = trainer.update([[batch]], Reinforce())

    assert report.metrics["train/grad_norm"] == pytest.approx(float(norm), rel=1e-5)
    scale = min(1.0, 0.5 / float(norm))
    for old, new, gradient in zip(before, policy.parameters(), gradients, strict=True):
        clipped = gradient * scale
        torch.testing.assert_close(new.detach(), old - 1e-3 * clipped / (clipped.abs() + 1e-8), rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_report_says_what_was_seen_before_the_update(tiny_model):
    policy = open_model(tiny_model).policy()
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-3), temperature=1.0)
    [[batch]] = pack(samples(), 100)
    with torch.no_grad():
        output = policy.forward(batch)
    report = trainer.update([[batch]], Reinforce())
    assert sorted(report.trainer_logprobs) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    flattened = [value for key in sorted(report.trainer_logprobs) for value in report.trainer_logprobs[key]]
    assert flattened == pytest.approx(output.logprobs.tolist())
    differences = output.logprobs - batch.sampling_logprobs
    assert report.metrics["gap/mean_nats"] == pytest.approx(float(differences.abs().mean()))
    assert report.metrics["policy/entropy_nats"] == pytest.approx(float(output.entropy.mean()))
    assert report.metrics["train/num_tokens"] == 12
    assert report.metrics["train/num_packed_tokens"] == batch.num_tokens
    assert report.metrics["train/learning_rate"] == 1e-3
    assert (report.num_updates, report.num_skipped) == (1, 0)
    assert report.metrics["time/update_seconds"] > 0
    assert report.metrics["loss/policy"] == pytest.approx(-float((batch.advantages * output.logprobs).mean()))
    assert set(report.metrics) <= set(METRICS)


def test_forks_of_a_member_are_recorded_one_after_the_other(tiny_model):
    one, two = samples()[:2]
    forks = [one.replace(weight=0.5), two.replace(member=one.member, weight=0.5)]
    trainer = Trainer(open_model(tiny_model).policy(), TrainerSettings(), temperature=1.0)
    report = trainer.update(pack(forks, 100), Reinforce())
    assert {key: len(values) for key, values in report.trainer_logprobs.items()} == {(0, 0): 5}


def test_only_what_came_before_the_first_update_counts_as_the_gap(tiny_model):
    trainer = Trainer(open_model(tiny_model).policy(), TrainerSettings(), temperature=1.0, minibatches_per_step=2)
    report = trainer.update(pack(samples(), 100, 2), Reinforce(ratio_against="sampling"))
    assert sorted(report.trainer_logprobs) == [(0, 0), (0, 1)]
    assert report.num_updates == 2


def test_annotation_gives_the_log_probabilities_at_the_start_of_the_step(tiny_model):
    policy = open_model(tiny_model).policy()
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-2), temperature=1.3, minibatches_per_step=2)
    plain: list[Sample] = list(samples())
    annotated = trainer.annotate(plain, Needs(proximal=True))
    for before, after in zip(plain, annotated, strict=True):
        [[batch]] = pack([before], 100)
        assert after.proximal_logprobs is not None
        expected = policy.forward(batch, temperature=1.3).logprobs.tolist()
        assert after.proximal_logprobs[after.loss_mask].tolist() == pytest.approx(expected, abs=1e-5)
        assert not after.proximal_logprobs[~after.loss_mask].any()
    report = trainer.update(pack(annotated, 100, 2), GRPO())
    assert len(report.trainer_logprobs) == 4
    for sample in annotated:
        assert sample.proximal_logprobs is not None
        recorded = report.trainer_logprobs[sample.group_id, sample.member]
        assert recorded == sample.proximal_logprobs[sample.loss_mask].tolist()
    # The second minibatch came after an update: its ratio has left 1.
    assert report.metrics["loss/ratio_max"] != 1.0


def test_nothing_is_annotated_that_nobody_needs(tiny_model):
    policy = open_model(tiny_model).policy()
    one_update = Trainer(policy, TrainerSettings(), temperature=1.0)
    assert one_update.annotate(samples(), Needs(proximal=True))[0].proximal_logprobs is None
    assert one_update.annotate(samples(), Needs(proximal_in_credit=True))[0].proximal_logprobs is not None
    two_epochs = Trainer(policy, TrainerSettings(epochs_per_step=2), temperature=1.0)
    assert two_epochs.annotate(samples(), Needs(proximal=False))[0].proximal_logprobs is None


def test_with_one_update_the_ratio_is_exactly_one(tiny_model):
    trainer = Trainer(open_model(tiny_model).policy(), TrainerSettings(), temperature=1.0)
    report = trainer.update(pack(samples(), 100), GRPO())
    assert report.metrics["loss/ratio_max"] == 1.0


def test_epochs_times_minibatches_updates_are_made_with_the_scheduled_learning_rate(tiny_model):
    settings = TrainerSettings(learning_rate=0.1, schedule="linear", warmup_steps=2, epochs_per_step=2)
    trainer = Trainer(open_model(tiny_model).policy(), settings, temperature=1.0, minibatches_per_step=2, num_steps=2)
    report = trainer.update(pack(samples(), 100, 2), Reinforce())
    assert report.num_updates == trainer.num_updates == 4
    assert report.metrics["train/learning_rate"] == pytest.approx(0.1 * (1 - 1 / 6))
    assert trainer.learning_rate == pytest.approx(0.1 * (1 - 2 / 6))


@pytest.mark.parametrize("algorithm", [NotFinite(), InfiniteGradient()])
def test_an_update_that_is_not_finite_changes_nothing_and_is_counted(tiny_model, algorithm):
    policy = open_model(tiny_model).policy()
    settings = TrainerSettings(learning_rate=1e-2, warmup_steps=10, max_skipped_in_a_row=3)
    trainer = Trainer(policy, settings, temperature=1.0)
    minibatches = pack(samples(), 100)
    trainer.update(minibatches, Reinforce())
    before, learning_rate = snapshot(policy, trainer), trainer.learning_rate
    for _ in range(2):
        report = trainer.update(minibatches, algorithm)
        assert (report.num_updates, report.num_skipped) == (0, 1)
        assert report.metrics["train/num_skipped"] == 1
        assert "loss/policy" not in report.metrics
    assert same(snapshot(policy, trainer), before)
    assert trainer.learning_rate == learning_rate
    trainer.update(minibatches, Reinforce())  # A good one: the count in a row starts again.
    for _ in range(2):
        trainer.update(minibatches, algorithm)
    with pytest.raises(TrainingStoppedError, match=r"3 updates in a row.*learning_rate"):
        trainer.update(minibatches, algorithm)


def test_running_out_of_memory_skips_the_update_and_frees_the_gradients(tiny_model):
    loaded = open_model(tiny_model).policy()
    policy = HungryPolicy(loaded.config, dict(loaded.weights()))
    trainer = Trainer(policy, TrainerSettings(max_skipped_in_a_row=2), temperature=1.0, minibatches_per_step=2)
    minibatches = pack(samples(), 100)
    before = snapshot(policy, trainer)
    policy.hungry = True
    assert trainer.update(minibatches, Reinforce()).num_skipped == 1
    assert same(snapshot(policy, trainer), before)
    assert all(parameter.grad is None for parameter in policy.parameters())
    with pytest.raises(TrainingStoppedError, match="tokens_per_microbatch"):
        trainer.update(minibatches, Reinforce())
    with pytest.raises(TrainingStoppedError, match="tokens_per_microbatch"):
        trainer.annotate(samples(), Needs(proximal=True))
    policy.hungry = False
    assert trainer.update(minibatches, Reinforce()).num_updates == 1


def test_other_errors_are_not_swallowed(tiny_model):
    class Broken(Reinforce):
        def loss(self, inputs: LossInputs) -> LossOutput:
            raise RuntimeError("shapes differ")

    trainer = Trainer(open_model(tiny_model).policy(), TrainerSettings(), temperature=1.0)
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.update(pack(samples(), 100), Broken())


def test_a_trainer_goes_on_from_its_state_bit_for_bit(tiny_model):
    settings = TrainerSettings(learning_rate=1e-2, schedule="cosine")
    minibatches = pack(samples(), 100)

    def make() -> tuple[DecoderPolicy, Trainer]:
        policy = open_model(tiny_model).policy()
        return policy, Trainer(policy, settings, temperature=1.0, num_steps=10)

    policy, trainer = make()
    for _ in range(2):
        trainer.update(minibatches, Reinforce())
    weights, state = [(name, weight.clone()) for name, weight in policy.weights()], copy.deepcopy(trainer.state_dict())
    for _ in range(2):
        trainer.update(minibatches, Reinforce())

    resumed_policy, resumed = make()
    resumed_policy.load_weights(weights)
    resumed.load_state_dict(state)
    for _ in range(2):
        resumed.update(minibatches, Reinforce())
    assert same(snapshot(resumed_policy, resumed), snapshot(policy, trainer))
    assert resumed.num_updates == 4


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(tiny_model):
    policy = open_model(tiny_model).policy()
    trainer = Trainer(policy, TrainerSettings(), temperature=1.0)
    trainer.update(pack(samples(), 100), Reinforce())
    before, state = snapshot(policy, trainer), trainer.state_dict()
    name = next(name for name in state.tensors if name.startswith("exp_avg/"))
    wrong = copy.deepcopy(state)
    wrong.tensors[name] = torch.zeros(3)
    with pytest.raises(ValueError, match="its parameter"):
        trainer.load_state_dict(wrong)
    del wrong.tensors[name]
    with pytest.raises(ValueError, match="differ in 1 tensors"):
        trainer.load_state_dict(wrong)
    assert same(snapshot(policy, trainer), before)


def test_weight_decay_shrinks_matrices_and_leaves_norms(tiny_model):
    policy = open_model(tiny_model).policy()
    before = {name: weight.clone() for name, weight in policy.weights()}
    silent = [s.replace(advantages=torch.zeros_like(s.advantages)) for s in samples()]
    settings = TrainerSettings(learning_rate=0.1, weight_decay=0.5)
    Trainer(policy, settings, temperature=1.0).update(pack(silent, 100), Reinforce())
    for name, weight in policy.weights():
        factor = 0.95 if weight.ndim == 2 else 1.0
        torch.testing.assert_close(weight, before[name] * factor, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ({"schedule": "linear"}, {}, "needs the number of steps"),
        ({"schedule": "cosine", "warmup_steps": 4}, {"num_steps": 4}, "leaves nothing of 4 updates"),
        ({}, {"temperature": 0.0}, "temperature 0.0"),
    ],
)
def test_settings_without_effect_are_errors(tiny_model, settings, options, said):
    with pytest.raises(ConfigError, match=said):
        Trainer(open_model(tiny_model).policy(), TrainerSettings(**settings), **{"temperature": 1.0, **options})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0.0),
        ("betas", [0.9, 1.0]),
        ("weight_decay", -0.1),
        ("max_grad_norm", 0.0),
        ("warmup_steps", -1),
        ("schedule", "steps"),
        ("epochs_per_step", 0),
        ("max_skipped_in_a_row", 0),
    ],
)
def test_values_out_of_range_are_named(key, value):
    with pytest.raises(ConfigError, match=key):
        validate(TrainerSettings, {key: value})


class OtherRank(OneRank):
    """A second rank that ran out of memory in one update."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at, self.num_asked = fails_at, 0

    def worst(self, cause: str) -> str:
        self.num_asked += 1
        return cause or ("out of memory" if self.num_asked == self.fails_at else "")


def test_ranks_leave_out_the_same_updates(tiny_model):
    policy = open_model(tiny_model).policy()
    other = OtherRank(fails_at=2)
    trainer = Trainer(policy, TrainerSettings(epochs_per_step=3), temperature=1.0, ranks=other)
    report = trainer.update(trainer.pack(samples(2)), Reinforce())
    assert (report.num_updates, report.num_skipped) == (2, 1)
    assert other.num_asked == 3
    assert all(parameter.grad is None for parameter in policy.parameters())


@pytest.mark.parametrize(("num_batches", "world"), [(1, 2), (5, 2), (4, 2), (3, 4), (0, 2), (7, 1)])
def test_ranks_share_micro_batches_out_in_equal_rounds(num_batches, world):
    shares = [share_out(num_batches, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    computed = [turn.batch for share in shares for turn in share if turn.batch is not None]
    assert sorted(computed) == list(range(num_batches))
    for turns in zip(*shares, strict=True):
        assert len({turn.together for turn in turns}) == 1
        assert {turn.batch for turn in turns} - {None} == set(turns[0].together)
