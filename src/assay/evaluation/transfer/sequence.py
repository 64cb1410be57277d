"""One model through successive environments: does learning get easier, and what is kept of what came before?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.evaluation.also import verdict_of
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.trajectories import ALL, SeedRuns, Trajectory, compare_trajectories, time_to
from assay.evaluation.transfer.matrix import gain_of, shares_of
from assay.statistics import holm, t_interval

AXIS = "sampled_tokens"


@dataclass
class SequenceStage:
    """One environment of a sequence, with the runs that came to it."""

    environment: str
    after: dict[int, Mapping[str, Evaluation]] = field(default_factory=dict)
    """Seed to environment to evaluation, of the model at the end of the stage."""
    own: dict[int, Trajectory] = field(default_factory=dict)
    """Seed to the probes of the stage's training, on its own environment."""
    fresh: dict[int, Trajectory] = field(default_factory=dict)
    """The same of the base trained on this environment alone."""
    runs: list[Mapping[str, Any]] = field(default_factory=list)
    """What is known of the stage's runs."""


def sequence_result(
    stages: Sequence[SequenceStage], base: Mapping[str, Evaluation], threshold: float, reading: str
) -> dict[str, Any]:
    """What a sequence says: of each stage the tokens to a threshold beside a fresh model's, and of each earlier
    environment what later stages left of it."""
    kept = [
        {"environment": earlier.environment, "after": later.environment, **_kept(earlier, later, base, reading)}
        for index, later in enumerate(stages)
        for earlier in stages[:index]
    ]
    known = [each for each in kept if each["change"] is not None]
    for each, corrected in zip(known, holm([each["change"]["p_value"] for each in known]), strict=True):
        each["change"]["p_holm"] = corrected
        each["verdict"] = verdict_of(each["change"])
    return {
        "stages": [stage.environment for stage in stages],
        "threshold": threshold,
        # The first stage is a fresh model's: nothing to compare.
        "learned": [_learned(stage, threshold) for stage in stages[1:]],
        "kept": kept,
        "runs": {stage.environment: list(stage.runs) for stage in stages},
    }


def _learned(stage: SequenceStage, threshold: float) -> dict[str, Any]:
    """Tokens to the threshold of each seed, in the sequence and fresh, and the differences over seeds."""
    seeds = [seed for seed in stage.own if seed in stage.fresh]
    reached = {
        name: {seed: time_to(runs[seed].skills[ALL], runs[seed].axis(AXIS), threshold) for seed in seeds}
        for name, runs in (("in_sequence", stage.own), ("fresh", stage.fresh))
    }
    both = [
        reached["fresh"][seed].value - reached["in_sequence"][seed].value
        for seed in seeds
        if all(math.isfinite(of_name[seed].value) for of_name in reached.values())
    ]
    saved = (
        t_interval(both).to_dict() if len(both) > 1 else {"value": both[0] if both else None, "low": None, "high": None}
    )
    compared = {}
    if seeds:
        sides = [
            SeedRuns(name, tuple(runs[seed] for seed in seeds)) for name, runs in (("f", stage.fresh), ("s", stage.own))
        ]
        fresh, own = sides
        compared = {
            found.measure: found.to_dict() for found in compare_trajectories(fresh, own, AXIS) if found.skill == ALL
        }
    return {
        "environment": stage.environment,
        "seeds": seeds,
        **{name: {str(seed): found.to_dict() for seed, found in of_name.items()} for name, of_name in reached.items()},
        # Of the seeds that reached it both ways; an interval needs two.
        "tokens_saved": {"num_seeds": len(both), **saved},
        "differences": compared,
    }


def _kept(earlier: SequenceStage, later: SequenceStage, base: Mapping[str, Evaluation], reading: str) -> dict[str, Any]:
    """The change on an earlier environment since its own stage ended, and what is left of what the base had."""
    name = earlier.environment
    seeds = [seed for seed in earlier.after if seed in later.after]
    then, now = ([shares_of(stage.after[seed][name], reading) for seed in seeds] for stage in (earlier, later))
    before = shares_of(base[name], reading)
    if not seeds:
        return {"seeds": [], "change": None, "learned": None, "left": None, "verdict": "not measured"}
    return {
        "seeds": seeds,
        "change": gain_of(then, now)[0],
        "learned": gain_of([before] * len(seeds), then)[0],
        "left": gain_of([before] * len(seeds), now)[0],
        "verdict": "not measured",
    }
