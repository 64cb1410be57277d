"""Engines in processes of their own behind one `Engine`: requests are shared out, the dead are replaced, and their
requests go to others. Only an engine whose weights were proved gets any."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from assay.engines.engine import Engine, EngineCapabilities, Sampling
from assay.engines.proof import Asked, EngineState, Learned, Probe, ProvenEngine
from assay.errors import AssayError, ClusterError, EngineError, PublishError
from assay.observe.metrics import metric
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor

MOVED = metric("engine/moved_requests", "Requests of this step whose engine was lost, and that another one answered.")
REPLACED = metric("engine/replaced", "Engines that were lost in this step, and replaced.")
GAP = metric(
    "engine/probe_gap_nats",
    "Mean |engine's log-probability - learner's| over the fixed prompts that engines are probed with after a publish; "
    "the largest over the engines.",
)
PUBLISH_SECONDS = metric("time/publish_seconds", "Wall clock of the last publish: weights gathered, sent and proved.")
BUSY_SECONDS = metric(
    "time/engines_busy_seconds",
    "Wall clock of the step in which engines had requests under way; more than the step without its update and publish "
    "where sampling overlaps them.",
)
PUBLISH_BYTES = metric("engine/publish_bytes", "Bytes of the weights in one publish.")


PAUSE_SECONDS = 2.0
"""Pause, for each failure in a row, before an engine is opened again."""


class FarEngine(Engine, Protocol):
    """An engine in another process. Whatever happens to that process is an EngineError here, in a bounded time."""

    pid: int
    """Its process; 0 until it is there."""

    async def started(self) -> None:
        """Returns when the engine is there."""
        ...

    def kill(self) -> None:
        """Ends its process."""
        ...


class SentWeights(Protocol):
    """Weights that lie where engines read them: (name, tensor) of each for everybody else."""

    num_bytes: int

    def __iter__(self) -> Iterator[tuple[str, Tensor]]: ...


@dataclass(frozen=True)
class PoolLimits:
    """The longest waits of a pool, and how often it mends itself."""

    max_restarts: int = 2
    """How often in a row an engine may be lost before it was of use."""
    start_seconds: float = 300.0
    request_seconds: float = 600.0
    publish_seconds: float = 300.0
    remedy: str = ""
    """What a person can do where engines keep dying."""


@dataclass
class _Slot:
    """One place for an engine, and the engine that is there now."""

    number: int
    far: FarEngine | None = None
    proven: ProvenEngine | None = None
    under_way: int = 0
    failures_in_a_row: int = 0
    replacing: asyncio.Task[None] | None = None
    prompts: Counter[tuple[int, ...]] = field(default_factory=Counter)
    """Prompts that it reads now: a group's requests go to one engine, which computes their prompt once."""

    @property
    def serves(self) -> bool:
        return self.proven is not None and self.proven.state is EngineState.SERVING


