"""Verifiers that ask a model at an endpoint: its client, its replies, what it was asked and what that cost."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from assay.config import dump
from assay.endpoints import Endpoint, Replies, Reply, Tally
from assay.endpoints.client import EndpointClient
from assay.home import assay_home
from assay.host import current_host
from assay.observe.metrics import metric
from assay.types import Message
from assay.verifiers.material import harmless
from assay.verifiers.verifier import Verifier, verifiers_in

CALLS = metric("judge/calls", "Responses judged since the run began or was resumed, kept verdicts included.")
PAID_CALLS = metric("judge/paid_calls", "Replies that judges sent for pay since then.")
INPUT_TOKENS = metric("judge/input_tokens", "Prompt tokens of those replies, as the server counted them.")
OUTPUT_TOKENS = metric("judge/output_tokens", "Sampled tokens of those replies, as the server counted them.")
COST = metric("judge/cost", "Cost of those replies, where prices were given; a lower bound where usage was missing.")
SaidT = TypeVar("SaidT")
FAILED_CALLS = metric("judge/failed_calls", "Requests to judges that failed after all their retries.")


class JudgeEndpoint(Endpoint, Verifier):
    """Base of verifiers that are a model's word: the endpoint, and what it said before."""

    replies: str = ""
    """File in which the judge's replies are kept. Empty: replies/judge.sqlite in Assay's home."""

    @functools.cached_property
    def tally(self) -> Tally:
        """Tally of what the judge was asked in this process, and what that cost."""
        return Tally(self)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide a verdict, as plain data: not how fast the judge is asked, nor what it costs."""
        own = {key: value for key, value in dump(self).items() if key not in Endpoint.model_fields}
        del own["replies"]
        return {**Endpoint.identity.__get__(self), **own}

    async def close(self) -> None:
        """Takes in the replies under way that were asked for in the running event loop; sends nothing more in it."""
        closing = current_host().release(self._client_key())
        if closing is not None:
            await closing

    @property
    def num_under_way(self) -> int:
        """Requests that were sent, or wait to be."""
        clients = current_host().held(EndpointClient)
        return sum(client.num_under_way for key, client in clients if key == self._client_key())

    def _client(self) -> EndpointClient:
        """The client of the event loop that is running; all share the replies and the tally."""
        make = functools.partial(EndpointClient, self, self._kept, tally=self.tally)
        return current_host().hold(self._client_key(), make, EndpointClient.close)

    def _client_key(self) -> tuple[Any, ...]:
        return ("judge", self.model_dump_json(), asyncio.get_running_loop())

    @functools.cached_property
    def _kept(self) -> Replies:
        return Replies(Path(self.replies).expanduser() if self.replies else assay_home() / "replies" / "judge.sqlite")


class ReadingJudge(JudgeEndpoint):
    """Base of judges that read one response at a time, and are read by the end of their whole reply alone."""

    max_characters: int = pydantic.Field(default=10_000, ge=100)
    """Most characters of the response that are shown, from its end; reasoning blocks are left out first."""
    max_new_tokens: int = pydantic.Field(default=1024, ge=1)
    """Token limit of the judge's reply."""
    temperature: float = pydantic.Field(default=0.0, ge=0, le=10)
    """Temperature that the judge samples at; 0 for its most probable reply."""

    async def _answer(
        self, prompt: tuple[Message, ...], read: Callable[[Reply], SaidT | None], form: str
    ) -> tuple[SaidT | None, Reply]:
        """What a reply says, and the reply; None where two said nothing in the stated form, the second after a
        reminder of it.

        Raises:
            ContextLengthError: the conversation does not fit in the judge's context.
            EngineError: the server gave no answer.
        """
        from assay.engines.engine import Sampling

        sampling = Sampling(temperature=self.temperature, max_new_tokens=self.max_new_tokens)
        said, reply, conversation = None, Reply(""), prompt
        for attempt in range(2):
            reply = await self._client().respond(conversation, sampling, request_id="judge", seed=attempt)
            said = read(reply)
            if said is not None:
                break
            reminder = f"You have given no verdict. Answer with {form}, and nothing else."
            answered = Message("assistant", harmless(reply.text) or "(nothing)")
            conversation = (*prompt, answered, Message("user", reminder))
        return said, reply


def judges_in(verifier: Verifier) -> Iterator[JudgeEndpoint]:
    """Every judge that a verifier asks: itself, or parts of it."""
    return (each for each in verifiers_in(verifier) if isinstance(each, JudgeEndpoint))


def judge_metrics(verifier: Verifier) -> dict[str, float]:
    """Return what the judges of a verifier were asked and cost in this process; empty where it has none."""
    tallies = [judge.tally for judge in judges_in(verifier)]
    if not tallies:
        return {}
    metrics: dict[str, float] = {
        CALLS: sum(tally.num_replies + tally.num_from_file for tally in tallies),
        PAID_CALLS: sum(tally.num_replies for tally in tallies),
        INPUT_TOKENS: sum(tally.input_tokens for tally in tallies),
        OUTPUT_TOKENS: sum(tally.output_tokens for tally in tallies),
        FAILED_CALLS: sum(tally.num_failed for tally in tallies),
    }
    costs = [tally.cost for tally in tallies if tally.cost is not None]
    return metrics | ({COST: sum(costs)} if len(costs) == len(tallies) else {})
