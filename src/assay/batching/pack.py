"""Packing of samples into micro-batches: no padding, and what several samples begin with is laid down once.

    samples   [prompt A, a1] [prompt A, a2] [prompt B, b1]
    packed    | prompt A | a1 | a2 | prompt B, b1 |
    segments       0        1    2        3            prefix_segments = [0, 0, 0, 3]

So are a system message that all prompts begin with, and the turns that forks of one rollout have in common, sampled
tokens included: the samples of a micro-batch form a tree of segments (`tree.py`).

    samples   [system, A, a1] [system, A, a2] [system, B, b1, said, b2] [system, B, b1, told, b3]
    packed    | system | A | a1 | a2 | B, b1 | said, b2 | told, b3 |
    segments      0      1    2    3     4        5          6          prefix_segments = [0, 0, 1, 1, 0, 4, 4]

The loss and its gradient are what the samples give one by one: `tests/invariants/test_packing.py` holds it to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay.batching.tree import SegmentTree
from assay.types import ANNOTATIONS, Batch, CreditedSample, Sample


@dataclass(frozen=True, eq=False)
class _Piece:
    """A sample as it is laid down: what comes after its last prediction's context is left out."""

    sample_id: int
    sample: Sample
    context: np.ndarray
    """[C] int64, every token that some prediction of this sample needs; the last target itself is not one of them."""
    target_positions: np.ndarray
    """[n] int64, where the trained-on tokens stand in the sample."""

    @property
    def prompt_length(self) -> int:
        return int(self.target_positions[0])

    @classmethod
    def of(cls, sample_id: int, sample: Sample) -> _Piece:
        token_ids = sample.token_ids.cpu().numpy()
        targets = np.flatnonzero(sample.loss_mask.cpu().numpy())
        return cls(sample_id, sample, token_ids[: targets[-1]], targets)


def pack(
    samples: Sequence[Sample], max_tokens: int, num_minibatches: int = 1, *, share_prompts: bool = True
) -> list[list[Batch]]:
    """Minibatches, each a list of micro-batches; one minibatch is one update.

    Samples of one unit (`Sample.unit_id`) are never split between micro-batches.

    Minibatches are runs of whole groups in the order given, their numbers of groups differing by at most one. They are
    split by count and not by tokens, so that the length of responses does not decide what falls into which update.
    Micro-batches are filled in order, which keeps a group's samples together. Groups without any credit (all members
    earned the same) come last, in micro-batches of their own: they need no backward pass. A sample without a trained-on
    token is left out.

    Args:
        samples: with or without credit; `Batch.sample_ids` gives places in this list.
        max_tokens: packed tokens a micro-batch may hold. A longer unit gets a micro-batch of its own.
        num_minibatches: updates per pass; fewer come back where there are fewer groups.
        share_prompts: lay what several samples of a micro-batch begin with down once for all of them.

    Raises:
        ValueError: max_tokens or num_minibatches below 1; only some of the samples have credit, or an annotation.
    """
    if max_tokens < 1 or num_minibatches < 1:
        raise ValueError(f"max_tokens and num_minibatches must be at least 1, got {max_tokens} and {num_minibatches}")
    pieces = [_Piece.of(i, sample) for i, sample in enumerate(samples) if bool(sample.loss_mask.any())]
    for name in ("advantages", "returns", "reference_point", *ANNOTATIONS):
        if len({getattr(piece.sample, name, None) is None for piece in pieces}) > 1:
            raise ValueError(f"either all samples have {name}, or none has")
    return [
        [
            _lay_down(micro_batch, share_prompts)
            for part in _split_by_credit(minibatch)
            for micro_batch in _fill(part, max_tokens, share_prompts)
        ]
        for minibatch in _split_by_groups(pieces, num_minibatches)
    ]