class EnginePool:
    """Engines in other processes as one; implements `Engine`.

    Args:
        open_far: number of a place to an engine there, whose weights nobody has published.
        pack: weights to where engines read them, in the dtype that is served.
        probe: what each is asked after a publish.
        first: published before the first request, where nothing else was: weights, their version, and what the learner
            says of tokens under them.
        name: what errors call an engine.
    """

    def __init__(
        self,
        open_far: Callable[[int], FarEngine],
        num_engines: int,
        pack: Callable[[Iterable[tuple[str, Tensor]]], SentWeights],
        probe: Probe,
        limits: PoolLimits,
        *,
        first: tuple[Iterable[tuple[str, Tensor]], int, Learned] | None = None,
        name: str = "engine {}",
    ) -> None:
        self._open_far, self._pack, self._probe, self._limits = open_far, pack, probe, limits
        self._name = name
        self._slots = [_Slot(number) for number in range(num_engines)]
        for slot in self._slots:
            self._open(slot)
        self._weights: SentWeights | None = None
        self._version = -1 if first is None else first[1]
        self._learned: Learned | None = None
        self._first = first
        self._own = None if first is None else first[2]
        self._beginning = asyncio.Lock()
        self._published: tuple[SentWeights, int, Learned] | None = None
        """The last publish of the learner's own weights, which prove the way to an engine that is new."""
        self._known: dict[Asked, list[float]] = {}
        """What the learner said of tokens, under the weights that were published last."""
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._closed = False
        self._num_asked, self._busy_seconds, self._counted_at = 0, 0.0, time.monotonic()
        self.counts: Counter[str] = Counter()
        self.on_close: list[Callable[[], None]] = []
        """What is closed after the engines."""

    @property
    def capabilities(self) -> EngineCapabilities:
        known = [slot.far.capabilities for slot in self._slots if slot.far is not None]
        return known[0] if known else EngineCapabilities()

    @property
    def version(self) -> int:
        return self._version

    @property
    def pids(self) -> list[int]:
        """Process ids of the engines that are there."""
        return [slot.far.pid for slot in self._slots if slot.far is not None]

    @property
    def states(self) -> list[EngineState]:
        """The state of each engine."""
        return [EngineState.STALE if slot.proven is None else slot.proven.state for slot in self._slots]

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`. A request whose engine is lost goes to another, from its first token on: with the same
        seed an engine of ours samples the same tokens.

        Raises:
            PublishError: the weights did not arrive.
            ClusterError: an engine could not be replaced.
        """
        await self._begun()
        prompt, failed = tuple(prompt_ids), 0
        until = time.monotonic() + self._limits.start_seconds + self._limits.request_seconds
        while True:
            slot = await self._serving(prompt, until)
            engine, far = slot.proven, slot.far
            assert engine is not None
            self._count_busy(1)
            slot.under_way += 1
            slot.prompts[prompt] += 1
            try:
                completion = await engine.generate(prompt, sampling, request_id=request_id, seed=seed)
            except EngineError as error:
                failed += 1
                if failed > self._limits.max_restarts + len(self._slots):
                    raise
                if slot.far is far and engine.state is EngineState.SERVING:
                    self._lose(slot, error)
                self.counts[MOVED] += 1
                continue
            finally:
                self._count_busy(-1)
                slot.under_way -= 1
                slot.prompts[prompt] -= 1
                slot.prompts += Counter()
            slot.failures_in_a_row = 0
            return completion

    async def abort(self, request_id: str) -> None:
        await asyncio.gather(*(slot.proven.abort(request_id) for slot in self._slots if slot.proven and slot.serves))

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Sends weights that the learner does not hold (for a measurement), over the way that was proved before."""
        await self._begun()
        await self._loaded_everywhere(self._pack(weights), version, None)

    async def publish(
        self, weights: SentWeights | Iterable[tuple[str, Tensor]], version: int, learned: Learned | None = None
    ) -> None:
        """Sends the learner's weights to every engine; returns when all serve them.

        Args:
            weights: sent already where they have `num_bytes`.
            learned: what the learner says of tokens under these weights; None for the learner of `first`.

        Raises:
            PublishError: they did not arrive.
            ClusterError: an engine could not be replaced.
        """
        learned = learned or self._own
        assert learned is not None, "nobody can say what these weights should give"
        self._first = None
        start = time.perf_counter()
        sent: SentWeights = weights if hasattr(weights, "num_bytes") else self._pack(weights)  # pyright: ignore
        self.counts[PUBLISH_BYTES] = sent.num_bytes
        self._published, self._known = (sent, version, learned), {}
        await self._loaded_everywhere(sent, version, learned)
        gaps = [slot.proven.gap.mean for slot in self._slots if slot.proven and slot.proven.gap]
        self.counts[GAP] = max(gaps, default=0.0)  # pyright: ignore[reportArgumentType]
        self.counts[PUBLISH_SECONDS] = time.perf_counter() - start  # pyright: ignore[reportArgumentType]

    def forget(self) -> None:
        for slot in self._slots:
            if slot.far is not None:
                slot.far.forget()

    def take_counts(self) -> dict[str, float]:
        """Return what happened since the last call: metrics by name."""
        self._count_busy(0)
        counts: dict[str, float] = {MOVED: 0, REPLACED: 0, BUSY_SECONDS: self._busy_seconds, **self.counts}
        self.counts, self._busy_seconds = Counter(), 0.0
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
            if slot.far is not None:
                slot.far.kill()
        for close in self.on_close:
            close()

    def _count_busy(self, change: int) -> None:
        """Counts the time until now in which anything was asked, and how many requests there are from now on."""
        now = time.monotonic()
        self._busy_seconds += now - self._counted_at if self._num_asked else 0.0
        self._counted_at, self._num_asked = now, self._num_asked + change

    # ---- places ----

    async def _begun(self) -> None:
        """Publishes what is to be sampled from at first, once."""
        if self._first is None:
            return
        async with self._beginning:
            if self._first is not None:
                if self._failure is not None:
                    raise self._failure
                try:
                    await self.publish(*self._first)
                except BaseException as error:
                    if not isinstance(error, asyncio.CancelledError):
                        self._fail(error)
                    raise

    def _open(self, slot: _Slot) -> None:
        slot.far = self._open_far(slot.number)
        slot.proven = ProvenEngine(
            slot.far, self._probe, name=self._name.format(slot.number), seconds=self._limits.publish_seconds
        )

    def _lose(self, slot: _Slot, error: BaseException) -> None:
        """An engine is gone, or does not answer: it is ended, and another one takes its place."""
        if slot.proven is not None:
            slot.proven.state = EngineState.STALE
        if slot.far is not None:
            slot.far.kill()
        slot.far = slot.proven = None
        self.counts[REPLACED] += 1
        slot.failures_in_a_row += 1
        if slot.failures_in_a_row > self._limits.max_restarts + 1:
            self._fail(
                ClusterError(
                    f"{self._name.format(slot.number)} was lost {slot.failures_in_a_row} times in a row, the last "
                    f"time: {error}; {self._limits.remedy}"
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
                if slot.far is not None:
                    slot.far.kill()
                # A publish that comes meanwhile opens another one.
                slot.far = slot.proven = None
                slot.failures_in_a_row += 1
                if slot.failures_in_a_row > self._limits.max_restarts + 1:
                    self._fail(
                        ClusterError(
                            f"{self._name.format(slot.number)} cannot be replaced: {error}; {self._limits.remedy}"
                        )
                    )
                    return
                # A node that is lost is noticed late: until then its places look free.
                await asyncio.sleep(PAUSE_SECONDS * slot.failures_in_a_row)
            except Exception as error:
                self._fail(error)

    async def _bring(self, slot: _Slot, weights: SentWeights, version: int, learned: Learned | None) -> None:
        """Brings one engine to serve these weights."""
        engine, far = slot.proven, slot.far
        assert engine is not None
        assert far is not None
        if not far.pid:
            await far.started()
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

        async def ask(asked: Sequence[Asked]) -> list[list[float] | None]:
            if missing := [each for each in dict.fromkeys(asked) if each not in known]:
                said = zip(missing, await learned(missing), strict=True)
                known.update((each, values) for each, values in said if values is not None)
            return [known.get(each) for each in asked]

        return ask

    async def _loaded_everywhere(self, weights: SentWeights, version: int, learned: Learned | None) -> None:
        self._weights, self._version, self._learned = weights, version, learned
        for slot in self._slots:
            if slot.replacing is not None:
                slot.replacing.cancel()
            if slot.far is None:
                self._open(slot)
        results = await asyncio.gather(
            *(self._bring(slot, weights, version, learned) for slot in self._slots), return_exceptions=True
        )
        for slot, result in zip(self._slots, results, strict=True):
            if isinstance(result, EngineError):
                self._lose(slot, result)
            elif isinstance(result, BaseException):
                if isinstance(result, AssayError):
                    # Nobody is to wait for weights that will not come.
                    self._fail(result)
                raise result
        for slot in self._slots:
            if slot.replacing is not None and not slot.serves:
                await asyncio.gather(slot.replacing, return_exceptions=True)
            if self._failure is not None:
                raise self._failure
            if not slot.serves:
                raise PublishError(
                    f"{self._name.format(slot.number)} does not serve version {version} after its publish"
                )

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
                    f"no engine serves after {waited} waits: {[state.value for state in self.states]}; "
                    f"{self._limits.remedy}"
                )
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                continue
        raise AssertionError
