"""The tally of an endpoint: what was asked of it, what came back, and what it cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from assay.endpoints.endpoint import Endpoint
from assay.endpoints.responder import Reply


@dataclass
class Tally:
    """Counts of one endpoint since this was made."""

    endpoint: Endpoint
    before: tuple[int, int] = (0, 0)
    """(prompt, sampled) tokens paid for by earlier, interrupted legs; part of the cost."""
    unknown_before: tuple[int, int] = (0, 0)
    """(prompt, sampled) tokens, at most, of what earlier legs may have paid for and no server counted: no part of the
    cost, but of what counts towards its limit."""
    num_sent: int = 0
    """Number of tries, those that failed included."""
    num_replies: int = 0
    num_from_file: int = 0
    """Requests answered by a reply kept before: nothing was sent."""
    num_retries: int = 0
    num_failed: int = 0
    """Requests that failed for good."""
    num_without_usage: int = 0
    """Replies, and failed tries that may have been paid for, whose tokens the server did not count: the cost is more
    than is known."""
    input_tokens: int = 0
    output_tokens: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """"stop", "length", or the server's remark, of every reply used."""
    causes: Counter[str] = field(default_factory=Counter)
    """Number of failed tries by cause."""

    def add(self, reply: Reply, *, from_file: bool) -> None:
        """Counts one reply."""
        self.outcomes[reply.remark or reply.finish_reason] += 1
        if from_file:
            self.num_from_file += 1
            return
        self.num_replies += 1
        self.num_without_usage += reply.input_tokens is None or reply.output_tokens is None
        self.input_tokens += reply.input_tokens or 0
        self.output_tokens += reply.output_tokens or 0

    @property
    def cost(self) -> float | None:
        """Cost of everything so far, earlier legs included; None where no prices were given. A lower bound where some
        replies came without usage."""
        return self.endpoint.cost(self.before[0] + self.input_tokens, self.before[1] + self.output_tokens)

    @property
    def cost_text(self) -> str:
        """The cost for a person."""
        if self.cost is None:
            return "unknown (no prices given)"
        return f"{'at least ' if self.num_without_usage or any(self.unknown_before) else ''}{self.cost:.4f}"

    def line(self) -> str:
        """Return the tally in a few words."""
        tokens = sum(self.before) + self.input_tokens + self.output_tokens
        parts = [f"{tokens:,} tokens"]
        if self.cost is not None:
            parts.append(f"cost {self.cost_text}")
        if self.num_retries:
            parts.append(f"{self.num_retries} retries")
        if self.num_failed:
            parts.append(f"{self.num_failed} failed")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the tally as JSON; an unknown cost is null."""
        return {
            "sent": self.num_sent,
            "replies": self.num_replies,
            "from_file": self.num_from_file,
            "retries": self.num_retries,
            "failed": self.num_failed,
            "without_usage": self.num_without_usage,
            "input_tokens": self.before[0] + self.input_tokens,
            "output_tokens": self.before[1] + self.output_tokens,
            "cost": self.cost,
            "outcomes": dict(self.outcomes.most_common()),
            "causes": dict(self.causes.most_common(20)),
        }
