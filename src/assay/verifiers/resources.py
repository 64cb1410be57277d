"""What verifiers hold open while they score, what they count, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from assay.verifiers.judge import judge_metrics
from assay.verifiers.verifier import Verifier, verifiers_in


async def close_verifiers(verifiers: Iterable[Verifier]) -> None:
    """Ends the sandboxes of verifiers, and takes in what their judges were asked in the running event loop."""
    await asyncio.gather(*(each.close() for verifier in verifiers for each in verifiers_in(verifier)))


def verifier_metrics(verifier: Verifier) -> dict[str, float]:
    """What a verifier and its parts counted in this process; empty for those that count nothing."""
    metrics = judge_metrics(verifier)
    for each in verifiers_in(verifier):
        for name, count in each.counts().items():
            metrics[name] = metrics.get(name, 0.0) + count
    return metrics
