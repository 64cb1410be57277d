"""VLLMEngine: samples with vLLM, in a worker process that has a Python environment of its own. See
docs/concepts/engines.md."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assay.adapters import AdapterServer, Connection
from assay.engines.engine import EngineCapabilities, Sampling
from assay.engines.stored import StoredWeights
from assay.errors import AdapterError, ContextLengthError, ContractError, DataError, EngineError, ModelError
from assay.types import Completion, FinishReason

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ResultT = TypeVar("ResultT")

SLICE_SECONDS = 5.0
"""Waits are counted in slices: while this process itself computes, it hears nothing, and that is nobody's fault."""
_REASONS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "abort"}


@dataclass(frozen=True)
class VLLMOptions:
    """All that a worker needs to open its engine."""

    version: str
    """The version of vLLM."""
    device: str
    """"cpu" or "cuda"."""
    options: Mapping[str, Any]
    """Arguments of vLLM's own engine; "model" is a folder, in that of the server."""
    vocab_size: int
    max_context: int
    stop_token_ids: tuple[int, ...]
    reads_text: bool
    """True where the folder has a tokenizer, so that strings can end a completion."""
    environment: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[int, str] = field(default_factory=dict)
    """Some tokens of the learner's vocabulary, by id."""
    start_seconds: float = 600.0
    request_seconds: float = 600.0
    publish_seconds: float = 300.0


@dataclass
class _Request:
    begun: asyncio.Event
    """Set once the worker knows the request, or it has failed."""
    name: str
    """The worker's name for it."""


