"""What is trained on is what was sampled, token for token, and nothing else: environment to sample, whole path.

Every request that reaches the engine is recorded, and the masks are checked against those records alone.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from assay.batching import to_samples
from assay.engines.engine import Sampling
from assay.engines.local import LocalEngine
from assay.environments.episode import EpisodeStep, SingleTurn
from assay.models import open_model
from assay.render import ChatRenderer
from assay.rollout import Collector
from assay.types import Completion, Group, Message, Rollout, Score, Task

REPLY = "nö <|im_end|> again"
GROUP_SIZE = 16

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REWRITES = "<|im_start|>system\n{{ messages | length }} messages<|im_end|>\n" + CHATML


class ThreeTurns(SingleTurn):
    """Says REPLY, which spells a control token, to the first two answers."""

    num_steps = 0

    async def step(self, message: Message) -> EpisodeStep:
        self.num_steps += 1
        return EpisodeStep(done=True) if self.num_steps == 3 else EpisodeStep((Message("user", REPLY),))


class RecordingEngine(LocalEngine):
    """Keeps what was asked and answered, by rollout."""

    def record(self) -> None:
        self.records: dict[tuple[int, int], list[tuple[tuple[int, ...], Completion]]] = defaultdict(list)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        completion = await super().generate(prompt_ids, sampling, request_id=request_id, seed=seed)
        _, group_id, index, _ = request_id.split("/")
        self.records[int(group_id), int(index)].append((tuple(prompt_ids), completion))
        return completion


def play(folder: Path, template: str) -> tuple[list[Group], RecordingEngine, ChatRenderer]:
    """Two groups of three-turn episodes, sampled by a tiny model that often ends its turn."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    renderer = ChatRenderer(tokenizer)
    policy = open_model(folder).policy()
    weights = {name: tensor.clone() for name, tensor in policy.weights()}
    weights["model.embed_tokens.weight"][renderer.stop_token_ids[0]] *= 6
    engine = RecordingEngine(
        policy.config,
        weights.items(),
        stop_token_ids=renderer.stop_token_ids,
        decode=renderer.decode,
        dtype=torch.float32,
    )
    engine.record()

    async def score(rollout: Rollout, task: Task) -> Score:
        return Score.failed()

    async def go() -> list[Group]:
        collector = Collector(
            engine=engine,
            renderer=renderer,
            make_episode=ThreeTurns,
            score=score,
            next_task=lambda group_id: Task("test", (Message("user", f"{group_id}?"),), ""),
            # A stop string beside the end token: some turns end without their end token.
            sampling=Sampling(max_new_tokens=12, stop=("e",)),
            group_size=GROUP_SIZE,
            run_seed=5,
            groups_per_step=2,
            max_turns=3,
        )
        async with collector:
            return await collector.next_groups(2)

    return asyncio.run(go()), engine, renderer


@pytest.fixture(scope="module")
def extended(tiny_model: Path):
    return play(tiny_model, CHATML)


@pytest.fixture(scope="module")
def forked(tiny_model: Path):
    return play(tiny_model, REWRITES)


def test_the_episodes_are_worth_checking(extended) -> None:
    groups, _, renderer = extended
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    last_tokens = [turn.completion.token_ids[-1] for rollout in rollouts for turn in rollout.turns[:-1]]
    assert sum(len(rollout.turns) == 3 for rollout in rollouts) >= 4
    assert {token in renderer.stop_token_ids for token in last_tokens} == {True, False}


def test_exactly_the_sampled_tokens_are_trained_on(extended) -> None:
    groups, engine, _ = extended
    samples = to_samples(groups)
    assert len(samples) == 2 * GROUP_SIZE, "a template that only appends gives one sample a rollout"
    for sample in samples:
        requests = engine.records[sample.group_id, sample.member]
        last_prompt, last_completion = requests[-1]
        assert tuple(sample.token_ids.tolist()) == last_prompt + last_completion.token_ids
        mask = torch.zeros(len(sample.token_ids), dtype=torch.bool)
        logprobs = torch.zeros(len(sample.token_ids))
        for prompt, completion in requests:
            span = slice(len(prompt), len(prompt) + len(completion.token_ids))
            assert tuple(sample.token_ids[span].tolist()) == completion.token_ids
            mask[span] = True
            logprobs[span] = torch.tensor(completion.logprobs)
        assert torch.equal(sample.loss_mask, mask)
        assert torch.equal(sample.sampling_logprobs, logprobs)
        assert sample.weight == 1.0


def test_the_end_token_is_trained_on_where_it_was_sampled_and_only_there(extended) -> None:
    groups, engine, renderer = extended
    (end,) = renderer.stop_token_ids
    for sample in to_samples(groups):
        sampled_ends = sum(
            completion.token_ids[-1] == end for _, completion in engine.records[sample.group_id, sample.member]
        )
        trained_ends = int(((sample.token_ids == end) & sample.loss_mask).sum())
        assert trained_ends == sampled_ends


def test_what_is_not_trained_on_is_what_template_task_and_environment_said(extended) -> None:
    groups, engine, renderer = extended
    for sample in to_samples(groups):
        requests = engine.records[sample.group_id, sample.member]
        expected = f"<|im_start|>user\n{sample.group_id}?<|im_end|>\n<|im_start|>assistant\n"
        for _, completion in requests[:-1]:
            ended = completion.token_ids[-1] in renderer.stop_token_ids
            expected += ("" if ended else "<|im_end|>") + f"\n<|im_start|>user\n{REPLY}<|im_end|>\n"
            expected += "<|im_start|>assistant\n"
        assert renderer.decode(sample.token_ids[~sample.loss_mask].tolist()) == expected


def test_a_template_that_rewrites_the_prefix_forks_and_the_forks_share_the_weight(forked) -> None:
    groups, engine, _ = forked
    samples = defaultdict(list)
    for sample in to_samples(groups):
        samples[sample.group_id, sample.member].append(sample)
    assert {len(forks) for forks in samples.values()} == {1, 2, 3}
    for rollout_id, forks in samples.items():
        requests = engine.records[rollout_id]
        assert len(forks) == len(requests)
        assert sum(fork.weight for fork in forks) == pytest.approx(1.0)
        assert len({fork.weight for fork in forks}) == 1
        for fork, (prompt, completion) in zip(forks, requests, strict=True):
            assert tuple(fork.token_ids.tolist()) == prompt + completion.token_ids
            assert fork.loss_mask.tolist() == [False] * len(prompt) + [True] * len(completion.token_ids)


def test_every_token_is_trained_on_once_however_the_template_behaves(extended, forked) -> None:
    for groups, _, _ in (extended, forked):
        num_trained = sum(int(sample.loss_mask.sum()) for sample in to_samples(groups))
        assert num_trained == sum(rollout.num_sampled_tokens for group in groups for rollout in group.rollouts)
