"""Engines as Ray actors behind one `Engine`: requests are shared out, the dead are replaced, and their requests go to
others. Only an engine whose weights were proved gets any."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.cluster.connect import Bundle, RayConnection
from assay.cluster.weights import Packed, flat, tensors
from assay.engines import Engine, EngineCapabilities, EngineState, Probe, ProvenEngine, Sampling
from assay.engines.proof import Asked, Learned
from assay.errors import AssayError, ClusterError, EngineError, PublishError
from assay.observe.metrics import metric
from assay.types import Completion

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOVED = metric(
    "cluster/moved_requests", "Requests of this step whose engine was lost, and that another engine answered."
)
REPLACED = metric("cluster/replaced_engines", "Engines that were lost in this step, and replaced.")
GAP = metric(
    "cluster/probe_gap_nats",
    "Mean |engine's log-probability - learner's| over the fixed prompts that engines are probed with after a publish; "
    "the largest over the engines.",
)
PUBLISH_SECONDS = metric("time/publish_seconds", "Wall clock of the last publish: weights gathered, sent and proved.")
PUBLISH_BYTES = metric("cluster/publish_bytes", "Bytes of the weights in one publish.")


class EngineProcess:
    """One engine, in its process.

    Args:
        build: () to an engine, which holds weights that nobody has published.
    """

    def __init__(self, build: Callable[[], Engine]) -> None:
        self._engine = build()

    async def describe(self) -> tuple[EngineCapabilities, int, int]:
        """Its abilities, its version, its process id."""
        return self._engine.capabilities, self._engine.version, os.getpid()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, seed: int) -> Completion:
        return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)

    async def abort(self, request_id: str) -> None:
        await self._engine.abort(request_id)

    async def load(self, buffer: Any, table: Sequence[Any], version: int) -> int:
        await self._engine.load_weights(tensors(buffer, table), version)
        return self._engine.version

    async def forget(self) -> None:
        self._engine.forget()


class RemoteEngine:
    """An `Engine` in another process. Whatever happens to that process is an EngineError here, in a bounded time."""

    def __init__(self, connection: RayConnection, actor: Any, dtype: torch.dtype, name: str) -> None:
        self._ray, self._settings = connection.ray, connection.settings
        self._actor, self._dtype, self.name = actor, dtype, name
        self.version = -1
        self.capabilities = EngineCapabilities()
        self.pid = 0

    async def started(self) -> None:
        """Returns when the engine is there.

        Raises:
            EngineError: it is not within `start_seconds`.
        """
        asked = self._actor.describe.remote()
        self.capabilities, self.version, self.pid = await self._answer(asked, self._settings.start_seconds)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        asked = self._actor.generate.remote(tuple(prompt_ids), sampling, request_id, seed)
        try:
            return await self._answer(asked, self._settings.request_seconds)
        except asyncio.CancelledError:
            # Giving up waiting stops nothing over there.
            self._actor.abort.remote(request_id)
            raise

    async def abort(self, request_id: str) -> None:
        await self._answer(self._actor.abort.remote(request_id), self._settings.request_seconds)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        packed = weights if isinstance(weights, PackedWeights) else self.pack(weights)
        loading = self._actor.load.remote(packed.packed.reference, packed.packed.table, version)
        self.version = await self._answer(loading, self._settings.publish_seconds)

    def pack(self, weights: Iterable[tuple[str, Tensor]]) -> PackedWeights:
        """Put weights into Ray's store, in the dtype that is served."""
        buffer, table = flat(weights, self._dtype)
        return PackedWeights(Packed(self._ray.put(buffer), table), self._ray)

    def forget(self) -> None:
        self._actor.forget.remote()

    async def close(self) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends its process."""
        self._ray.kill(self._actor, no_restart=True)

    async def _answer(self, asked: Any, seconds: float) -> Any:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked.future()), seconds)
        except TimeoutError:
            raise EngineError(f"{self.name} did not answer within {seconds:g} s") from None
        except self._ray.exceptions.RayActorError as error:
            raise EngineError(f"{self.name} is gone ({type(error).__name__})") from None
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, AssayError):
                raise cause from None
            raise EngineError(f"{self.name} failed: {type(cause).__name__}: {cause}") from None
        except self._ray.exceptions.RayError as error:
            raise EngineError(f"{self.name} failed: {type(error).__name__}") from None


class PackedWeights:
    """Weights that are in Ray's store, and (name, tensor) of each where somebody asks."""

    def __init__(self, packed: Packed, ray: Any) -> None:
        self.packed, self._ray = packed, ray

    def __iter__(self) -> Any:
        return tensors(self._ray.get(self.packed.reference, timeout=600), self.packed.table)


@dataclass
class _Slot:
    """One place for an engine, and the engine that is there now."""

    number: int
    remote: RemoteEngine | None = None
    proven: ProvenEngine | None = None
    under_way: int = 0
    failures_in_a_row: int = 0
    replacing: asyncio.Task[None] | None = None
    prompts: Counter[tuple[int, ...]] = field(default_factory=Counter)
    """Prompts that it reads now: a group's requests go to one engine, which computes their prompt once."""

    @property
    def serves(self) -> bool:
        return self.proven is not None and self.proven.state is EngineState.SERVING