def _split_by_groups(pieces: list[_Piece], num_minibatches: int) -> list[list[_Piece]]:
    groups: dict[int, list[_Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.sample.group_id, []).append(piece)
    ordered = list(groups.values())
    count = min(num_minibatches, len(ordered))
    return [
        [piece for group in ordered[i * len(ordered) // count : (i + 1) * len(ordered) // count] for piece in group]
        for i in range(count)
    ]


def _split_by_credit(pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    """Pieces of groups with some credit (or of samples that carry none yet), and of those with none at all."""
    with_credit = {
        piece.sample.group_id
        for piece in pieces
        if not isinstance(piece.sample, CreditedSample) or bool(piece.sample.advantages.any())
    }
    return (
        [piece for piece in pieces if piece.sample.group_id in with_credit],
        [piece for piece in pieces if piece.sample.group_id not in with_credit],
    )


def _fill(pieces: list[_Piece], max_tokens: int, share_prompts: bool) -> list[list[_Piece]]:
    """Splits pieces, in order, into runs of at most `max_tokens` packed tokens."""
    runs: list[list[_Piece]] = []
    tree = SegmentTree(share_prompts)
    for unit in _units(pieces):
        _add(tree, unit)
        if not runs or tree.num_tokens > max_tokens:
            runs.append([])
            # The first unit of a micro-batch lays down itself what it shares with those before.
            tree = SegmentTree(share_prompts)
            _add(tree, unit)
        runs[-1] += unit
    return runs


def _add(tree: SegmentTree, pieces: list[_Piece]) -> None:
    for piece in pieces:
        tree.add(piece.context, piece.prompt_length)


def _unit(piece: _Piece) -> tuple[int, int | None, int | None]:
    """The same for pieces of one unit."""
    sample = piece.sample
    return (sample.group_id, sample.unit_id, piece.sample_id if sample.unit_id is None else None)


def _units(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Pieces by unit, units in the order of their first piece."""
    units: dict[tuple[int, int | None, int | None], list[_Piece]] = {}
    for piece in pieces:
        units.setdefault(_unit(piece), []).append(piece)
    return list(units.values())


def _turn_lengths(sample: Sample) -> Tensor:
    """[n] trained-on tokens of the turn of each trained-on token."""
    mask = sample.loss_mask.cpu()
    if sample.turn_ids is None:
        return mask.sum().repeat(int(mask.sum()))
    _, places, lengths = sample.turn_ids.cpu()[mask].unique(return_inverse=True, return_counts=True)
    return lengths[places]


def _lay_down(pieces: list[_Piece], share_prompts: bool) -> Batch:
    tree = SegmentTree(share_prompts)
    _add(tree, pieces)
    layout = tree.lay_down()
    predict_from = [layout.places(number, piece.target_positions - 1) for number, piece in enumerate(pieces)]
    samples = [piece.sample for piece in pieces]
    units = {unit: number for number, unit in enumerate(dict.fromkeys(map(_unit, pieces)))}
    lengths = np.array([len(piece.target_positions) for piece in pieces])
    segment_lengths = [len(tokens) for tokens in layout.tokens]
    positions = [
        np.arange(start, start + len(tokens)) for start, tokens in zip(layout.starts, layout.tokens, strict=True)
    ]

    def gather(tensors: list[Tensor]) -> Tensor:
        return torch.cat([t.cpu()[s.loss_mask.cpu()] for t, s in zip(tensors, samples, strict=True)])

    def integers(values: np.ndarray | list[int]) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.int64))

    sampling_logprobs = gather([sample.sampling_logprobs for sample in samples])
    credited = [sample.advantages for sample in samples if isinstance(sample, CreditedSample)]

    points = [sample.reference_point for sample in samples if sample.reference_point is not None]

    def optional(name: str) -> Tensor | None:
        found = [value for sample in samples if (value := getattr(sample, name, None)) is not None]
        return gather(found) if found else None

    return Batch(
        token_ids=integers(np.concatenate(layout.tokens)),
        position_ids=integers(np.concatenate(positions)),
        segment_ids=integers(np.repeat(np.arange(len(segment_lengths)), segment_lengths)),
        prefix_segments=integers(layout.prefixes),
        predict_from=integers(np.concatenate(predict_from)),
        target_ids=gather([sample.token_ids for sample in samples]),
        sequence_ids=integers(np.repeat(np.arange(len(pieces)), lengths)),
        sampling_logprobs=sampling_logprobs,
        advantages=gather(credited) if credited else torch.zeros_like(sampling_logprobs),
        proximal_logprobs=optional("proximal_logprobs"),
        reference_logprobs=optional("reference_logprobs"),
        values=optional("values"),
        returns=optional("returns"),
        sequence_lengths=integers(lengths),
        sequence_weights=torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
        group_ids=integers([sample.group_id for sample in samples]),
        unit_ids=integers([units[_unit(piece)] for piece in pieces]),
        member_ids=integers([sample.member for sample in samples]),
        sample_ids=integers([piece.sample_id for piece in pieces]),
        reference_points=torch.tensor(points, dtype=torch.float32) if points else None,
        turn_lengths=torch.cat([_turn_lengths(sample) for sample in samples]),
    )
