"""A packed batch unpacked again: one row a sample, right-padded, for models that know no shared prompts.

Shape letters: B rows of a chunk, L tokens of its longest row, N predictions of the batch, n those of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.types import Batch

MAX_LENGTH_RATIO = 1.25
"""PaddedRows of one chunk differ in length at most by this factor, so that padding costs at most a fifth."""
MAX_CHUNK_TOKENS = 8192


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """Some samples of a batch as padded rows. Right-padded: a causal model's real tokens never see the padding, so it
    needs no mask."""

    token_ids: Tensor
    """[B, L] int64, 0 where padded."""
    predictions: Tensor
    """[n] int64 into N: which predictions these rows hold."""
    rows: Tensor
    """[n] int64 into B."""
    columns: Tensor
    """[n] int64 into L: the token that each is predicted from."""


def padded_rows(batch: Batch, *, together: bool = False) -> list[PaddedRows]:
    """Every prediction of a batch once, in chunks of rows of similar length.

    Args:
        together: all rows in one chunk, however much of it is padding: ranks that share layers must make as many passes
            as each other.
    """
    starts = torch.searchsorted(
        batch.segment_ids, torch.arange(len(batch.prefix_segments) + 1, device=batch.segment_ids.device)
    )
    bounds = starts.tolist()
    prefixes = batch.prefix_segments.tolist()
    per_sequence = torch.arange(batch.num_predictions, device=batch.token_ids.device).split(
        batch.sequence_lengths.tolist()
    )
    sequences: list[tuple[Tensor, Tensor]] = []
    for predictions in per_sequence:
        segment = int(batch.segment_ids[batch.predict_from[predictions[-1]]])
        pieces = [batch.token_ids[bounds[segment] : bounds[segment + 1]]]
        while (prefix := prefixes[segment]) != segment:
            pieces.insert(0, batch.token_ids[bounds[prefix] : bounds[prefix + 1]])
            segment = prefix
        sequences.append((torch.cat(pieces), predictions))
    return [_pad(batch, chunk) for chunk in ([sequences] if together else _chunks(sequences))]


def _chunks(sequences: Sequence[tuple[Tensor, Tensor]]) -> list[list[tuple[Tensor, Tensor]]]:
    """Split sequences into chunks, longest first, so that what does not fit in memory fails at once."""
    chunks: list[list[tuple[Tensor, Tensor]]] = []
    for sequence in sorted(sequences, key=lambda sequence: -len(sequence[0])):
        longest = len(chunks[-1][0][0]) if chunks else 0
        full = not chunks or (len(chunks[-1]) + 1) * longest > MAX_CHUNK_TOKENS
        if full or longest > MAX_LENGTH_RATIO * len(sequence[0]):
            chunks.append([])
        chunks[-1].append(sequence)
    return chunks


def _pad(batch: Batch, chunk: Sequence[tuple[Tensor, Tensor]]) -> PaddedRows:
    token_ids = torch.nn.utils.rnn.pad_sequence([tokens for tokens, _ in chunk], batch_first=True)
    predictions = torch.cat([predictions for _, predictions in chunk])
    counts = torch.tensor([len(predictions) for _, predictions in chunk], device=predictions.device)
    rows = torch.arange(len(chunk), device=predictions.device).repeat_interleave(counts)
    return PaddedRows(token_ids, predictions, rows, batch.position_ids[batch.predict_from[predictions]])
