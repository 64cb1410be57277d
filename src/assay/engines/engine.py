"""The Engine protocol: who samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

import pydantic

from assay.components import Chosen, Component
from assay.config import Settings
from assay.types import Completion

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from assay.policies.policy import Policy


class Sampling(Settings):
    """Sampling parameters. The same temperature divides the trainer's logits; training requires top-p 1 and no
    top-k."""

    temperature: float = pydantic.Field(default=1.0, ge=0.0, le=10.0)
    """0 is greedy decoding: the most probable token, its log-probability reported at temperature 1."""
    top_p: float = pydantic.Field(default=1.0, gt=0.0, le=1.0)
    """Sample from the most probable tokens that together have this probability; 1 is no limit."""
    top_k: int = pydantic.Field(default=0, ge=0)
    """Number of most probable tokens to sample from; 0: no limit."""
    max_new_tokens: int = pydantic.Field(default=256, ge=1)
    """The longest response, in tokens; one that reaches it is truncated."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion, kept in it. The end token ends it in any case."""


@dataclass(frozen=True)
class EngineCapabilities:
    """Optional abilities of an engine, beyond what every engine must do."""

    decides_by_seed: bool = False
    """Token t is chosen by inverse transform sampling with `seeds.uniform(seed, t)`, in the order of the vocabulary.
    Engines that do so sample the same tokens from the same weights."""
    is_reproducible: bool = False
    """True where the same request to the same weights gives the same tokens again, whatever else is being sampled."""


class Engine(Protocol):
    """Samples completions; tokens in, tokens out. `check_engine` holds an implementation to this.

    Required are tokens with their log-probabilities, limits, versions, and forgetting what is cached. What else an
    engine can do, it says in `capabilities`, and then it must.
    """

    @property
    def capabilities(self) -> EngineCapabilities:
        """The engine's optional abilities. Runs on an engine that is not reproducible resume, but not bit for bit."""
        ...

    @property
    def version(self) -> int:
        """Version of the weights that sample now."""
        ...

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """One completion of one prompt.

        Requests under way together may share a prompt's computation. The end token is part of the completion.

        Args:
            seed: what decides the tokens, where the engine `decides_by_seed`.

        Raises:
            ContextLengthError: the prompt and one token do not fit in the context.
            EngineError: the engine failed; the request may be tried again.
        """
        ...

    async def abort(self, request_id: str) -> None:
        """Ends a request; its `generate` returns what it has, with finish_reason "abort". Unknown ids are ignored."""
        ...

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Takes new weights under Hugging Face names; requests under way go on with them (see `version_spans`)."""
        ...

    def forget(self) -> None:
        """Drops what was computed and might serve later requests: what is sampled next depends on nothing that was
        sampled before. An engine without a cache has nothing to forget."""
        ...

    async def close(self) -> None:
        """Aborts what is under way and frees memory."""
        ...


class EngineSettings(Component):
    """Base class of engines that a recipe can choose: frozen settings that open one for a run."""

    kind: ClassVar[str] = "engine"
    modules: ClassVar[tuple[str, ...]] = ("assay.engines",)
    needs_correction: ClassVar[bool] = False
    """True where it samples from other probabilities than the trainer's, beyond rounding: a run then has to correct for
    that."""

    def cautions(self, dtype: torch.dtype) -> tuple[str, ...]:
        """What somebody should know before a run samples with it on this machine, in that compute dtype."""
        return ()

    def open(
        self,
        policy: Policy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> Engine:
        """An engine that samples with a policy's weights, which are of this version.

        Args:
            stop_token_ids: the tokens that end a completion.
            decode: token ids to text, for stop strings.
            dtype: the precision to sample in.
            num_slots: completions to sample at once.
        """
        raise NotImplementedError(f"{type(self).__name__} opens no engine: write its method `open`")


class FarSettings(EngineSettings):
    """Base class of engines in a process of their own: `open` gives one that has no weights yet, every publish to it is
    proved, and one that dies is opened again. See `engines/pool.py`."""

    max_restarts: int = pydantic.Field(default=2, ge=0)
    """How often in a row the engine may be lost before it was of use."""
    start_seconds: float = pydantic.Field(default=600.0, gt=0)
    """The longest that the engine's start is waited for."""
    request_seconds: float = pydantic.Field(default=600.0, gt=0)
    """The longest that one completion is waited for; then the engine is replaced."""
    publish_seconds: float = pydantic.Field(default=300.0, gt=0)
    """The longest that the engine is waited for when it loads weights, and when they are proved."""
    probe_prompts: int = pydantic.Field(default=32, ge=1, le=1024)
    """Fixed prompts that are sampled from after each publish, to be compared with the learner."""
    max_gap_nats: float | None = pydantic.Field(default=None, gt=0)
    """Mean difference of log-probabilities between engine and learner over the probe that is allowed; None: 0.001 in
    fp32, 0.1 in bf16 and fp16."""

    @property
    def remedy(self) -> str:
        """What a person can do where it keeps dying."""
        return "raise engine.max_restarts or engine.start_seconds"


AnyEngine = Annotated[EngineSettings, Chosen()]
"""The type of a settings field that holds the settings of an engine."""
