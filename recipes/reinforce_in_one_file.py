"""Reinforcement learning of a language model from a reward that can be checked: the whole algorithm in one file.

    python recipes/reinforce_in_one_file.py MODEL_FOLDER

It needs torch, transformers and the standard library, and learns two-digit sums on a CPU. Read from top to bottom:
tasks, the seed rule, sampling, the loss, the loop. The package does the same with more machinery (continuous batching,
packing, checkpoints, a curriculum); tests hold it to this file: from the same seed both sample the same tokens and
compute the same losses.

What one step does:

1. draw `groups` tasks and sample `group_size` answers to each, from the model as it is now;
2. reward each answer: 1 if it is the right number and nothing else, 0 otherwise;
3. credit: how much better an answer did than the other answers to the same task (leave-one-out baseline;
   Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740);
4. raise the log-probability of each answer's tokens in proportion to its credit (REINFORCE, Williams 1992), averaged
   over all sampled tokens of the step, with AdamW and a clipped gradient.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

# Tasks ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A prompt in chat form and the one right answer."""

    prompt: str
    answer: str


def is_held_out(a: int, b: int) -> bool:
    """One sum in ten is never trained on. The order of the terms does not matter, so a mirrored sum cannot leak."""
    digest = hashlib.sha256(f"{min(a, b)}+{max(a, b)}".encode()).digest()
    return digest[0] % 10 == 0


def two_digit_sums(seed: int, held_out: bool = False) -> Iterator[Question]:
    rng = random.Random(seed)
    while True:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        if is_held_out(a, b) == held_out:
            yield Question(f"What is {a} + {b}? Answer with just the number.", str(a + b))


def reward(response: str, answer: str) -> float:
    return 1.0 if response.strip() == answer else 0.0


# The seed rule: each sampled token has its own random number, which depends on nothing but what the token is ---------


def derive_seed(*parts: int | str) -> int:
    """64 bits from what the parts name: the first eight bytes, little-endian, of a SHA-256."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "little")


def uniform(seed: int, position: int) -> float:
    """In [0, 1), for the token at this position of the request with this seed (splitmix64)."""
    mask = (1 << 64) - 1
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


# Sampling ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def sample_group(
    model: torch.nn.Module, prompt_ids: list[int], seeds: list[int], max_new_tokens: int, stop_id: int, greedy: bool
) -> list[list[int]]:
    """One completion for each seed; all share the prompt, so nothing needs padding. The end token is part of it."""
    completions: list[list[int]] = [[] for _ in seeds]
    running = [True] * len(seeds)
    inputs = torch.tensor([prompt_ids] * len(seeds))
    cache = None
    for position in range(max_new_tokens):
        output = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits = output.logits[:, -1].double()
        if greedy:
            tokens = logits.argmax(-1)
        else:
            # The first token, in vocabulary order, whose cumulative probability exceeds the token's random number.
            threshold = torch.tensor([[uniform(seed, position)] for seed in seeds], dtype=torch.float64)
            cumulative = logits.softmax(-1).cumsum(-1)
            tokens = torch.searchsorted(cumulative, threshold, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)
        for i, token in enumerate(tokens.tolist()):
            if running[i]:
                completions[i].append(token)
                running[i] = token != stop_id
        if not any(running):
            break
        inputs = tokens[:, None]
    return completions


# Credit and loss -----------------------------------------------------------------------------------------------------


def leave_one_out(rewards: list[float]) -> list[float]:
    """Each reward minus the mean of the others."""
    total, count = sum(rewards), len(rewards)
    return [r - (total - r) / (count - 1) for r in rewards]


def completion_logprobs(model: torch.nn.Module, prompt_ids: list[int], completion: list[int]) -> torch.Tensor:
    """[L] log-probability of each sampled token, differentiable."""
    token_ids = torch.tensor([prompt_ids + completion])
    logits = model(input_ids=token_ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, token_ids[0, len(prompt_ids) :, None]).squeeze(1)


# The loop ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    steps: int = 40
    groups: int = 8
    group_size: int = 8
    max_new_tokens: int = 24
    learning_rate: float = 1e-5
    epsilon: float = 1e-8
    """AdamW's: what gradients are compared with, so to speak; those far below it move nothing."""
    max_grad_norm: float = 1.0
    seed: int = 0
    held_out: int = 64
    """Held-out sums asked before and after; 0 for none."""


