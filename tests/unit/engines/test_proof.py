"""A publish is proved: each way in which weights fail to arrive is found, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from assay.batching import pack
from assay.engines import EngineState, LocalEngine, Probe, ProvenEngine, Sampling, check_engine
from assay.engines.adapted import AdaptedEngine
from assay.engines.proof import Asked, Gap, gap_between
from assay.errors import ContractError, EngineError, ModelError, PublishError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.policies.lora.settings import LoraSettings
from assay.types import Completion, Sample

PROBE = Probe(num_prompts=8, prompt_tokens=20, num_tokens=3)
STOPS = (9,)


@pytest.fixture(scope="module")
def base(tiny_model: Path) -> DecoderPolicy:
    return open_model(tiny_model).policy()


@pytest.fixture(scope="module")
def adapted(tiny_model: Path) -> DecoderPolicy:
    """The model with an adapter that was trained a little."""
    policy = open_model(tiny_model).policy(lora=LoraSettings(rank=4))
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))
    return policy


def logprobs_of(policy: DecoderPolicy, asked: Sequence[Asked], temperature: float = 1.0) -> list[list[float]]:
    found = []
    for prompt, tokens in asked:
        ids = torch.tensor([*prompt, *tokens])
        mask = torch.arange(len(ids)) >= len(prompt)
        [[batch]] = pack([Sample(0, 0, ids, mask, torch.zeros(len(ids)))], 10_000)
        with torch.no_grad():
            found.append(policy.forward(batch, temperature=temperature).logprobs.tolist())
    return found


class Engine(LocalEngine):
    """Right in everything; subclasses are wrong in how they load."""

    def __init__(self, policy: DecoderPolicy) -> None:
        self.first = {name: tensor.clone() for name, tensor in policy.weights()}
        super().__init__(
            policy.config, policy.weights(), stop_token_ids=STOPS, decode=str, dtype=torch.float32, max_context=48
        )

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        await super().load_weights([(name, self.taken(name, tensor)) for name, tensor in weights], version)

    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return tensor


class DropsTheAdapter(Engine):
    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return self.first[name] if "_proj" in name else tensor


class SkipsALayer(Engine):
    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return self.first[name] if name.startswith("model.layers.1.") else tensor


class FiltersAName(Engine):
    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return self.first[name] if name == "model.layers.0.mlp.down_proj.weight" else tensor


class CastsTwice(Engine):
    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.bfloat16().float()


class CastsOneTwice(Engine):
    def taken(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.bfloat16().float() if name == "model.embed_tokens.weight" else tensor


class IgnoresLoads(Engine):
    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._version = version


class KeepsItsVersion(Engine):
    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        pass


class Hangs(Engine):
    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        await asyncio.Event().wait()


class KeepsItsPrefixes(Engine):
    """Answers prompts that it has read from what it computed then: a prefix cache that outlives its weights."""

    def __init__(self, policy: DecoderPolicy) -> None:
        super().__init__(policy)
        self.known: dict[tuple[int, ...], LocalEngine] = {}

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        prompt, now = tuple(prompt_ids), LocalEngine.generate
        if prompt not in self.known:
            weights = [(name, tensor.clone()) for name, tensor in self.newest]
            self.known[prompt] = LocalEngine(
                self.config, weights, stop_token_ids=STOPS, decode=str, dtype=torch.float32, max_context=48
            )
        engine = self.known[prompt]
        engine._version = self.version
        return await now(engine, prompt_ids, sampling, request_id=request_id, seed=seed)

    newest: Any = ()

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.newest, known = list(weights), self.known
        await super().load_weights(self.newest, version)
        self.known = known

    def forget(self) -> None:
        self.known = {}


async def publish(engine: Engine, base: DecoderPolicy, adapted: DecoderPolicy, seconds: float = 60.0) -> ProvenEngine:
    """The untrained model is published and proved, and then the trained one."""
    proven = ProvenEngine(engine, PROBE, name="engine 0", seconds=seconds)
    for version, policy in enumerate((base, adapted), start=1):

        async def learned(asked: Sequence[Asked], policy: DecoderPolicy = policy) -> list[list[float]]:
            return logprobs_of(policy, asked)

        await proven.load_weights(policy.weights(), version)
        assert proven.state is EngineState.LOADING
        await proven.prove(learned, policy.weights)
        assert proven.state is EngineState.PROVEN
        proven.serve()
    return proven


def test_an_engine_serves_what_was_proved(base, adapted):
    async def run() -> None:
        proven = ProvenEngine(Engine(base), PROBE)
        with pytest.raises(EngineError, match="stale"):
            await proven.generate((1, 2), Sampling(), request_id="a", seed=0)
        with pytest.raises(PublishError, match="serves only what is proven"):
            proven.serve()
        proven = await publish(Engine(base), base, adapted)
        assert proven.state is EngineState.SERVING
        assert proven.gap is not None
        assert proven.gap.mean < 1e-5
        completion = await proven.generate((1, 2), Sampling(max_new_tokens=3), request_id="a", seed=0)
        assert completion.version_spans == ((0, 2),)
        await proven.close()
        assert proven.state is EngineState.STALE

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (DropsTheAdapter, r"model.layers.0.self_attn.q_proj.weight and 13 others .*changes nothing"),
        (SkipsALayer, r"model.layers.1.input_layernorm.weight and 8 others .*changes nothing"),
        (FiltersAName, r"model.layers.0.mlp.down_proj.weight: what is sent under that name changes nothing"),
        (IgnoresLoads, r"model.embed_tokens.weight and 19 others .*no load arrives at all"),
        (CastsTwice, r"model.embed_tokens.weight and \d+ others .*rounded to bfloat16"),
        (CastsOneTwice, r"model.embed_tokens.weight: it is cast to bfloat16"),
        (KeepsItsPrefixes, r"its prefix cache keeps keys and values of older weights"),
    ],
)
def test_a_publish_that_does_not_arrive_is_named(base, adapted, kind, named):
    engine = kind(base)
    # Casting shows in the first publish already.
    with pytest.raises(PublishError, match=rf"version [12] did not arrive at engine 0.*{named}"):
        asyncio.run(publish(engine, base, adapted))


def factors(policy: DecoderPolicy) -> list[tuple[str, Tensor]]:
    assert policy.adapter is not None
    return [(name, parameter.detach().clone()) for name, parameter in policy.adapter.named_parameters()]


async def publish_adapter(engine: AdaptedEngine, policy: DecoderPolicy) -> ProvenEngine:
    proven = ProvenEngine(engine, PROBE, name="engine 0")

    async def learned(asked: Sequence[Asked]) -> list[list[float]]:
        return logprobs_of(policy, asked)

    await proven.load_weights(factors(policy), 1)
    await proven.prove(learned, lambda: factors(policy))
    return proven


def test_an_adapter_is_sent_alone_and_is_what_the_learner_would_merge(tiny_model, base, adapted):
    async def work() -> None:
        own = open_model(tiny_model).policy(lora=LoraSettings(rank=4))
        inner = Engine(base)
        engine = AdaptedEngine(inner, own)
        proven = await publish_adapter(engine, adapted)
        assert proven.gap is not None
        assert proven.gap.mean < 1e-5
        merged = dict(adapted.weights())
        assert torch.equal(inner._view.embedding, merged["model.embed_tokens.weight"])
        assert not torch.equal(
            merged["model.layers.0.mlp.down_proj.weight"], inner.first["model.layers.0.mlp.down_proj.weight"]
        )
        # Whole weights, for a measurement, and then the adapter again.
        whole = [(name, 1.5 * tensor) for name, tensor in base.weights()]
        await engine.load_weights(whole, 2)
        assert torch.equal(inner._view.embedding, dict(whole)["model.embed_tokens.weight"])
        assert (await publish_adapter(engine, adapted)).gap == proven.gap
        with pytest.raises(ModelError, match="do not fit the adapter"):
            await engine.load_weights(factors(adapted)[:3], 3)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("trained", "named"),
    [
        (True, r"layers.1.self_attn.q_proj.lora_A.weight and 13 others"),
        (False, "Every tensor alone changes what it samples"),
    ],
)
def test_an_adapter_that_does_not_arrive_is_named(tiny_model, base, adapted, trained, named):
    """Where a layer keeps its first weights; and where the model under an untrained adapter, which changes nothing, is
    another one: its factors are not to blame."""
    own = open_model(tiny_model).policy(lora=LoraSettings(rank=4))
    engine = SkipsALayer(base)
    if not trained:
        engine = Engine(base)
        with torch.no_grad():
            own.get_parameter("model.layers.0.mlp.down_proj.weight").mul_(2.0)
    policy = adapted if trained else open_model(tiny_model).policy(lora=LoraSettings(rank=4))
    with pytest.raises(PublishError, match=named):
        asyncio.run(publish_adapter(AdaptedEngine(engine, own), policy))


def test_a_version_that_is_not_taken_and_a_load_that_hangs(base, adapted):
    with pytest.raises(PublishError, match="was sent version 1 and says that it has 0"):
        asyncio.run(publish(KeepsItsVersion(base), base, adapted))
    with pytest.raises(PublishError, match=r"did not load version 1 within 0\.05 s"):
        asyncio.run(publish(Hangs(base), base, adapted, seconds=0.05))


def test_a_gap_that_is_no_number_passes_no_bound():
    completion = Completion((1, 2), (-1.0, float("nan")), "length", ((0, 0),))
    assert gap_between([completion], [[-1.0, -1.0]]) == Gap(float("inf"), float("inf"))
    with pytest.raises(PublishError, match="other tokens"):
        gap_between([completion], [[-1.0]])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Engine, None),
        (SkipsALayer, "differ from the model's"),
        (CastsTwice, "differ from the model's"),
        (KeepsItsPrefixes, "a prompt that it had read before"),
    ],
)
def test_check_engine_loads_other_weights(base, adapted, kind, message):
    engine = kind(base)
    engine.newest = list(base.weights())

    def logprobs(prompt: Sequence[int], tokens: Sequence[int], temperature: float) -> list[float]:
        return logprobs_of(adapted, [(tuple(prompt), tuple(tokens))], temperature)[0]

    check = check_engine(
        engine,
        [(1, 2, 3), tuple(range(20))],
        stop_token_ids=STOPS,
        weights=list(base.weights()),
        other=(adapted.weights(), logprobs),
    )
    if message is None:
        asyncio.run(check)
        return
    with pytest.raises(ContractError, match=message):
        asyncio.run(check)
