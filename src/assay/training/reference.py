"""Log-probabilities under the model that training began with, of responses that are given: computed once, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay.errors import CheckpointError, ContractError
from assay.types import Sample

_KEY_BYTES = 16


class ReferenceLogprobs:
    """What the reference says of each trained-on token of samples, by the samples' own tokens.

    Args:
        path: the file in the run folder; read where it is there.

    Raises:
        CheckpointError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[bytes, Tensor] = {}
        if path.exists():
            try:
                stored = load_file(path)
                pieces = stored["logprobs"].split(stored["lengths"].tolist())
                keys = [bytes(key) for key in stored["keys"].numpy()]
            except (OSError, SafetensorError, KeyError) as error:
                raise CheckpointError(f"{path} cannot be read ({error}); delete it, and it is computed again") from None
            self._known = dict(zip(keys, pieces, strict=True))

    def __len__(self) -> int:
        return len(self._known)

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples that nothing is known of, each once."""
        return [sample for key, sample in {_key(s): s for s in samples}.items() if key not in self._known]

    def add(self, samples: Sequence[Sample], compute: Callable[[list[Sample]], list[Sample]]) -> None:
        """Take what `compute` annotates samples with, as `reference_logprobs`."""
        for sample in compute(list(samples)):
            assert sample.reference_logprobs is not None
            self._known[_key(sample)] = sample.reference_logprobs[sample.loss_mask].float().cpu()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if not self._known:
            return
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        keys = np.frombuffer(b"".join(self._known), dtype=np.uint8).reshape(-1, _KEY_BYTES)
        tensors = {
            "keys": torch.from_numpy(keys.copy()),
            "lengths": torch.tensor([len(piece) for piece in self._known.values()]),
            "logprobs": torch.cat(list(self._known.values())),
        }
        save_file(tensors, temporary)
        temporary.replace(self._path)

    def annotate(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples with `reference_logprobs`.

        Raises:
            ContractError: nothing is known of one.
        """
        annotated = []
        for sample in samples:
            known = self._known.get(_key(sample))
            if known is None:
                raise ContractError(
                    f"the reference's log-probabilities of rollout {sample.member} of group {sample.group_id} were not "
                    "computed before training"
                )
            whole = torch.zeros(len(sample.token_ids))
            whole[sample.loss_mask] = known
            annotated.append(sample.replace(reference_logprobs=whole))
        return annotated


def _key(sample: Sample) -> bytes:
    content = sample.token_ids.cpu().numpy().tobytes() + sample.loss_mask.cpu().numpy().tobytes()
    return hashlib.sha256(content).digest()[:_KEY_BYTES]