class VLLMEngine:
    """Implements `Engine` by a worker that runs vLLM. Whatever happens to the worker is an EngineError, in a bounded
    time; who opens another in its place is `EnginePool`.

    The worker starts with weights of noise: nothing is sampled before weights are loaded.

    Args:
        server: starts the worker's process, and is closed with the engine.
        dtype: of the weights, as they are sent.
    """

    capabilities = EngineCapabilities()

    def __init__(self, server: AdapterServer, options: VLLMOptions, dtype: torch.dtype) -> None:
        self.options = options
        self.pid = 0
        """The worker's process; 0 until it is there."""
        self._server, self._dtype = server, dtype
        self._version = -1
        self._requests: dict[str, _Request] = {}
        self._names = itertools.count()
        self._loads = self._forgets = 0
        self._starting = asyncio.Lock()
        self._loading = asyncio.Lock()
        self._closed = False

    @property
    def version(self) -> int:
        return self._version

    async def started(self) -> None:
        """Returns when the worker has opened its engine.

        Raises:
            ModelError: vLLM cannot open the model, or reads another vocabulary.
            EngineError: it is not there within the time it has.
        """
        async with self._starting:
            if self.pid:
                return
            options = self.options
            facts = await self._ask(
                "open",
                options.start_seconds,
                version=options.version,
                device=options.device,
                options=dict(options.options),
                environment=dict(options.environment),
                tokens=list(options.tokens),
            )
            self._check_vocabulary(facts)
            self.pid = self._server.pid or 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`."""
        options = self.options
        if not prompt_ids:
            raise DataError("the prompt is empty; sampling needs at least one token to start from")
        room = options.max_context - len(prompt_ids)
        if room < 1:
            raise ContextLengthError(
                f"the prompt has {len(prompt_ids)} tokens and the context {options.max_context}, which leaves no room "
                "to answer; shorten the prompt"
            )
        if sampling.stop and not options.reads_text:
            raise ModelError(
                f"sampling.stop={list(sampling.stop)} needs text, and the model's folder has no tokenizer.json that "
                "vLLM reads: leave it out"
            )
        outside = next((token for token in prompt_ids if not 0 <= token < options.vocab_size), None)
        if outside is not None:
            raise DataError(f"token id {outside} is outside the vocabulary of {options.vocab_size} tokens")
        if self._version < 0 or self._closed:
            raise EngineError("vLLM is closed" if self._closed else "vLLM has no weights yet: load some first")
        if request_id in self._requests:
            raise ContractError(f"a request with id {request_id!r} is under way; ids of requests must differ")
        most = min(sampling.max_new_tokens, room)
        request = self._requests[request_id] = _Request(asyncio.Event(), f"{next(self._names)}")
        try:
            async with await self._connected() as connection:
                try:
                    await self._call(
                        connection,
                        "begin",
                        options.request_seconds,
                        request_id=request.name,
                        prompt_ids=list(prompt_ids),
                        salt=f"{self._loads}.{self._forgets}",
                        sampling=self._sampling(sampling, most, seed),
                    )
                finally:
                    request.begun.set()
                return self._completion(await self._call(connection, "finish", options.request_seconds), most)
        finally:
            request.begun.set()
            del self._requests[request_id]

    async def abort(self, request_id: str) -> None:
        request = self._requests.get(request_id)
        if request is not None:
            await request.begun.wait()
            await self._ask("abort", self.options.request_seconds, request_id=request.name)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Takes new weights; requests under way go on with them.

        Raises:
            EngineError: the worker failed, or did not load them within the time it has.
        """
        await self.started()
        stored = weights if isinstance(weights, StoredWeights) else StoredWeights(weights, self._dtype)
        async with self._loading:
            await self._ask("load", self.options.publish_seconds, path=stored.path, version=version)
            # What was computed under the weights before is found by nobody any more.
            self._loads += 1
            self._version = version

    def forget(self) -> None:
        """Makes what comes next share nothing with what was computed before."""
        self._forgets += 1

    async def close(self) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends the worker, and all processes that it began."""
        self._closed = True
        self._server.close()

    # ---- the worker ----

    async def _ask(self, call: str, seconds: float, **arguments: Any) -> Any:
        async with await self._connected() as connection:
            return await self._call(connection, call, seconds, **arguments)

    async def _connected(self) -> Connection:
        if self._closed:
            raise EngineError("vLLM is closed")
        try:
            connection = await _within(self._server.connect(), self.options.start_seconds)
        except TimeoutError:
            raise EngineError(f"vLLM's worker took no request within {self.options.start_seconds:g} s") from None
        except AdapterError as error:
            raise EngineError(f"vLLM's worker takes no request: {error}") from None
        if self.pid and connection.pid != self.pid:
            await connection.close()
            raise EngineError("vLLM's worker has ended, and its weights with it")
        return connection

    async def _call(self, connection: Connection, call: str, seconds: float, **arguments: Any) -> Any:
        try:
            return await _within(connection.ask(call, math.inf, **arguments), seconds)
        except TimeoutError:
            raise EngineError(f"vLLM did not answer within {seconds:g} s in {call!r}") from None
        except AdapterError as error:
            raise EngineError(f"vLLM failed in {call!r}: {error}") from None
        except DataError as error:
            raise ModelError(str(error)) from None

    def _check_vocabulary(self, facts: Any) -> None:
        options, size = self.options, facts["vocab_size"]
        if size != options.vocab_size:
            raise ModelError(
                f"vLLM reads a vocabulary of {size} tokens where the learner's has {options.vocab_size}: both must be "
                "the same model; leave the engine out"
            )
        for (number, token), other in zip(options.tokens.items(), facts["tokens"], strict=False):
            if token != other:
                raise ModelError(
                    f"token {number} is {token!r} in the learner's vocabulary and {other!r} in vLLM's: both must be "
                    "the same model; leave the engine out"
                )
        if facts["max_context"] < options.max_context:
            raise ModelError(
                f"vLLM has a context of {facts['max_context']} tokens, and {options.max_context} were asked for: set "
                f"engine.max_context={facts['max_context']}"
            )

    def _sampling(self, sampling: Sampling, most: int, seed: int) -> dict[str, Any]:
        """The arguments of vLLM's SamplingParams."""
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": most,
            "seed": seed,
            "logprobs": 0,
            "ignore_eos": True,
            "stop_token_ids": list(self.options.stop_token_ids),
            "stop": list(sampling.stop),
            "detokenize": bool(sampling.stop),
            "include_stop_str_in_output": True,
        }

    def _completion(self, answer: Any, most: int) -> Completion:
        """Read what the worker answered, which is taken for nothing that it says it is."""
        try:
            tokens = tuple(answer["token_ids"])
            logprobs = tuple(min(float(logprob), 0.0) for logprob in answer["logprobs"])
            spans = tuple((int(start), int(version)) for start, version in answer["spans"])
            reason = _REASONS[answer["reason"]]
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"vLLM answered what is no completion: {error!r}") from None
        size = self.options.vocab_size
        if (
            len(tokens) != len(logprobs)
            or len(tokens) > most
            or not (tokens or reason == "abort")
            or not all(isinstance(token, int) and 0 <= token < size for token in tokens)
            or not all(math.isfinite(logprob) for logprob in logprobs)
        ):
            raise EngineError(
                f"vLLM answered {len(tokens)} tokens of at most {most} with {len(logprobs)} log-probabilities: "
                f"tokens must be below {size}, log-probabilities finite and as many"
            )
        spans = tuple(span for span in spans if span[0] < max(len(tokens), 1))
        return Completion(tokens, logprobs, reason, spans or ((0, self._version),))


async def _within(awaitable: Awaitable[ResultT], seconds: float) -> ResultT:
    """What an awaitable gives within some time; time in which this process heard nothing counts as one slice.

    Raises:
        TimeoutError: it took longer.
    """
    task, left = asyncio.ensure_future(cast(Any, awaitable)), seconds
    try:
        while left > 0:
            done, _ = await asyncio.wait((task,), timeout=min(left, SLICE_SECONDS))
            if done:
                return task.result()
            left -= SLICE_SECONDS
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
