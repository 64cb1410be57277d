"""targets_of: tasks with what an attacker may know about the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from assay.audit.attacks import Target, same
from assay.types import Task
from assay.verifiers import Verifier


def targets_of(reward: Verifier, tasks: Sequence[Task]) -> list[Target]:
    """Return each task with its right response, those of others and the commonest, as a reward reads them."""
    golds = [reward.gold_response(task) or "" for task in tasks]
    counted = Counter(gold for gold in golds if gold).most_common()
    commonest = counted[0][0] if counted and counted[0][1] > 1 else ""
    targets: list[Target] = []
    for place, (task, gold) in enumerate(zip(tasks, golds, strict=True)):
        after = [*golds[place + 1 :], *golds[:place]]
        others = tuple(dict.fromkeys(other for other in after if other and not same(other, gold)))
        targets.append(Target(task, gold, others, commonest))
    return targets
