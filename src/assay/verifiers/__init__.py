"""Verifiers decide what a rollout earned. Each reads a response as hostile input and returns a `Score`.

To add one: write a subclass of `Verifier` in a file of its own, NAME.py, with that `name`. One of your own, outside
this package, is named by `path/to/file.py:Class`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.components import make_component
from assay.verifiers.agreement import JudgeAgreement, MeasuredJudge
from assay.verifiers.cases import Case, builtin_cases
from assay.verifiers.check import VerifierReport, check_all_gold, check_gold, check_verifier
from assay.verifiers.choice import Choice
from assay.verifiers.code import Code
from assay.verifiers.constraint import RewardConstraint
from assay.verifiers.criteria import Criterion, criteria_of, read_criteria
from assay.verifiers.episode import EpisodeScore, EpisodeValue
from assay.verifiers.exact import Exact
from assay.verifiers.format import Format
from assay.verifiers.judge import Judge
from assay.verifiers.judge_endpoint import JudgeEndpoint, judges_in
from assay.verifiers.math import Math
from assay.verifiers.numeric import Numeric
from assay.verifiers.python import PythonReward
from assay.verifiers.random import Random
from assay.verifiers.resources import close_verifiers, tell_progress, verifier_metrics
from assay.verifiers.reward_model import RewardModelScore
from assay.verifiers.rubric import RubricJudge
from assay.verifiers.rubric_people import ResponseLabels, RubricPeople
from assay.verifiers.rubric_reward_model import RubricRewardModel
from assay.verifiers.score import score_group, score_rollout
from assay.verifiers.trl import TRLReward
from assay.verifiers.verifier import AnyVerifier, Verifier, as_rollout, readings_of, verifiers_in
from assay.verifiers.verl import VerlReward
from assay.verifiers.weighted import Part, Weighted


def make_verifier(name: str, options: Mapping[str, Any] | None = None) -> Verifier:
    """The verifier of this name or place with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    return make_component(Verifier, name, options)


__all__ = [
    "AnyVerifier",
    "Case",
    "Choice",
    "Code",
    "Criterion",
    "EpisodeScore",
    "EpisodeValue",
    "Exact",
    "Format",
    "Judge",
    "JudgeAgreement",
    "JudgeEndpoint",
    "Math",
    "MeasuredJudge",
    "Numeric",
    "Part",
    "PythonReward",
    "Random",
    "ResponseLabels",
    "RewardConstraint",
    "RewardModelScore",
    "RubricJudge",
    "RubricPeople",
    "RubricRewardModel",
    "TRLReward",
    "Verifier",
    "VerifierReport",
    "VerlReward",
    "Weighted",
    "as_rollout",
    "builtin_cases",
    "check_all_gold",
    "check_gold",
    "check_verifier",
    "close_verifiers",
    "criteria_of",
    "judges_in",
    "make_verifier",
    "read_criteria",
    "readings_of",
    "score_group",
    "score_rollout",
    "tell_progress",
    "verifier_metrics",
    "verifiers_in",
]
