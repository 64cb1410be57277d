"""The closing test of a run: the same held-out tasks before and after training, decoded and read in several ways."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.evaluation.attribution import attribute
from assay.evaluation.cautions import cautions, commonest_answer, commonest_response
from assay.evaluation.compare import ClaimedGain, compare, smallest_gains
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.of_k import gains_of_k
from assay.evaluation.transcripts import RULE, transcripts


@dataclass(frozen=True)
class BeforeAfter:
    """Evaluations of one list of tasks, before and after, by decoding."""

    before: Mapping[str, Evaluation]
    after: Mapping[str, Evaluation]
    trained_on: Collection[str] | None = None
    """Ids of the tasks that were trained on; None where that is not known."""

    @property
    def claimed(self) -> ClaimedGain:
        """The smallest gain in accuracy over every decoding and reading; in mean reward where none has verdicts."""
        return self.gains.get("share") or self.gains["reward"]

    @cached_property
    def gains(self) -> dict[str, ClaimedGain]:
        """The smallest gain by its unit: "share" and "reward", as far as there are readings of it."""
        return smallest_gains(
            {
                (decoding, reading): (self.before[decoding], self.after[decoding])
                for decoding in self.before
                for reading in self.before[decoding].readings
            }
        )

    def _of_k(self) -> list[dict[str, Any]]:
        """pass@k and pass^k of the attempts at temperature 1, under each reading with verdicts: none from one attempt a
        task."""
        before, after = self.before.get("sampled"), self.after.get("sampled")
        if before is None or after is None:
            return []
        return [
            {"name": each.name, "reading": reading, **each.to_dict()}
            for reading in before.readings
            for each in gains_of_k(before, after, reading)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what `summary.json` keeps: the claimed gain with its two accuracies, all gains that were compared,
        pass@k where tasks had several attempts, its attribution, the commonest response and gold answer, cautions, and
        transcripts. "gain" is in accuracy, "reward_gain" in the mean reward of readings without verdicts; each is there
        where such readings are."""
        claimed = self.claimed
        readings = [
            {
                "decoding": decoding,
                "reading": reading,
                "before": _accuracy(self.before[decoding], reading),
                "after": _accuracy(self.after[decoding], reading),
                "gain": compare(self.before[decoding], self.after[decoding], reading).to_dict(),
            }
            for decoding in self.before
            for reading in self.before[decoding].readings
        ]
        owed = attribute(self.before, self.after, trained_on=self.trained_on)
        chosen = next(r for r in readings if (r["decoding"], r["reading"]) == (claimed.decoding, claimed.reading))
        return {
            "before": chosen["before"],
            "after": chosen["after"],
            **{
                "gain" if unit == "share" else "reward_gain": {
                    **gain.difference.to_dict(),
                    "decoding": gain.decoding,
                    "reading": gain.reading,
                }
                for unit, gain in self.gains.items()
            },
            "readings": readings,
            "of_k": self._of_k(),
            "owed_to": None if owed is None else owed.to_dict(),
            "commonest_response": {
                side: commonest_response(evaluations[claimed.decoding]).to_dict()
                for side, evaluations in (("before", self.before), ("after", self.after))
            },
            "commonest_answer": commonest_answer(self.after[claimed.decoding]).to_dict(),
            "cautions": cautions(self.after[claimed.decoding], claimed.reading),
            "transcripts": transcripts(self.before["greedy"], self.after["greedy"], next(iter(readings))["reading"]),
            "transcripts_rule": RULE,
        }


def _accuracy(evaluation: Evaluation, reading: str) -> dict[str, Any]:
    lacks_verdicts = evaluation.lacks_verdicts(reading)
    accuracy = dict.fromkeys(("value", "low", "high")) if lacks_verdicts else evaluation.accuracy(reading).to_dict()
    return {
        **{"accuracy" if key == "value" else key: v for key, v in accuracy.items()},
        "mean_reward": None if (mean := evaluation.mean_reward(reading)) is None else mean.to_dict(),
        "is_graded": evaluation.is_graded(reading),
        "num_tasks": evaluation.num_tasks,
        "num_not_measured": evaluation.num_not_measured(reading),
        "mean_tokens": evaluation.mean_tokens,
        "mean_turns": evaluation.mean_turns,
        "by_horizon": _accuracies(evaluation.by_horizon(), reading),
        "by_environment": _accuracies(evaluation.by_environment(), reading),
    }


def _accuracies(parts: Mapping[str, Evaluation], reading: str) -> dict[str, dict[str, float]]:
    """The accuracy of each part, a horizon or an environment, with its interval over tasks: a sweep tabulates it as
    "after.by_horizon.h4"."""
    return {
        name: {**part.accuracy(reading).to_dict(), "num_tasks": part.num_tasks}
        for name, part in parts.items()
        if any(with_verdict for with_verdict, _ in part.counts(reading).values())
    }
