"""Engines as Ray actors, in a pool that replaces the dead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assay.cluster.connect import Bundle, RayConnection
from assay.cluster.settings import ClusterSettings
from assay.cluster.weights import Entry, Packed, packed, tensors
from assay.engines import Engine, EngineCapabilities, Probe, Sampling
from assay.engines.pool import EnginePool, PoolLimits
from assay.errors import AssayError, EngineError, PublishError
from assay.types import Completion

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class EngineProcess:
    """One engine, in its process.

    Args:
        build: () to an engine, which holds weights that nobody has published.
    """

    def __init__(self, build: Callable[[], Engine]) -> None:
        self._build = build
        self._names: set[str] = set()

    @cached_property
    def _engine(self) -> Engine:
        # Not in the constructor: of an error there Ray says no more than that the process is gone.
        return self._build()

    async def describe(self) -> tuple[EngineCapabilities, int, int]:
        """Its abilities, its version, its process id.

        Raises:
            ConfigError: an engine that cannot be had here.
            ModelError: one that does not open this model.
        """
        started = getattr(self._engine, "started", None)
        if started is not None:
            # It is in a process of its own once more.
            await started()
        return self._engine.capabilities, self._engine.version, os.getpid()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, seed: int) -> Completion:
        return await self._engine.generate(prompt_ids, sampling, request_id=request_id, seed=seed)

    async def abort(self, request_id: str) -> None:
        await self._engine.abort(request_id)

    async def load(self, buffer: Any, table: Sequence[Entry], name: str, version: int) -> int:
        """Take weights that come under a name that was never used before; returns the version that is served then.

        Raises:
            PublishError: the name was used, so that these may be older weights; or other bytes arrived.
        """
        if name in self._names:
            raise PublishError(f"version {version} came as {name}, which was loaded before: weights are sent once")
        self._names.add(name)
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
        sent = weights.packed if isinstance(weights, PackedWeights) else packed(weights, self._dtype, self._ray)
        loading = self._actor.load.remote(sent.reference, sent.table, sent.name, version)
        self.version = await self._answer(loading, self._settings.publish_seconds)

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
        self.num_bytes = packed.num_bytes

    def __iter__(self) -> Any:
        return tensors(self._ray.get(self.packed.reference, timeout=600), self.packed.table)


def limits_of(settings: ClusterSettings) -> PoolLimits:
    """The limits of a pool as a cluster's settings have them."""
    return PoolLimits(
        settings.max_restarts,
        settings.start_seconds,
        settings.request_seconds,
        settings.publish_seconds,
        "look at its log under /tmp/ray, or raise cluster.max_restarts or cluster.start_seconds",
    )


class ClusterEngine(EnginePool):
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
        settings = connection.settings
        self._connection, self._build, self._bundle, self._dtype = connection, build, bundle, dtype
        self._group = connection.place([bundle] * settings.num_engines, f"{settings.num_engines} engines")

        def pack(weights: Iterable[tuple[str, Tensor]]) -> PackedWeights:
            return PackedWeights(packed(weights, dtype, connection.ray), connection.ray)

        super().__init__(self._placed, settings.num_engines, pack, probe, limits_of(settings))

    def _placed(self, number: int) -> RemoteEngine:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        settings = self._connection.settings
        remote = self._connection.ray.remote(EngineProcess)
        options = {} if settings.engine_python is None else {"runtime_env": {"py_executable": settings.engine_python}}
        actor = remote.options(
            num_cpus=self._bundle.get("CPU", 0),
            num_gpus=self._bundle.get("GPU", 0),
            # An engine that Ray restarts would sample with its first weights under the newest version's name.
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=10_000,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=number),
            **options,
        ).remote(self._build)
        return RemoteEngine(self._connection, actor, self._dtype, f"engine {number}")
