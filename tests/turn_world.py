"""A world of up to three turns in which stopping is one of the actions, small enough to enumerate whole.

    turn 0   stop, go or leap           the first message
    turn 1   stop or go                 after go: the hall; after leap: the tower
    turn 2   stop or go, and the end    the tower

Seven episodes. The environment pays for single turns, and a score is given at the end. Going takes two tokens, of which
the second says nothing; stopping and leaping take one. After leap and go one is in the tower a second time.

Every group that can be sampled is laid end to end in one batch, each token weighted by the probability of its group
times its weight in it: one backward pass through the algorithm's own credit and loss is the expectation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from assay.algorithms import LossInputs
from assay.algorithms.algorithm import Algorithm
from assay.batching import pack, to_samples
from assay.losses import normalising_count, token_weights
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Sample, Score, Task, Turn

STOP, GO, LEAP = range(3)
FILLER = 9
Actions = tuple[int, ...]
EPISODES: list[Actions] = [(STOP,), *((first, *rest) for first in (GO, LEAP) for rest in ((0,), (1, 0), (1, 1)))]
HISTORIES: list[Actions] = [(), (GO,), (LEAP,), (GO, GO), (LEAP, GO)]
"""What has been done before a turn: the policy has a row of logits for each."""
STATES: Mapping[Actions, str] = {(): "", (GO,): "hall", (LEAP,): "tower", (GO, GO): "tower", (LEAP, GO): "tower"}
PAID: Mapping[Actions, float] = {
    (STOP,): 0.1,
    (GO,): 0.9,
    (LEAP,): 0.3,
    (GO, STOP): 0.2,
    (GO, GO): 0.7,
    (LEAP, STOP): 1.1,
    (LEAP, GO): -0.4,
    (GO, GO, STOP): 0.6,
    (GO, GO, GO): -0.5,
    (LEAP, GO, STOP): 0.4,
    (LEAP, GO, GO): 1.3,
}
"""What the environment pays for the last of these actions."""
SCORES = dict(zip(EPISODES, (0.8, 0.0, 1.0, -0.3, 0.5, 0.0, 1.2), strict=True))
Values = Callable[[Actions], float]


def parameters(seed: int = 0) -> Tensor:
    """[5, 3] logits, a row for each of HISTORIES; leaping is for the first turn only."""
    generator = torch.Generator().manual_seed(seed)
    return (0.7 * torch.randn(5, 3, dtype=torch.float64, generator=generator)).requires_grad_()


def turn_logprobs(logits: Tensor, episode: Actions) -> Tensor:
    """[T]"""
    rows = [logits[HISTORIES.index(episode[:turn])] for turn in range(len(episode))]
    return torch.stack(
        [
            row[: 3 if turn == 0 else 2].log_softmax(-1)[action]
            for turn, (row, action) in enumerate(zip(rows, episode, strict=True))
        ]
    )


def token_logprobs(logits: Tensor, episode: Actions) -> Tensor:
    """[n] of the episode's tokens; fillers are certain."""
    turns = turn_logprobs(logits, episode)
    tokens = [[value, torch.zeros_like(value)] if a == GO else [value] for value, a in zip(turns, episode, strict=True)]
    return torch.stack([token for turn in tokens for token in turn])


def chance(logits: Tensor, episode: Actions) -> Tensor:
    return turn_logprobs(logits, episode).sum().exp()


def paid(episode: Actions) -> list[float]:
    return [PAID[episode[: turn + 1]] for turn in range(len(episode))]


def earned(episode: Actions) -> list[float]:
    """What each turn earned, the score on the last."""
    rewards = paid(episode)
    return [*rewards[:-1], rewards[-1] + SCORES[episode]]


def true_gradient(logits: Tensor, value: Callable[[Actions], float] = lambda episode: sum(earned(episode))) -> Tensor:
    """Gradient of the expectation of a function of the episode: of all that it earns."""
    expected = torch.stack([chance(logits, episode) * value(episode) for episode in EPISODES]).sum()
    return torch.autograd.grad(expected, logits)[0]


def rollout_of(episode: Actions, index: int, *, forks: bool) -> Rollout:
    turns = []
    for number, action in enumerate(episode):
        tokens = (action, FILLER) if action == GO else (action,)
        last = number == len(episode) - 1
        turns.append(
            Turn(
                (7,),
                number > 0 and not forks,
                Completion(tokens, (-1.0,) * len(tokens), "stop", ((0, 0),)),
                Message("assistant", str(action)),
                () if last else (Message("user", STATES[episode[: number + 1]]),),
                PAID[episode[: number + 1]],
            )
        )
    return Rollout("world", 0, index, tuple(turns), Ending(EndingKind.FINISHED))


