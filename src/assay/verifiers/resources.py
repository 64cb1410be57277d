"""What verifiers hold open while they score, what they count, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from assay.verifiers.code import Code
from assay.verifiers.judge import close_judges, judge_metrics
from assay.verifiers.verifier import Verifier


def codes_in(verifiers: Iterable[Verifier]) -> Iterator[Code]:
    """Every code verifier among verifiers and their parts."""
    for verifier in verifiers:
        if isinstance(verifier, Code):
            yield verifier
        yield from codes_in(part.verifier for part in getattr(verifier, "parts", {}).values())


async def close_verifiers(verifiers: Iterable[Verifier]) -> None:
    """Ends the sandboxes of verifiers, and takes in what their judges were asked in the running event loop."""
    verifiers = list(verifiers)
    await asyncio.gather(close_judges(verifiers), *(code.close() for code in codes_in(verifiers)))


def verifier_metrics(verifier: Verifier) -> dict[str, float]:
    """What a verifier and its parts counted in this process; empty for those that count nothing."""
    metrics = judge_metrics(verifier)
    for code in codes_in([verifier]):
        for name, count in code.tally.counts.items():
            metrics[name] = metrics.get(name, 0.0) + count
    return metrics
