"""vLLM's engine with a worker that stands for vLLM: protocol, waits, restarts, and proofs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from assay import public
from assay.adapters import AdapterServer
from assay.config import validate
from assay.engines import EnginePool, FarSettings, LocalEngine, Probe, Sampling, check_engine
from assay.engines.pool import REPLACED, PoolLimits
from assay.engines.stored import StoredWeights
from assay.engines.vllm import VLLM, VLLMEngine, engine
from assay.engines.vllm.engine import VLLMOptions
from assay.errors import (
    AssayError,
    ClusterError,
    ConfigError,
    ContextLengthError,
    ContractError,
    DataError,
    EngineError,
    ModelError,
    PublishError,
)
from assay.models import open_model
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig

FAKE = Path(__file__).parents[2] / "foreign" / "vllm_worker.py"
PROMPTS = [(1, 2, 3), (1, 2, 3, 4), tuple(range(20))]
STOP, VOCAB, CONTEXT = 9, 32, 48
Weights = dict[str, Tensor]
Learned = Callable[[Any], Any]


def toy(seed: int) -> Weights:
    """Weights of the worker's model."""
    drawn = torch.Generator().manual_seed(seed)
    return {
        "table": torch.randn(VOCAB, VOCAB, generator=drawn),
        "bias": torch.randn(VOCAB, generator=drawn),
    }


def says(weights: Weights, prompt: Sequence[int], tokens: Sequence[int], temperature: float) -> list[float]:
    """What the worker's model says of tokens."""
    before = [prompt[-1], *tokens[:-1]]
    logits = (weights["table"][before] + weights["bias"]).double() / temperature
    return logits.log_softmax(-1)[torch.arange(len(tokens)), list(tokens)].tolist()


def learner(weights: Weights) -> Learned:
    async def learned(asked: Any) -> list[list[float]]:
        return [says(weights, prompt, tokens, 0.9) for prompt, tokens in asked]

    return learned


def open_one(tmp_path: Path, fault: str = "", **seconds: float) -> VLLMEngine:
    server = AdapterServer("vllm", FAKE, Path(sys.executable))
    options = VLLMOptions(
        version="1",
        device="cpu",
        options={"model": str(server.folder), "vocab_size": VOCAB, "max_model_len": CONTEXT},
        vocab_size=VOCAB,
        max_context=CONTEXT,
        stop_token_ids=(STOP,),
        reads_text=False,
        environment={"FAULT": fault},
        tokens={0: "<0>"},
        **{"start_seconds": 60.0, "request_seconds": 60.0, "publish_seconds": 60.0, **seconds},
    )
    return VLLMEngine(server, options, torch.float32)


def open_pool(tmp_path: Path, fault: str = "", max_restarts: int = 0, **seconds: float) -> EnginePool:
    return EnginePool(
        lambda number: open_one(tmp_path, fault, **seconds),
        1,
        lambda weights: StoredWeights(weights, torch.float32),
        Probe(num_prompts=8, vocab_size=VOCAB, temperature=0.9),
        PoolLimits(max_restarts, remedy="do something"),
        first=(toy(0).items(), 0, learner(toy(0))),
        name="the engine 'vllm'",
    )


async def ask(engine: Any, prompt: Sequence[int] = PROMPTS[0], seed: int = 0, tokens: int = 6) -> Any:
    return await engine.generate(prompt, Sampling(max_new_tokens=tokens), request_id=f"{prompt}{seed}", seed=seed)