@dataclass
class History:
    losses: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)


def train(
    model_folder: str | Path, tasks: Iterator[Question], settings: Settings, say: Callable[[str], None] = print
) -> History:
    """Trains the model and returns the loss and the mean reward of every step."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()  # eval: no dropout
    # Where the padding token is also the end token, it has meaning, and its embedding learns like any other.
    model.get_input_embeddings().padding_idx = None
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, eps=settings.epsilon, weight_decay=0.0)
    # A step without any credit has a gradient of zero, by which AdamW's moments go on; not none, which it would skip.
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    history = History()

    def prompt_of(question: Question) -> list[int]:
        chat = [{"role": "user", "content": question.prompt}]
        return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]

    def respond(question: Question, seeds: list[int], greedy: bool = False) -> tuple[list[int], list[list[int]]]:
        prompt_ids = prompt_of(question)
        return prompt_ids, sample_group(
            model, prompt_ids, seeds, settings.max_new_tokens, tokenizer.eos_token_id, greedy
        )

    def text_of(completion: list[int]) -> str:
        """Without the end token; any other special token that was sampled is part of the text."""
        return tokenizer.decode([token for token in completion if token != tokenizer.eos_token_id])

    def held_out_accuracy() -> float:
        questions = two_digit_sums(seed=1, held_out=True)
        right = 0.0
        for _ in range(settings.held_out):
            question = next(questions)
            _, (completion,) = respond(question, [0], greedy=True)
            right += reward(text_of(completion), question.answer)
        return right / settings.held_out

    if settings.held_out:
        say(f"held-out accuracy before: {held_out_accuracy():.2f}")
    group_index = 0
    for step in range(settings.steps):
        started = time.perf_counter()
        sampled: list[tuple[list[int], list[int], float]] = []  # prompt, completion, advantage
        rewards_of_step: list[float] = []
        for _ in range(settings.groups):
            question = next(tasks)
            seeds = [
                derive_seed(settings.seed, "request", group_index, member, 0) for member in range(settings.group_size)
            ]
            prompt_ids, completions = respond(question, seeds)
            rewards = [reward(text_of(completion), question.answer) for completion in completions]
            rewards_of_step += rewards
            sampled += [
                (prompt_ids, completion, advantage)
                for completion, advantage in zip(completions, leave_one_out(rewards), strict=True)
            ]
            group_index += 1

        num_tokens = sum(len(completion) for _, completion, _ in sampled)
        optimizer.zero_grad(set_to_none=False)
        loss_of_step = 0.0
        for prompt_ids, completion, advantage in sampled:
            if advantage == 0.0:
                continue  # adds nothing to the loss and nothing to the gradient
            loss = -(advantage * completion_logprobs(model, prompt_ids, completion)).sum() / num_tokens
            loss.backward()
            loss_of_step += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimizer.step()

        history.losses.append(loss_of_step)
        history.rewards.append(sum(rewards_of_step) / len(rewards_of_step))
        say(
            f"step {step + 1:3d}  reward {history.rewards[-1]:.3f}  loss {loss_of_step:+.4f}  "
            f"tokens an answer {num_tokens / len(sampled):.1f}  {time.perf_counter() - started:.1f} s"
        )
    if settings.held_out:
        say(f"held-out accuracy after: {held_out_accuracy():.2f}")
    return history


def main() -> None:
    defaults = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_folder", help="a Hugging Face folder with a chat template; `assay models` fetches one")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--groups", type=int, default=defaults.groups, help="tasks a step")
    parser.add_argument("--group-size", type=int, default=defaults.group_size, help="answers to each task, at least 2")
    parser.add_argument("--max-new-tokens", type=int, default=defaults.max_new_tokens)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--held-out", type=int, default=defaults.held_out, help="held-out sums asked before and after")
    arguments = parser.parse_args()
    if arguments.group_size < 2:
        parser.error("--group-size must be at least 2: the baseline of an answer is the mean of the others")
    options = vars(arguments)
    train(options.pop("model_folder"), two_digit_sums(arguments.seed), Settings(**options))


if __name__ == "__main__":
    main()
