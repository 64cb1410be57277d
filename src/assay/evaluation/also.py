"""Other held-out environments that a run measures beside its own: what else training moved, in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic

from assay.environments.named import NamedEnvironment, named_environment
from assay.errors import ConfigError
from assay.evaluation.compare import compare
from assay.evaluation.evaluation import Evaluation
from assay.statistics import holm

ALSO = "also"
"""Split of a measurement in the store, before the label: before training and as it goes."""
AFTER = "also_after"
"""The same of the model that a run ends with."""
SIGNIFICANT = 0.05


def _read(written: Any) -> NamedEnvironment:
    try:
        return named_environment(written)
    except ConfigError as error:
        raise ValueError(str(error)) from None


AlsoMeasured = Annotated[NamedEnvironment, pydantic.BeforeValidator(_read)]
"""The type of a settings field that holds an environment by name, with settings ("chain:horizon=4"), or as a table."""


def verdict_of(gain: Mapping[str, Any]) -> str:
    """What the interval of a difference, and its p-value corrected for all that were looked at, allow to say.

    Args:
        gain: `value`, `low`, `high` and `p_holm`.
    """
    if gain["p_holm"] < SIGNIFICANT:
        return "gained" if gain["value"] > 0 else "forgotten"
    if gain["low"] > 0:
        return "gain before correction"
    if gain["high"] < 0:
        return "loss before correction"
    return "no change shown"


def also_moved(before: Mapping[str, Evaluation], after: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Label to what training did to an environment beside its own: the solved share on both sides (of rewards without
    verdicts the mean reward), and the difference over the same tasks, read strictly, with Holm's correction over the
    environments; the differences of other readings beside it, and all three as text.

    One run says nothing of another seed: intervals are over tasks.
    """
    found: dict[str, Any] = {}
    for label, one in before.items():
        other = after[label]
        gain = compare(one, other, "strict").to_dict()
        lacks_verdicts = one.lacks_verdicts("strict") or other.lacks_verdicts("strict")
        found[label] = {
            "gain": gain,
            "other_readings": {
                reading: compare(one, other, reading).to_dict() for reading in one.readings if reading != "strict"
            },
            "text": {"gain": gain_text(gain, lacks_verdicts)},
        }
        for name, side in (("before", one), ("after", other)):
            value = side.mean_reward("strict") if lacks_verdicts else side.accuracy("strict")
            found[label][name] = None if value is None else value.to_dict()
            found[label]["text"][name] = side.as_text("strict")
    gains: Sequence[dict[str, Any]] = [each["gain"] for each in found.values()]
    for each, corrected in zip(found.values(), holm([gain["p_value"] for gain in gains]), strict=True):
        each["gain"]["p_holm"] = corrected
        each["verdict"] = verdict_of(each["gain"])
    return found


def gain_text(gain: Mapping[str, Any], lacks_verdicts: bool = False) -> str:
    """A difference with its interval, in points of solved tasks or as a reward."""
    if lacks_verdicts:
        return f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    return f"{100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"


def also_lines(moved: Mapping[str, Any]) -> list[str]:
    """A line for each environment: before, after, the difference, and what that allows to say."""
    said = {
        "gained": "better",
        "forgotten": "FORGETTING",
        "gain before correction": "above 0, but not after correction for the number of environments",
        "loss before correction": "perhaps forgetting: below 0, but not after correction for their number",
        "no change shown": "no change is shown",
    }
    return [
        f"{label}: {each['text']['before']} before, {each['text']['after']} after, {each['text']['gain']}; "
        f"{said[each['verdict']]}"
        for label, each in moved.items()
    ]
