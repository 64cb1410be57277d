"""Resources that verifiers hold open while they score, their counts, and how they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from assay.observe.metrics import metric
from assay.verifiers.judge_endpoint import judge_metrics
from assay.verifiers.trl import LoggedMetrics, TRLReward
from assay.verifiers.verifier import Verifier, verifiers_in

LOGGED = metric("reward/logged/NAME", "Mean of what a reward function of TRL's signature logged by log_metric.")


def tell_progress(verifiers: Iterable[Verifier], step: int, num_steps: int) -> None:
    """Tells the verifiers that follow training how far it has come.

    Args:
        step: steps made.
        num_steps: steps to make in all.
    """
    for verifier in verifiers:
        for each in verifiers_in(verifier):
            each.follow(step, num_steps)


async def close_verifiers(verifiers: Iterable[Verifier]) -> None:
    """Ends the sandboxes of verifiers, and takes in what their judges were asked in the running event loop."""
    await asyncio.gather(*(each.close() for verifier in verifiers for each in verifiers_in(verifier)))


def verifier_metrics(verifier: Verifier) -> dict[str, float]:
    """Return what a verifier and its parts counted in this process; empty for those that count nothing."""
    metrics = judge_metrics(verifier)
    metrics |= _logged(verifier)
    for each in verifiers_in(verifier):
        for name, count in each.counts().items():
            metrics[name] = metrics.get(name, 0.0) + count
    return metrics


def _logged(verifier: Verifier) -> dict[str, float]:
    """Means of what functions of TRL's signature logged since this was last asked."""
    all_of_them = LoggedMetrics()
    for each in verifiers_in(verifier):
        if isinstance(each, TRLReward):
            all_of_them.merge(each.logged)
    return {LOGGED.replace("NAME", name): mean for name, mean in all_of_them.take().items()}
