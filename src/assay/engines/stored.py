"""Weights in a file in memory, which other processes of this machine read by its path, and which ends with ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import EngineError
from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor

ROOM_BYTES = 64 * 2**20
"""Shared memory that is left to others."""


class StoredWeights:
    """Weights as safetensors in memory of this machine, floats in one dtype.

    Nothing is left behind when this process is killed: once written, the file has no name but that of its descriptor.

    Args:
        weights: (name, tensor) of each.
        dtype: of the floats among them.

    Raises:
        EngineError: they cannot be kept in memory.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {}
        for name, tensor in weights:
            value = tensor.detach().cpu()
            tensors[name] = (value.to(dtype) if value.is_floating_point() else value).contiguous()
        self.num_bytes = sum(tensor.nbytes for tensor in tensors.values())
        """Bytes of all tensors."""
        folder = Path(tempfile.mkdtemp(prefix="assay-weights-", dir=_roomy(self.num_bytes)))
        try:
            save_file(tensors, folder / "weights")
            self._file = os.open(folder / "weights", os.O_RDONLY)
        except (OSError, SafetensorError) as error:
            raise EngineError(
                f"{self.num_bytes / 1e9:.1f} GB of weights cannot be written to {folder.parent}: {error}; free some "
                "room there"
            ) from None
        finally:
            # It lives as long as its descriptor.
            shutil.rmtree(folder, ignore_errors=True)
        self.path = f"/proc/{os.getpid()}/fd/{self._file}"
        """Where other processes of the same user read it."""

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            names = file.keys()
            for name in names:
                yield name, file.get_tensor(name)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


def _roomy(num_bytes: int) -> str:
    """Shared memory where it has room, or else the folder for temporary files."""
    memory = "/dev/shm"
    if os.path.isdir(memory) and shutil.disk_usage(memory).free > num_bytes + ROOM_BYTES:
        return memory
    return tempfile.gettempdir()
