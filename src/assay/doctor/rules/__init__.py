"""The doctor's rules, causes before what may follow from them."""

from __future__ import annotations

from collections.abc import Sequence

from assay.doctor.finding import Rule
from assay.doctor.rules.rewards import ENTROPY_COLLAPSE, NO_REWARD, NO_VARIANCE
from assay.doctor.rules.sampler import CUT_OFF, GAP, STALE, TEMPLATE, TWICE
from assay.doctor.rules.steps import ADAPTER, NO_EFFECT, TOO_LARGE
from assay.doctor.rules.watched import HACKED
from assay.doctor.rules.world import CURRICULUM, ENVIRONMENT, SEEN_IN_TEST, VERIFIER

RULES: Sequence[Rule] = (
    VERIFIER,
    ENVIRONMENT,
    TWICE,
    TEMPLATE,
    CUT_OFF,
    STALE,
    GAP,
    TOO_LARGE,
    ADAPTER,
    NO_EFFECT,
    ENTROPY_COLLAPSE,
    NO_REWARD,
    NO_VARIANCE,
    CURRICULUM,
    SEEN_IN_TEST,
    HACKED,
)