async def under_way(engine: Any, number: int) -> None:
    """Returns when the worker has so many requests under way."""
    async with asyncio.timeout(60):
        while await engine._ask("under_way", 60) != number:
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def test_the_contract_and_what_a_request_may_be(tmp_path: Path) -> None:
    other = toy(1)

    async def work() -> None:
        engine = open_one(tmp_path)
        try:
            with pytest.raises(EngineError, match="no weights yet"):
                await ask(engine)
            await engine.load_weights(toy(0).items(), 0)
            await check_engine(
                engine,
                PROMPTS,
                stop_token_ids=(STOP,),
                weights=toy(0).items(),
                other=(other.items(), lambda prompt, tokens, heat: says(other, prompt, tokens, heat)),
                max_context=CONTEXT,
            )
            for wrong, error in (((), DataError), ((VOCAB,), DataError), (tuple(range(10)) * 5, ContextLengthError)):
                with pytest.raises(error):
                    await ask(engine, wrong)
            with pytest.raises(ModelError, match=r"sampling\.stop=\['x'\] needs text"):
                await engine.generate((1,), Sampling(stop=("x",)), request_id="stop", seed=0)
            pid = engine.pid
        finally:
            await engine.close()
        assert is_gone(pid)
        assert not Path(engine.options.options["model"]).exists()
        with pytest.raises(EngineError, match="closed"):
            await ask(engine)

    asyncio.run(work())


def test_a_request_that_is_given_up_or_aborted_ends_over_there(tmp_path: Path) -> None:
    async def work() -> None:
        engine = open_one(tmp_path, "hangs in a request")
        try:
            await engine.load_weights(toy(0).items(), 3)
            task = asyncio.create_task(ask(engine))
            await under_way(engine, 1)
            with pytest.raises(ContractError, match="under way"):
                await ask(engine)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await under_way(engine, 0)
            task = asyncio.create_task(ask(engine))
            await asyncio.sleep(0)
            await engine.abort(f"{PROMPTS[0]}0")
            completion = await task
            assert (completion.token_ids, completion.finish_reason) == ((), "abort")
            assert completion.version_spans == ((0, 3),)
        finally:
            await engine.close()

    asyncio.run(work())


def test_a_killed_engine_is_replaced_and_has_the_published_weights(tmp_path: Path) -> None:
    async def work() -> None:
        pool = open_pool(tmp_path, max_restarts=1)
        try:
            assert pool.version == 0
            first = await ask(pool)  # the first weights are published when they are needed
            assert first.version_spans == ((0, 0),)
            await pool.publish(toy(1).items(), 1, learner(toy(1)))
            quiet = [await ask(pool, seed=seed, tokens=20) for seed in range(4)]
            [pid] = pool.pids
            far: Any = pool._slots[0].far
            Path(far.options.options["model"], "hold").touch()  # or it may have answered before it is killed
            requests = [asyncio.create_task(ask(pool, seed=seed, tokens=20)) for seed in range(4)]
            await under_way(far, 4)
            os.kill(pid, signal.SIGKILL)
            assert await asyncio.gather(*requests) == quiet, "the same tokens, from the weights that were published"
            assert pool.pids[0] not in (0, pid)
            assert pool.take_counts()[REPLACED] == 1
            assert is_gone(pid)
        finally:
            await pool.close()

    asyncio.run(work())


def test_an_engine_is_replaced_while_the_learner_holds_newer_weights(tmp_path: Path) -> None:
    """It is held to what the learner said when it published; what was not asked then, nobody knows any more."""
    said: list[int] = []

    async def work(num_known: int) -> None:
        pool, says_all = open_pool(tmp_path, max_restarts=1), learner(toy(1))

        async def learned(asked: Any) -> Any:
            said.append(len(asked))
            return await says_all(asked) if len(said) == 1 else [None] * len(asked)

        try:
            await ask(pool)
            await pool.publish(toy(1).items(), 1, learned)
            quiet = await ask(pool)
            # As if the engine sampled other tokens in the rest of its probe.
            for asked in list(pool._known)[num_known:]:
                del pool._known[asked]
            os.kill(pool.pids[0], signal.SIGKILL)
            assert await ask(pool) == quiet
        finally:
            await pool.close()

    asyncio.run(work(5))
    assert said == [8, 3]
    said.clear()
    with pytest.raises(PublishError, match=r"which holds newer weights by now, knows 3 of 8 completions"):
        asyncio.run(work(3))