def group_of(episodes: Sequence[Actions], *, forks: bool = False) -> Group:
    rollouts = tuple(rollout_of(episode, i, forks=forks) for i, episode in enumerate(episodes))
    scores = tuple(Score.solved(SCORES[episode]) for episode in episodes)
    return Group(0, Task("world", (Message("user", "?"),), "!"), rollouts, scores)


def samples_of(group: Group, episodes: Sequence[Actions], values: Values | None) -> list[Sample]:
    """With a critic's value of the state before each turn on its first token, and nonsense on a filler."""
    samples = to_samples([group])
    if values is None:
        return samples
    found = []
    for sample in samples:
        assert sample.turn_ids is not None
        numbers = torch.zeros(len(sample.token_ids))
        for place in sample.loss_mask.nonzero()[:, 0].tolist():
            filler = int(sample.token_ids[place]) == FILLER
            history = episodes[sample.member][: int(sample.turn_ids[place])]
            numbers[place] = 77.0 if filler else values(history)
        found.append(sample.replace(values=numbers))
    return found


def expected_gradient(
    algorithm: Algorithm, logits: Tensor, *, group_size: int, forks: bool = False, values: Values | None = None
) -> Tensor:
    """Exact expectation of the step that the algorithm takes uphill, over all minibatches of one group."""
    parts: dict[str, list[Tensor]] = {"now": [], "advantages": [], "weights": [], "lengths": []}
    chances = {episode: float(chance(logits, episode).detach()) for episode in EPISODES}
    now = {episode: token_logprobs(logits, episode) for episode in EPISODES}
    for episodes in itertools.product(EPISODES, repeat=group_size):
        group = group_of(episodes, forks=forks)
        credited = algorithm.credit([group], samples_of(group, episodes, values))
        [[batch]] = pack(credited, 10_000, share_prompts=False)
        count = normalising_count(
            algorithm.normaliser,
            algorithm.normaliser_constant,
            num_tokens=batch.num_predictions,
            num_sequences=len(batch.sequence_lengths),
            num_episodes=float(batch.sequence_weights.double().sum()),
            num_groups=1,
            num_turns=batch.num_turns,
        )
        weights = token_weights(
            algorithm.normaliser,
            batch.sequence_ids,
            batch.sequence_lengths,
            batch.sequence_weights.double(),
            torch.full_like(batch.sequence_lengths, batch.num_predictions),
            batch.turn_lengths,
        )
        # Forks of a rollout are packed one after the other, and so are its tokens here.
        assert batch.member_ids.tolist() == sorted(batch.member_ids.tolist())
        parts["now"] += [now[episode] for episode in episodes]
        parts["advantages"].append(batch.advantages.double())
        parts["weights"].append(weights * (math.prod(chances[episode] for episode in episodes) / count))
        parts["lengths"].append(batch.sequence_lengths)
    tokens = {name: torch.cat(tensors) for name, tensors in parts.items()}
    lengths = tokens["lengths"]
    inputs = LossInputs(
        policy_logprobs=tokens["now"],
        old_logprobs=tokens["now"].detach(),
        advantages=tokens["advantages"],
        weights=tokens["weights"],
        entropy=torch.zeros_like(tokens["weights"]),
        sequence_ids=torch.arange(len(lengths)).repeat_interleave(lengths),
        num_sequences=len(lengths),
    )
    return -torch.autograd.grad(algorithm.loss(inputs).loss_sum, logits)[0]


def moments(algorithm: Algorithm, logits: Tensor, *, group_size: int) -> tuple[Tensor, float]:
    """The expectation of one group's step, and the sum over parameters of its variance, for one that is the mean over
    rollouts of advantage times gradient of log pi: with the normaliser "constant" at 1, on fresh samples."""
    gradients = {
        episode: torch.stack(
            [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in turn_logprobs(logits, episode)]
        )
        for episode in EPISODES
    }
    chances = {episode: float(chance(logits, episode).detach()) for episode in EPISODES}
    first, second = torch.zeros_like(logits), torch.zeros_like(logits)
    for episodes in itertools.product(EPISODES, repeat=group_size):
        credited = algorithm.credit([group := group_of(episodes, forks=True)], to_samples([group]))
        advantages = torch.stack([sample.advantages[sample.loss_mask][0] for sample in credited]).double()
        step = (advantages[:, None, None] * torch.cat([gradients[episode] for episode in episodes])).sum(0) / group_size
        weight = math.prod(chances[episode] for episode in episodes)
        first, second = first + weight * step, second + weight * step.square()
    return first, float((second - first.square()).sum())
