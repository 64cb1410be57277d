"""Ranks of a learner as processes on this machine, joined by gloo: started once for all tests of a module."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

from assay.cluster.ranks import free_port


def _serve(rank: int, world: int, seconds: float, pipe: Any) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    import torch.distributed.fsdp

    from assay.training.sharding import joined

    torch.set_num_threads(1)
    # What is imported takes longer on a busy machine than the others are waited for.
    pipe.send("ready")
    address = pipe.recv()
    with joined(address, rank, world, seconds=seconds) as ranks:
        while (asked := pipe.recv()) is not None:
            function, arguments = asked
            try:
                pipe.send((function(ranks, *arguments), None))
            except BaseException as error:
                pipe.send((None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


class GlooRanks:
    """`world` processes that call the same function, each with its `ProcessRanks`."""

    def __init__(self, world: int, seconds: float = 60.0) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for rank in range(world):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, world, seconds, theirs), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)
        for pipe in self.pipes:
            assert pipe.poll(120), "a rank did not start"
            assert pipe.recv() == "ready"
        address = f"127.0.0.1:{free_port('127.0.0.1')}"
        for pipe in self.pipes:
            pipe.send(address)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        for pipe in self.pipes:
            pipe.send((function, arguments))

    def answer(self, rank: int, timeout: float = 120.0) -> Any:
        if not self.pipes[rank].poll(timeout):
            raise TimeoutError(f"rank {rank} said nothing for {timeout} s")
        value, error = self.pipes[rank].recv()
        if error:
            raise AssertionError(f"rank {rank}: {error}")
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What the function returned on each rank."""
        self.ask(function, *arguments)
        return [self.answer(rank) for rank in range(len(self.pipes))]

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            if process.is_alive():
                with contextlib.suppress(OSError):
                    pipe.send(None)
        for process in self.processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join(10)
