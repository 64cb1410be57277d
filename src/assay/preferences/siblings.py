"""Pairs from a run: two different responses of one group, drawn without a look at what they earned."""

from __future__ import annotations

import random

from assay.observe.records import RolloutRecord
from assay.observe.store import RunStore
from assay.preferences.pair import Pair
from assay.seeds import derive_seed
from assay.types import Message


def sibling_pairs(store: RunStore, run: str, most: int, seed: int = 0) -> list[Pair]:
    """Return pairs of rollouts of one task, one pair of a group at most, in an order that the seed decides.

    Neither reward nor verdict has a say. Left out are rollouts that broke, for their text is no whole response, and
    groups whose responses are all the same. Texts are as tokens spell them, so that what is learned from is what was
    sampled (`is_chat` is False). The metadata say where they are from, not what they earned.

    Args:
        run: the run's name, for the metadata.
        most: pairs at most; fewer where the run has fewer groups.
    """
    places = store.group_places()
    random.Random(derive_seed(seed, "siblings")).shuffle(places)
    pairs: list[Pair] = []
    for step, group in places:
        if len(pairs) == most:
            break
        pair = _pair_of_group(store.rollouts(step, group), run, seed)
        if pair is not None:
            pairs.append(pair)
    return pairs


def _pair_of_group(rollouts: list[RolloutRecord], run: str, seed: int) -> Pair | None:
    distinct = {each.response: each for each in rollouts if each.ending != "broken" and each.response.strip()}
    if len(distinct) < 2:
        return None
    one = next(iter(distinct.values()))
    chosen = random.Random(derive_seed(seed, "siblings", one.step, one.group_id)).sample(list(distinct.values()), 2)
    first, second = chosen
    return Pair(
        (Message("user", first.prompt),),
        (Message("assistant", first.response),),
        (Message("assistant", second.response),),
        0.5,
        is_chat=False,
        metadata={
            "run": run,
            "step": first.step,
            "group": first.group_id,
            "members": sorted([first.member, second.member]),
            "task": first.task_id,
            "level": first.level,
        },
    )
