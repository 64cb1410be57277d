"""Publishing that is proved: an engine answers no request before it was seen to sample from the newest weights.

The most damaging fault of this kind is a publish that never arrives: training goes on, and the samples are those of old
weights. A version says what was sent, not what is computed with. So a few tokens are sampled after every load, and the
learner says what their log-probabilities should be. Where they differ, experiments on the engine find the tensor: one
whose change changes nothing is not used; one whose rounding changes nothing is rounded by the engine.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.engines.engine import Engine, Sampling
from assay.engines.wrapped import WrappedEngine
from assay.errors import ConfigError, EngineError, PublishError
from assay.later import torch
from assay.seeds import derive_seed
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor

Asked = tuple[tuple[int, ...], tuple[int, ...]]
"""The token ids of a prompt, and those of what was sampled after it."""
Learned = Callable[[Sequence[Asked]], Awaitable["Sequence[list[float] | None]"]]
"""What the learner says of tokens: the log-probability of each sampled token at the probe's temperature; None where it
cannot say, because it holds newer weights by now."""
Weights = Callable[[], Iterable[tuple[str, "Tensor"]]]
"""Gives the weights that were published, once more."""

SEARCH_SECONDS = 120.0
"""Longest search for the tensor that did not arrive."""
SAME_NATS = 1e-6
"""Log-probabilities that differ by no more are the same, where the engine repeats itself."""


class EngineState(enum.Enum):
    """States of an engine. Only a serving one gets requests; any error and any restart makes it stale."""

    STALE = "stale"
    """It holds no weights, old ones, or ones that nobody has proved."""
    LOADING = "loading"
    PROVEN = "proven"
    """It was seen to sample from the newest weights."""
    SERVING = "serving"


@dataclass(frozen=True)
class Probe:
    """The prompts that are sampled from after each load, and how far engine and learner may differ."""

    num_prompts: int = 32
    prompt_tokens: int = 24
    """Tokens of each prompt."""
    num_tokens: int = 4
    """Tokens that are sampled after each prompt."""
    temperature: float = 1.0
    vocab_size: int = 256
    """Prompts are made of token ids below it."""
    max_gap_nats: float = 1e-3
    """Mean over the sampled tokens of |engine's log-probability - learner's| that is allowed. In fp32 one code and
    another differ by 1e-5; in bf16 by 3e-2."""

    def prompts(self, name: str) -> list[tuple[int, ...]]:
        """Return prompts that follow from a name alone: "fixed" are those that every load is probed with."""
        seeds = (derive_seed(0, "probe", name, str(number)) for number in range(self.num_prompts))
        return [
            tuple(derive_seed(seed, "token", str(place)) % self.vocab_size for place in range(self.prompt_tokens))
            for seed in seeds
        ]


@dataclass(frozen=True)
class Gap:
    """The difference between an engine's log-probabilities and the learner's, in nats."""

    mean: float
    largest: float


def gap_between(completions: Sequence[Completion], learned: Sequence[Sequence[float] | None]) -> Gap:
    """Return the gap over the tokens of some completions, as far as the learner knows them.

    Raises:
        PublishError: the learner said something of other tokens, or knows less than half of the completions.
    """
    known = [(each, values) for each, values in zip(completions, learned, strict=True) if values is not None]
    if 2 * len(known) < len(completions):
        raise PublishError(
            f"the learner, which holds newer weights by now, knows {len(known)} of {len(completions)} completions of "
            "the probe: an engine that is replaced must sample nearly the same tokens again"
        )
    if any(len(each.logprobs) != len(values) for each, values in known):
        raise PublishError("the learner gave log-probabilities of other tokens than the engine sampled in its probe")
    differences = [
        abs(one - other) for completion, values in known for one, other in zip(completion.logprobs, values, strict=True)
    ]
    # A NaN must not pass: it is larger than any bound.
    differences = [difference if difference == difference else float("inf") for difference in differences]
    return Gap(sum(differences) / len(differences), max(differences))


class ProvenEngine(WrappedEngine):
    """An engine that answers requests only when its weights are proved to be the newest.

    Args:
        engine: any engine.
        probe: what it is asked after each load.
        name: what errors call it.
        seconds: the longest that a load or a probe is waited for.
    """

    def __init__(self, engine: Engine, probe: Probe, *, name: str = "the engine", seconds: float = 600.0) -> None:
        if not seconds > 0:
            raise ConfigError(f"seconds={seconds} leaves no time for a publish")
        super().__init__(engine)
        self.name = name
        self.state = EngineState.STALE
        self.gap: Gap | None = None
        """The gap of the last proof."""
        self._probe = probe
        self._seconds = seconds
        self._asked = 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`.

        Raises:
            EngineError: the weights are not proved.
        """
        if self.state is not EngineState.SERVING:
            raise EngineError(
                f"{self.name} is {self.state.value}: it answers once its weights are published and proved"
            )
        return await super().generate(prompt_ids, sampling, request_id=request_id, seed=seed)

    async def close(self) -> None:
        self.state = EngineState.STALE
        await super().close()

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Loads new weights, which are then to be proved. Requests under way go on.

        Raises:
            PublishError: the engine does not say that it has this version, or takes too long.
        """
        self.state = EngineState.LOADING
        try:
            await asyncio.wait_for(self.engine.load_weights(weights, version), self._seconds)
            if self.engine.version != version:
                raise PublishError(
                    f"{self.name} was sent version {version} and says that it has {self.engine.version}: it samples "
                    "from older weights"
                )
        except TimeoutError:
            self.state = EngineState.STALE
            raise PublishError(f"{self.name} did not load version {version} within {self._seconds:g} s") from None
        except BaseException:
            self.state = EngineState.STALE
            raise

    async def ask(self, prompts: Sequence[tuple[int, ...]] | None = None) -> list[Completion]:
        """Samples from the probe's prompts, or from others, whatever the state.

        Raises:
            PublishError: the engine takes too long.
        """
        probe = self._probe
        sampling = Sampling(temperature=probe.temperature, max_new_tokens=probe.num_tokens)
        self._asked += 1
        requests = [
            self.engine.generate(prompt, sampling, request_id=f"probe-{self._asked}-{place}", seed=place)
            for place, prompt in enumerate(probe.prompts("fixed") if prompts is None else prompts)
        ]
        try:
            return list(await asyncio.wait_for(asyncio.gather(*requests), self._seconds))
        except TimeoutError:
            self.state = EngineState.STALE
            raise PublishError(f"{self.name} did not answer its probe within {self._seconds:g} s") from None

    async def prove(self, learned: Learned, weights: Weights) -> Gap:
        """Compares the engine with the learner, and serves from then on.

        Args:
            learned: the learner, which holds the weights that were loaded.
            weights: those weights in the dtype that is served, to find out what is wrong with.

        Raises:
            PublishError: they differ by more than the probe allows; names the tensor where one is to blame.
        """
        self.state, version = EngineState.LOADING, self.engine.version
        try:
            completions = await self.ask()
            gap = gap_between(completions, await learned(_asked(self._probe.prompts("fixed"), completions)))
            if not gap.mean <= self._probe.max_gap_nats:
                cause = await _Search(self, self._probe, learned, weights, version).cause()
                raise PublishError(
                    f"version {version} did not arrive at {self.name}: over {self._probe.num_prompts} probes its "
                    f"log-probabilities differ from the learner's by {gap.mean:.2g} nats in the mean, "
                    f"{gap.largest:.2g} at most, and {self._probe.max_gap_nats:g} are allowed. {cause}"
                )
        except BaseException:
            self.state = EngineState.STALE
            raise
        self.gap = gap
        self.state = EngineState.PROVEN
        return gap

    def vouch(self) -> None:
        """Takes weights for proved that the learner does not hold, over the way over which others were proved.

        Raises:
            PublishError: nothing was ever proved here.
        """
        if self.state is not EngineState.LOADING or self.gap is None:
            raise PublishError(f"{self.name} has never been proved: publish the learner's weights first")
        self.state = EngineState.PROVEN

    def serve(self) -> None:
        """Lets requests in.

        Raises:
            PublishError: nothing was proved.
        """
        if self.state is not EngineState.PROVEN:
            raise PublishError(f"{self.name} is {self.state.value}, and serves only what is proven")
        self.state = EngineState.SERVING


class _Search:
    """Finds out why an engine does not sample from what it was given, by giving it something else."""

    def __init__(self, engine: ProvenEngine, probe: Probe, learned: Learned, weights: Weights, version: int) -> None:
        self._engine, self._probe, self._learned, self._version = engine, probe, learned, version
        self._weights = weights
        self._until = time.monotonic() + SEARCH_SECONDS
        self._noise = SAME_NATS

    async def cause(self) -> str:
        """A sentence for the error; the engine is left with whatever was tried last."""
        try:
            return await self._cause()
        except Exception as error:  # The gap is what is to be reported, whatever comes of looking for its cause.
            return f"The search for the tensor failed: {type(error).__name__}: {error}"

    async def _cause(self) -> str:
        fresh = self._probe.prompts(f"fresh {self._version}")
        completions = await self._engine.ask(fresh)
        gap = gap_between(completions, await self._learned(_asked(fresh, completions)))
        if gap.mean <= self._probe.max_gap_nats:
            return (
                "Prompts that it had not read before are right: its prefix cache keeps keys and values of older "
                "weights; clear it when weights are loaded, or make the version a part of its keys"
            )
        tensors = {name: tensor.detach().float() for name, tensor in self._weights()}
        if zero := [name for name, tensor in tensors.items() if not tensor.any()]:
            # Where one factor of an adapter is zero, no value of the other one changes anything.
            tensors |= {name: _changed(tensors[name]) for name in zero}
            await self._engine.load_weights(tensors.items(), self._version)
            self._engine.forget()
        first, again = await self._engine.ask(fresh), await self._engine.ask(fresh)
        self._noise = max(SAME_NATS, 4 * _difference(first, again))
        changed = {name: _changed(tensor) for name, tensor in tensors.items()}
        if await self._unchanged(tensors, changed, first):
            return f"{_named(list(tensors))}: no load arrives at all, whatever is sent"
        for dtype in (torch.bfloat16, torch.float16):
            rounded = {name: tensor.to(dtype).float() for name, tensor in tensors.items()}
            differs = [name for name in tensors if not torch.equal(rounded[name], tensors[name])]
            if differs and await self._unchanged(tensors, {name: rounded[name] for name in differs}, first):
                return (
                    f"{_named(differs)}: rounded to {_short(dtype)} before they are sent, they change no answer, so "
                    f"that it casts them to {_short(dtype)} on the way to their dtype"
                )
        if unused := await self._alone(tensors, changed, first):
            return f"{_named(unused)}: what is sent under that name changes nothing that it samples"
        for dtype in (torch.bfloat16, torch.float16):
            # A factor of an adapter changes too little for its rounding to be seen.
            rounded = {name: tensor.to(dtype).float() for name, tensor in tensors.items() if ".lora_" not in name}
            rounded = {name: tensor for name, tensor in rounded.items() if not torch.equal(tensor, tensors[name])}
            if cast := await self._alone(tensors, rounded, first):
                return f"{_named(cast)}: it is cast to {_short(dtype)} on the way to its dtype"
        if time.monotonic() > self._until:
            return f"No single tensor was found to blame within {SEARCH_SECONDS:g} s"
        return (
            "Every tensor alone changes what it samples: a part of one is held twice (a tied or packed output matrix), "
            "or the engine computes something else than the learner"
        )

    async def _alone(
        self, tensors: dict[str, Tensor], others: dict[str, Tensor], before: Sequence[Completion]
    ) -> list[str]:
        """Names of the tensors for which another value alone changes no answer."""
        names = []
        for name, other in others.items():
            if time.monotonic() > self._until:
                break
            if await self._unchanged(tensors, {name: other}, before):
                names.append(name)
        return names

    async def _unchanged(
        self, tensors: dict[str, Tensor], others: dict[str, Tensor], before: Sequence[Completion]
    ) -> bool:
        await self._engine.load_weights({**tensors, **others}.items(), self._version)
        # An engine that reads a prompt once only must not answer from memory.
        self._engine.forget()
        after = await self._engine.ask(self._probe.prompts(f"fresh {self._version}"))
        return _difference(before, after) <= self._noise


def _asked(prompts: Sequence[tuple[int, ...]], completions: Sequence[Completion]) -> list[Asked]:
    return [(prompt, tuple(each.token_ids)) for prompt, each in zip(prompts, completions, strict=True)]


def _difference(first: Sequence[Completion], second: Sequence[Completion]) -> float:
    """The largest difference of a first token's log-probability; infinite where another token was sampled."""
    return max(
        abs(one.logprobs[0] - other.logprobs[0]) if one.token_ids[0] == other.token_ids[0] else float("inf")
        for one, other in zip(first, second, strict=True)
    )


def _changed(tensor: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(tensor.shape, generator=generator).to(tensor.device)
    return tensor + (tensor.abs().mean() + 1e-3) * noise


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} others ({', '.join(names[1:4])} ...)"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
