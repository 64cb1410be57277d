"""Logits of three pairs, by a formula: what TRL's losses and ours are both given.

Shape letters: B responses, L tokens of a sequence, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

NUM_PAIRS, NUM_TOKENS, NUM_WORDS, PROMPT = 3, 9, 5, 3
LENGTHS = (6, 2, 4, 3, 5, 1)
"""Tokens of each response: those of the chosen, then those of the rejected ones."""
IS_DESIRABLE = (True, True, True, False, False, False)
MARGINS = (0.5, 0.0, 1.25)
CHOSEN_REWARDS, REJECTED_REWARDS = (1.5, -0.25, 0.5), (0.75, 0.5, -2.0)


def token_ids() -> Tensor:
    """[B, L] int64."""
    places = torch.arange(NUM_TOKENS)
    return torch.stack([(places * (2 + row) + row) % NUM_WORDS for row in range(2 * NUM_PAIRS)])


def response_mask() -> Tensor:
    """[B, L] bool: True on the tokens of the response."""
    places = torch.arange(NUM_TOKENS)
    return torch.stack([(places >= PROMPT) & (places < PROMPT + length) for length in LENGTHS])


def logits(model: float) -> Tensor:
    """[B, L, V] float64, of the policy (0), the reference (1), or after other prompts (2 and 3)."""
    rows, places, words = torch.meshgrid(
        torch.arange(2.0 * NUM_PAIRS, dtype=torch.float64),
        torch.arange(float(NUM_TOKENS), dtype=torch.float64),
        torch.arange(float(NUM_WORDS), dtype=torch.float64),
        indexing="ij",
    )
    return 2 * torch.sin(1.7 * rows + 2.3 * places * (1 + words) + 0.6 * model) + torch.cos(words * (rows + 1) + model)


def logprobs(model: float) -> Tensor:
    """[B, L - 1] float64, log-probability of each token but the first; 0 outside of the responses."""
    found = logits(model)[:, :-1].log_softmax(-1).gather(-1, token_ids()[:, 1:, None]).squeeze(-1)
    return found * response_mask()[:, 1:]
