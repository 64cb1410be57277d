"""vLLM itself: needs `assay adapters install vllm`, or $ASSAY_VLLM_PYTHON with a Python that has it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from assay.adapters import interpreter_of
from assay.batching.proven import logprobs_of, open_proven
from assay.config import validate
from assay.engines import EnginePool, Probe, Sampling, check_engine
from assay.engines.pool import GAP, REPLACED
from assay.engines.proof import ProvenEngine
from assay.engines.vllm import VLLM, VLLMEngine
from assay.errors import ConfigError, ModelError, PublishError
from assay.launch import build_run
from assay.loop import train
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies import DecoderPolicy
from assay.policies.tiny import write_tiny_causal_lm, write_tiny_model
from assay.recipe import RunConfig

pytestmark = pytest.mark.slow
CONTEXT = 256
REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"
PROMPTS = [(1, 2, 3), (1, 2, 3, 4), tuple(range(20))]


def python() -> str:
    if chosen := os.environ.get("ASSAY_VLLM_PYTHON"):
        return chosen
    try:
        return str(interpreter_of("vllm"))
    except ConfigError as error:
        pytest.skip(str(error))


def write_model(folder: Path) -> Path:
    """Tied, as small models are; heads of a size that vLLM has kernels for."""
    return write_tiny_model(folder, hidden_size=128, num_attention_heads=4, num_key_value_heads=2)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> DecoderPolicy:
    policy = open_model(write_model(tmp_path_factory.mktemp("model") / "m")).policy()
    assert isinstance(policy, DecoderPolicy)
    assert policy.config.tie_embeddings
    return policy


@pytest.fixture(scope="module")
def trained(policy: DecoderPolicy) -> DecoderPolicy:
    """The same model with other values in every tensor."""
    drawn = torch.Generator().manual_seed(1)
    weights = {
        name: tensor + 0.3 * tensor.std(correction=0) * torch.randn(tensor.shape, generator=drawn) + 0.01
        for name, tensor in policy.weights()
    }
    return DecoderPolicy(policy.config, weights, tokenizer_files=policy.tokenizer_files)


def open_one(policy: Any, **settings: Any) -> VLLMEngine:
    chosen = VLLM(python=python(), max_context=CONTEXT, cache_gib=1, **settings)
    return chosen.open(policy, stop_token_ids=(9,), decode=str, dtype=torch.float32, num_slots=16, version=-1)


async def ask(engine: Any, prompt: Sequence[int], seed: int = 0, **options: Any) -> Any:
    sampling = Sampling.model_validate({"max_new_tokens": 12, **options})
    return await engine.generate(prompt, sampling, request_id=f"{hash(tuple(prompt))} {seed}", seed=seed)


def gap(policy: Any, prompt: Sequence[int], completion: Any, temperature: float = 1.0) -> float:
    [said] = logprobs_of(policy, [(tuple(prompt), completion.token_ids)], temperature)
    return max(abs(one - other) for one, other in zip(said, completion.logprobs, strict=True))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(policy: DecoderPolicy, runner: asyncio.Runner) -> Iterator[VLLMEngine]:
    engine = open_one(policy)
    try:
        runner.run(engine.load_weights(policy.weights(), 0))
        yield engine
    finally:
        runner.run(engine.close())


def test_the_contract_with_other_weights(
    engine: VLLMEngine, policy: DecoderPolicy, trained: DecoderPolicy, runner: asyncio.Runner
) -> None:
    """Among it: a tied head that is packed, log-probabilities at another temperature, prompts that were read before."""
    runner.run(
        check_engine(
            engine,
            PROMPTS,
            stop_token_ids=(9,),
            weights=policy.weights(),
            other=(
                trained.weights(),
                lambda prompt, tokens, heat: logprobs_of(trained, [(tuple(prompt), tuple(tokens))], heat)[0],
            ),
            max_context=CONTEXT,
        )
    )
    runner.run(engine.load_weights(policy.weights(), 10))


def test_the_same_seed_gives_the_same_tokens(engine: VLLMEngine, runner: asyncio.Runner) -> None:
    async def work() -> None:
        requests = [(prompt, seed) for prompt in PROMPTS for seed in range(8)]
        together = await asyncio.gather(*(ask(engine, *request) for request in requests))
        engine.forget()
        again = await asyncio.gather(*(ask(engine, *request) for request in reversed(requests)))
        alone = [await ask(engine, *request) for request in requests]
        for one, other, third in zip(together, reversed(again), alone, strict=True):
            assert one.token_ids == other.token_ids == third.token_ids
        assert len({one.token_ids for one in together}) > len(PROMPTS), "the seed counts"

    runner.run(work())


def test_prompts_beyond_one_pass_are_computed_whole(engine: VLLMEngine, runner: asyncio.Runner) -> None:
    """Seeded prompts in pieces end vLLM on a CPU: together these are more than a pass holds."""
    budget = engine.options.options["max_num_batched_tokens"]
    prompts = [tuple((7 * place + start) % 240 + 10 for place in range(200)) for start in range(budget // 200 + 8)]

    async def work() -> None:
        completions = await asyncio.gather(*(ask(engine, prompt, max_new_tokens=2) for prompt in prompts))
        assert all(completion.token_ids for completion in completions)

    runner.run(work())


def test_new_weights_in_flight_and_an_old_prefix(
    engine: VLLMEngine, policy: DecoderPolicy, trained: DecoderPolicy, runner: asyncio.Runner
) -> None:
    async def work() -> None:
        prompt = tuple(range(10, 90))
        before = await ask(engine, prompt, temperature=0)
        assert gap(policy, prompt, before) < 1e-4
        task = asyncio.create_task(ask(engine, (2, 3), seed=5, max_new_tokens=200))
        await asyncio.sleep(0.05)
        await engine.load_weights(trained.weights(), 11)
        spans = (await task).version_spans
        assert spans[0] == (0, 10)
        assert spans[-1][1] == 11 or len(spans) == 1
        after = await ask(engine, prompt, temperature=0)
        assert after.version_spans == ((0, 11),)
        assert gap(trained, prompt, after) < 1e-4, "not from keys and values of the weights before"
        assert gap(policy, prompt, after) > 1e-2
        await engine.load_weights(policy.weights(), 12)

    runner.run(work())


def test_aborts(engine: VLLMEngine, runner: asyncio.Runner) -> None:
    async def work() -> None:
        sampling = Sampling(max_new_tokens=200)
        task = asyncio.create_task(engine.generate((5, 6), sampling, request_id="long", seed=3))
        await asyncio.sleep(0.05)
        await engine.abort("long")
        short = await task
        assert short.finish_reason in ("abort", "stop")
        whole = await engine.generate((5, 6), sampling, request_id="long", seed=3)
        assert whole.token_ids[: len(short.token_ids)] == short.token_ids

    runner.run(work())


def test_a_stop_string_is_kept(engine: VLLMEngine, policy: DecoderPolicy, runner: asyncio.Runner) -> None:
    tokenizer = Tokenizer.from_str(policy.tokenizer_files["tokenizer.json"].decode())

    async def work() -> None:
        free = await ask(engine, (80, 81), 1, max_new_tokens=60)
        text = tokenizer.decode(free.token_ids, skip_special_tokens=False)
        stop = next(char for char in text[2:] if char.isascii() and char.isprintable() and char not in text[:2])
        kept = await ask(engine, (80, 81), 1, max_new_tokens=60, stop=(stop,))
        assert kept.finish_reason == "stop"
        assert kept.token_ids == free.token_ids[: len(kept.token_ids)]
        assert tokenizer.decode(kept.token_ids, skip_special_tokens=False).endswith(stop)

    runner.run(work())


def pool_of(policy: Any, **settings: Any) -> EnginePool:
    return open_proven(
        VLLM(python=python(), max_context=CONTEXT, cache_gib=1, **settings),
        policy,
        stop_token_ids=(9,),
        decode=str,
        dtype=torch.float32,
        num_slots=16,
        version=0,
        temperature=0.7,
    )


def test_a_killed_engine_comes_back_with_the_published_weights(policy: DecoderPolicy, trained: DecoderPolicy) -> None:
    async def learned(asked: Any) -> list[list[float]]:
        return logprobs_of(trained, asked, 0.7)

    before = set(Path("/dev/shm").glob("psm_*"))

    async def work() -> None:
        pool = pool_of(policy)
        try:
            await ask(pool, PROMPTS[0])
            await pool.publish(trained.weights(), 1, learned)
            counts = pool.take_counts()
            assert counts[GAP] < 1e-4
            quiet = [await ask(pool, PROMPTS[2], seed, max_new_tokens=100) for seed in range(4)]
            for part in ("worker", "engine core"):
                [pid] = pool.pids
                tasks = [asyncio.create_task(ask(pool, PROMPTS[2], s, max_new_tokens=100)) for s in range(4)]
                await asyncio.sleep(0.05)
                os.kill(pid if part == "worker" else child_of(pid), signal.SIGKILL)
                assert [one.token_ids for one in await asyncio.gather(*tasks)] == [one.token_ids for one in quiet]
                assert pool.take_counts()[REPLACED] == 1
                assert pool.pids != [pid]
            [pid] = pool.pids
            family = [pid, *descendants(pid)]
        finally:
            await pool.close()
        time.sleep(2)
        assert not [one for one in family if Path(f"/proc/{one}").exists()], "no process is left"
        assert set(Path("/dev/shm").glob("psm_*")) == before, "nor memory that its processes shared"

    asyncio.run(work())


def child_of(pid: int) -> int:
    """The process that computes."""
    return descendants(pid)[-1]


def descendants(pid: int) -> list[int]:
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def test_engines_of_a_cluster(tmp_path: Path) -> None:
    """A process that Ray placed is killed, with vLLM under it: another serves what was published, and none is left."""
    settings = {
        "num_steps": 3,
        "groups_per_step": 2,
        "group_size": 4,
        "num_threads": 1,
        "model": {"source": str(write_model(tmp_path / "m")), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
        "sampling": {"max_new_tokens": 12},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "engine": {"name": "vllm", "python": python(), "max_context": CONTEXT, "cache_gib": 1, "start_seconds": 3000.0},
        "cluster": {"engines": int(os.environ.get("CLUSTER_ENGINES", "1")), "start_seconds": 3000.0},
    }
    before, family = {*Path("/dev/shm").glob("psm_*"), *Path("/dev/shm").glob("sem.mp-*")}, set[int]()
    run = build_run(validate(RunConfig, settings), tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    engine: Any = run.engine

    class Losing:
        async def step_done(self, done: Any) -> None:
            family.update(each for pid in engine.pids for each in descendants(pid))
            if done.step == 0:
                os.kill(engine.pids[0], signal.SIGKILL)

    run.subscribers.append(Losing())
    asyncio.run(train(run))
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    assert sum(value or 0.0 for _, value in metrics["engine/replaced"]) == 1
    for name in ("engine/probe_gap_nats", "gap/max_nats"):
        assert len(metrics[name]) == 3
        assert all(value is not None and value < 1e-4 for _, value in metrics[name]), name
    time.sleep(5)
    assert len(family) >= 8
    assert not [one for one in family if Path(f"/proc/{one}").exists()], "no process is left"
    after = {*Path("/dev/shm").glob("psm_*"), *Path("/dev/shm").glob("sem.mp-*")}
    assert after == before, "nor memory that its processes shared"


@pytest.mark.model
def test_the_default_model_learns_for_three_steps(tmp_path: Path) -> None:
    settings = {
        "num_steps": 3,
        "groups_per_step": 4,
        "group_size": 4,
        "num_threads": 1,
        "model": {"device": "cpu", "compute_dtype": "fp32"},
        "environment": {"name": "arithmetic", "example": True},
        "sampling": {"max_new_tokens": 24},
        "trainer": {"learning_rate": 1e-5},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "engine": {"name": "vllm", "python": python(), "max_context": CONTEXT, "cache_gib": 1, "start_seconds": 3000.0},
    }
    run = build_run(validate(RunConfig, settings), tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    asyncio.run(train(run))
    metrics = RunStore.open_readonly(tmp_path / "run").metrics()
    for name in ("engine/probe_gap_nats", "gap/max_nats"):
        assert len(metrics[name]) == 3
        assert all(value is not None and value < 1e-3 for _, value in metrics[name]), name
    assert any(value for _, value in metrics["train/grad_norm"]), "rewards differed, and something was learned"


def test_weights_that_are_not_the_learners_are_caught(
    engine: VLLMEngine, policy: DecoderPolicy, trained: DecoderPolicy, runner: asyncio.Runner
) -> None:
    """One tensor is the old one: the proof says so."""

    async def learned(asked: Any) -> list[list[float]]:
        return logprobs_of(trained, asked, 1.0)

    async def work() -> None:
        proven = ProvenEngine(engine, Probe(num_prompts=8, vocab_size=policy.vocab_size))
        stale = {**dict(trained.weights()), "model.norm.weight": dict(policy.weights())["model.norm.weight"]}
        await proven.load_weights(stale.items(), 20)
        with pytest.raises(PublishError, match="did not arrive"):
            await proven.prove(learned, trained.weights)
        await engine.load_weights(policy.weights(), 21)

    runner.run(work())


def test_a_model_that_vllm_cannot_open_is_named(tmp_path: Path) -> None:
    odd = open_model(write_tiny_causal_lm(tmp_path, "biogpt"), policy="hf").policy()
    # Of those that it does not know it opens many by transformers' own code.
    odd.config.architectures = ["NobodysForCausalLM"]
    engine = open_one(odd)

    async def work() -> None:
        try:
            with pytest.raises(ModelError, match="vLLM cannot open the model"):
                await engine.started()
        finally:
            await engine.close()

    asyncio.run(work())