@pytest.mark.parametrize(
    ("fault", "changes", "error", "message"),
    [
        ("refuses", {}, ModelError, "no such architecture"),
        ("other vocabulary", {}, ModelError, "a vocabulary of 31 tokens where the learner's has 32"),
        ("other tokens", {}, ModelError, "token 0 is '<0>' in the learner's vocabulary and '<other>' in vLLM's"),
        ("dies at start", {}, ClusterError, "the engine 'vllm' cannot be replaced: .*; do something"),
        ("hangs at start", {"start_seconds": 2}, ClusterError, "within 2 s"),
        ("hangs in load", {"publish_seconds": 0.2}, ClusterError, "did not answer within 0.2 s in 'load'"),
        (
            "hangs in a request",
            {"request_seconds": 0.2},
            ClusterError,
            "did not answer within 0.2 s in '(begin|finish)'",
        ),
        ("no number", {}, AssayError, "log-probabilities finite"),
        ("a token of no vocabulary", {}, AssayError, "tokens must be below 32"),
        ("no reason", {}, AssayError, "no completion"),
        ("too few", {}, AssayError, "finite and as many"),
    ],
)
def test_faults_end_in_an_error_that_names_them(
    tmp_path: Path, fault: str, changes: dict[str, Any], error: Any, message: str
) -> None:
    async def work() -> None:
        pool = open_pool(tmp_path, fault, **changes)
        try:
            for _ in range(2):
                with pytest.raises(error, match=message):
                    await asyncio.wait_for(ask(pool), 60)
        finally:
            await pool.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("fault", "message"), [("skips a tensor", "bias: what is sent"), ("never loads", "no load arrives at all")]
)
def test_weights_that_do_not_arrive_are_named(tmp_path: Path, fault: str, message: str) -> None:
    async def work() -> None:
        pool = open_pool(tmp_path, fault)
        try:
            await ask(pool)
            with pytest.raises(PublishError, match=f"version 1 did not arrive at the engine 'vllm'.*{message}"):
                await pool.publish(toy(1).items(), 1, learner(toy(1)))
            with pytest.raises(AssayError):
                await asyncio.wait_for(ask(pool), 60)
        finally:
            await pool.close()

    asyncio.run(work())