class ClusterEngine:
    """The engines of a cluster as one; implements `Engine`.

    Args:
        build: () to an engine, in the process of an engine.
        bundle: what an engine needs.
        probe: what each is asked after a publish.
        dtype: that weights are sent in: the one that is served.
    """

    def __init__(
        self, connection: RayConnection, build: Callable[[], Engine], bundle: Bundle, probe: Probe, dtype: torch.dtype
    ) -> None:
        self._connection, self._settings, self._build = connection, connection.settings, build
        self._bundle, self._probe, self._dtype = bundle, probe, dtype
        self._group = connection.place([bundle] * self._settings.num_engines, f"{self._settings.num_engines} engines")
        self._slots = [_Slot(number) for number in range(self._settings.num_engines)]
        for slot in self._slots:
            self._open(slot)
        self._weights: PackedWeights | None = None
        self._version = -1
        self._learned: Learned | None = None
        self._published: tuple[PackedWeights, int, Learned] | None = None
        """The last publish of the learner's own weights, which prove the way to an engine that is new."""
        self._known: dict[Asked, list[float]] = {}
        """What the learner said of tokens, under the weights that were published last."""
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._closed = False
        self.counts: Counter[str] = Counter()
        self.on_close: list[Callable[[], None]] = []
        """What is closed after the engines: the ranks, and the connection."""

    @property
    def capabilities(self) -> EngineCapabilities:
        known = [slot.remote.capabilities for slot in self._slots if slot.remote is not None]
        return known[0] if known else EngineCapabilities()

    @property
    def version(self) -> int:
        return self._version

    @property
    def pids(self) -> list[int]:
        """Process ids of the engines that are there."""
        return [slot.remote.pid for slot in self._slots if slot.remote is not None]

    @property
    def states(self) -> list[EngineState]:
        """The state of each engine."""
        return [EngineState.STALE if slot.proven is None else slot.proven.state for slot in self._slots]

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`. A request whose engine is lost goes to another, from its first token on: with the same
        seed an engine of ours samples the same tokens."""
        prompt, failed = tuple(prompt_ids), 0
        until = time.monotonic() + self._settings.start_seconds + self._settings.request_seconds
        while True:
            slot = await self._serving(prompt, until)
            engine, remote = slot.proven, slot.remote
            assert engine is not None
            slot.under_way += 1
            slot.prompts[prompt] += 1
            try:
                completion = await engine.generate(prompt, sampling, request_id=request_id, seed=seed)
            except EngineError as error:
                failed += 1
                if failed > self._settings.max_restarts + len(self._slots):
                    raise
                if slot.remote is remote and engine.state is EngineState.SERVING:
                    self._lose(slot, error)
                self.counts[MOVED] += 1
                continue
            finally:
                slot.under_way -= 1
                slot.prompts[prompt] -= 1
                slot.prompts += Counter()
            slot.failures_in_a_row = 0
            return completion

    async def abort(self, request_id: str) -> None:
        await asyncio.gather(*(slot.proven.abort(request_id) for slot in self._slots if slot.proven and slot.serves))

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Sends weights that the learner does not hold (for a measurement), over the way that was proved before."""
        await self._loaded_everywhere(self._pack(weights), version, None)

    async def publish(self, packed: Packed, version: int, learned: Learned) -> None:
        """Sends the learner's weights to every engine; returns when all serve them.

        Args:
            learned: what the learner says of tokens under these weights.

        Raises:
            PublishError: they did not arrive.
            ClusterError: an engine could not be replaced.
        """
        weights = PackedWeights(packed, self._connection.ray)
        self.counts[PUBLISH_BYTES] = packed.num_bytes
        self._published, self._known = (weights, version, learned), {}
        await self._loaded_everywhere(weights, version, learned)
        gaps = [slot.proven.gap.mean for slot in self._slots if slot.proven and slot.proven.gap]
        self.counts[GAP] = max(gaps, default=0.0)  # pyright: ignore[reportArgumentType]

    def forget(self) -> None:
        for slot in self._slots:
            if slot.remote is not None:
                slot.remote.forget()

    def take_counts(self) -> dict[str, float]:
        """Return what happened since the last call: metrics by name."""
        counts: dict[str, float] = {MOVED: 0, REPLACED: 0, **self.counts}
        self.counts = Counter()
        return counts

    async def close(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """Ends the engines' processes, and what they depend on."""
        if self._closed:
            return
        self._closed = True
        for slot in self._slots:
            if slot.replacing is not None:
                slot.replacing.cancel()
            if slot.remote is not None:
                slot.remote.kill()
        for close in self.on_close:
            close()

    # ---- places ----

    def _open(self, slot: _Slot) -> None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        settings = self._settings
        remote = self._connection.ray.remote(EngineProcess)
        options = {} if settings.engine_python is None else {"runtime_env": {"py_executable": settings.engine_python}}
        actor = remote.options(
            num_cpus=self._bundle.get("CPU", 0),
            num_gpus=self._bundle.get("GPU", 0),
            # An engine that Ray restarts would sample with its first weights under the newest version's name.
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=10_000,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=slot.number),
            **options,
        ).remote(self._build)
        slot.remote = RemoteEngine(self._connection, actor, self._dtype, f"engine {slot.number}")
        slot.proven = ProvenEngine(slot.remote, self._probe, name=slot.remote.name, seconds=settings.publish_seconds)

    def _lose(self, slot: _Slot, error: BaseException) -> None:
        """An engine is gone, or does not answer: it is ended, and another one takes its place."""
        if slot.proven is not None:
            slot.proven.state = EngineState.STALE
        if slot.remote is not None:
            slot.remote.kill()
        slot.remote = slot.proven = None
        self.counts[REPLACED] += 1
        slot.failures_in_a_row += 1
        if slot.failures_in_a_row > self._settings.max_restarts + 1:
            self._fail(
                ClusterError(
                    f"engine {slot.number} was lost {slot.failures_in_a_row} times in a row, the last time: {error}; "
                    "look at its log under /tmp/ray, or raise cluster.max_restarts"
                )
            )
        elif not self._closed and (slot.replacing is None or slot.replacing.done()):
            slot.replacing = asyncio.create_task(self._replace(slot))

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _replace(self, slot: _Slot) -> None:
        while not self._closed and self._failure is None:
            try:
                self._open(slot)
                if self._weights is not None:
                    await self._bring(slot, self._weights, self._version, self._learned)
                return
            except EngineError as error:
                slot.failures_in_a_row += 1
                if slot.failures_in_a_row > self._settings.max_restarts + 1:
                    self._fail(ClusterError(f"engine {slot.number} cannot be replaced: {error}"))
            except Exception as error:
                self._fail(error)

    async def _bring(self, slot: _Slot, weights: PackedWeights, version: int, learned: Learned | None) -> None:
        """Brings one engine to serve these weights."""
        engine, remote = slot.proven, slot.remote
        assert engine is not None
        assert remote is not None
        if not remote.pid:
            await remote.started()
        if learned is None and engine.gap is None and self._published is not None:
            own, its_version, said = self._published
            await engine.load_weights(own, its_version)
            await engine.prove(self._remembered(said), lambda: iter(own))
        await engine.load_weights(weights, version)
        if learned is None:
            engine.vouch()
        else:
            await engine.prove(self._remembered(learned), lambda: iter(weights))
        if self._version != version or slot.proven is not engine:
            # A newer publish has come meanwhile, and brings this engine its own.
            engine.state = EngineState.STALE
            return
        engine.serve()
        self._wake()

    def _remembered(self, learned: Learned) -> Learned:
        """The learner as it was when it published: an engine that is replaced later is held to what it said then."""
        known = self._known

        async def ask(asked: Sequence[Asked]) -> list[list[float]]:
            if missing := [each for each in dict.fromkeys(asked) if each not in known]:
                known.update(zip(missing, await learned(missing), strict=True))
            return [known[each] for each in asked]

        return ask

    async def _loaded_everywhere(self, weights: PackedWeights, version: int, learned: Learned | None) -> None:
        start = time.perf_counter()
        self._weights, self._version, self._learned = weights, version, learned
        for slot in self._slots:
            if slot.replacing is not None:
                slot.replacing.cancel()
            if slot.remote is None:
                self._open(slot)
        results = await asyncio.gather(
            *(self._bring(slot, weights, version, learned) for slot in self._slots), return_exceptions=True
        )
        for slot, result in zip(self._slots, results, strict=True):
            if isinstance(result, EngineError):
                self._lose(slot, result)
            elif isinstance(result, BaseException):
                raise result
        for slot in self._slots:
            if slot.replacing is not None and not slot.serves:
                await asyncio.gather(slot.replacing, return_exceptions=True)
            if self._failure is not None:
                raise self._failure
            if not slot.serves:
                raise PublishError(f"engine {slot.number} does not serve version {version} after its publish")
        self.counts[PUBLISH_SECONDS] = time.perf_counter() - start  # pyright: ignore[reportArgumentType]

    def _pack(self, weights: Iterable[tuple[str, Tensor]]) -> PackedWeights:
        buffer, table = flat(weights, self._dtype)
        return PackedWeights(Packed(self._connection.ray.put(buffer), table), self._connection.ray)

    async def _serving(self, prompt: tuple[int, ...], until: float) -> _Slot:
        """The engine for a prompt: one that reads it already, else the one with the fewest requests."""
        for waited in itertools.count():
            if self._closed:
                raise EngineError("the engines are closed")
            if self._failure is not None:
                raise self._failure
            changed = self._changed
            serving = [slot for slot in self._slots if slot.serves]
            if serving:
                return min(serving, key=lambda slot: (not slot.prompts[prompt], slot.under_way))
            left = until - time.monotonic()
            if left <= 0:
                raise ClusterError(
                    f"no engine serves after {waited} waits: {[state.value for state in self.states]}; see their logs "
                    "under /tmp/ray, or raise cluster.start_seconds"
                )
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                continue
        raise AssertionError