def test_time_in_which_this_process_computes_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update blocks the loop for longer than a request may take: its answer is there, and is taken."""
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.2)

    async def work() -> None:
        opened = open_one(tmp_path, request_seconds=1.0)
        try:
            await opened.load_weights(toy(0).items(), 0)
            request = asyncio.create_task(ask(opened, tokens=20))
            await asyncio.sleep(0.01)
            time.sleep(1.5)
            assert (await request).token_ids
        finally:
            await opened.close()

    asyncio.run(work())


def test_stored_weights_are_read_by_others_and_leave_nothing() -> None:
    stored = StoredWeights([("a", torch.ones(3)), ("n", torch.arange(2))], torch.bfloat16)
    file = os.readlink(stored.path)
    assert file.endswith(" (deleted)")
    assert not Path(file.removesuffix(" (deleted)")).parent.exists()
    found = dict(stored)
    assert found["a"].dtype == torch.bfloat16
    assert found["n"].dtype == torch.int64
    assert Path(stored.path).stat().st_size > stored.num_bytes == 22


def test_what_is_asked_of_vllm(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    policy = open_model(tiny_model).policy()

    def opened(**settings: Any) -> VLLMEngine:
        chosen = VLLM(**settings)
        return chosen.open(policy, stop_token_ids=(1,), decode=str, dtype=torch.bfloat16, num_slots=8, version=-1)

    with pytest.raises(ConfigError, match="assay adapters install vllm"):
        opened()
    with pytest.raises(ConfigError, match="is no Python"):
        opened(python=str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="more than the model's"):
        opened(python=sys.executable, max_context=10**6)
    one = opened(python=sys.executable, max_context=100)
    asked, folder = one.options, Path(one.options.options["model"])
    assert asked.options["dtype"] == "bfloat16"
    assert asked.options["logprobs_mode"] == "processed_logprobs"
    assert asked.options["max_num_batched_tokens"] >= asked.options["max_model_len"] + 8
    assert not asked.options["enable_chunked_prefill"]
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == asked.vocab_size == policy.vocab_size
    assert not list(folder.glob("*.safetensors")), "weights come by a publish, or not at all"

    async def without() -> None:
        # The real worker, in a Python without vLLM.
        with pytest.raises(ModelError, match=r"has no vLLM, and version .* install vllm"):
            await one.started()

    try:
        asyncio.run(without())
    finally:
        one.kill()
    assert not folder.exists()
    assert VLLM.worker.with_name("assay_vllm_weights.py").is_file()


class NearEngine(LocalEngine):
    """Our own engine, as if it were far: it starts without weights, and can be lost."""

    opened: list[NearEngine] = []  # noqa: RUF012

    def __init__(self, policy: Any, **options: Any) -> None:
        zeros = [(name, torch.zeros_like(tensor)) for name, tensor in policy.weights()]
        super().__init__(policy.config, zeros, **options)
        self.pid, self.is_lost = 0, False
        self.opened.append(self)

    async def started(self) -> None:
        self.pid = 1

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **options: Any) -> Any:
        if self.is_lost:
            raise EngineError("lost")
        return await super().generate(prompt_ids, sampling, **options)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        await super().load_weights(list(weights), version)

    def kill(self) -> None:
        self.is_lost = True


class Near(FarSettings):
    name: Literal["near"] = "near"

    def open(self, policy: Any, **options: Any) -> Any:
        return NearEngine(policy, **options)


def test_a_run_on_it_is_the_run_in_one_process(tiny_model: Path, tmp_path: Path) -> None:
    """Each publish is proved and recorded; an engine that is lost on the way changes nothing."""
    rewards = Path(__file__).parents[2] / "parity" / "rewards.py"
    plain: dict[str, Any] = {
        "num_steps": 2,
        "groups_per_step": 2,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
        "sampling": {"max_new_tokens": 4},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 1},
        "verifier": {"name": "python", "function": f"{rewards}:share_of_letters", "gold_format": ""},
    }

    class Losing:
        async def step_done(self, done: Any) -> None:
            if done.step == 0:
                NearEngine.opened[-1].is_lost = True

    finals = []
    for name, chosen, subscribers in (("one", {}, ()), ("far", {"engine": Near()}, (Losing(),))):
        result = public.train(
            {**plain, **chosen},
            run_folder=tmp_path / name,
            console=Console(stream=io.StringIO(), live=False),
            subscribers=subscribers,
        )
        assert result.status == "finished"
        finals.append(dict(open_model(result.folder / "checkpoints" / "step-000002").weights()))
    assert all(torch.equal(finals[0][name], finals[1][name]) for name in finals[0])
    metrics = RunStore.open_readonly(tmp_path / "far").metrics()
    gaps = [value or 0.0 for _, value in metrics["engine/probe_gap_nats"]]
    assert len(gaps) == 2
    assert max(gaps) < 1e-5
    assert [value for _, value in metrics["engine/replaced"]] == [0, 1]
    assert all(near.is_lost for near in NearEngine.opened), "closed with the run"


def test_options_without_effect_in_a_cluster() -> None:
    engine = {"name": "vllm", "max_restarts": 5}
    with pytest.raises(ConfigError, match=r"engine\.max_restarts has no effect in a cluster"):
        validate(RunConfig, {"engine": engine, "cluster": {"engines": 1}})
    validate(RunConfig, {"engine": engine})
