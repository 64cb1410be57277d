"""Measured agreement of a judge with people: the file that says it, and the judges that are not used without one."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.config import FileText
from assay.errors import ConfigError
from assay.statistics.interval import Interval
from assay.types import Rollout, Score, Task
from assay.verifiers.criteria import Criterion, criteria_of, rubric_score
from assay.verifiers.verifier import Verifier

CHANCE = 0.5
"""The agreement of a judge who tosses a coin, where a tie is half an agreement."""


@dataclass(frozen=True)
class JudgeAgreement:
    """How far a judge agrees with people, as `assay prefer agreement` measured it."""

    judge: Mapping[str, Any]
    """What decides the judge's answers: its address and model, or the digest of its weights."""
    agreement: Interval
    """Mean over prompts: 1 where the judge says what people say, a half for its ties, and for verdicts that turn with
    the order."""
    num: int
    """Judgements of people that the judge was measured beside."""
    num_measured: int
    """Those of them on which it gave a verdict."""
    labels: tuple[str, ...]
    """Names of the files with people's judgements."""
    least: tuple[str, Interval] | None = None
    """The file with the least agreement, where there are several: a judge may go by length, and be right where that
    is."""
    length_rule: tuple[str, float] | None = None
    """("longer" or "shorter", the agreement of going by that alone); None where the labels have no two responses."""

    @classmethod
    def read(cls, path: Path) -> JudgeAgreement:
        """Read a file of `assay prefer agreement`.

        Raises:
            ConfigError: there is none, or it is no such file.
        """
        remedy = "make it by: assay prefer agreement JUDGE --labels FILE --output OUT"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            labels = tuple(str(each["file"]) for each in data["labels"])
            interval = Interval(**data["agreement"])
            if not 0 <= interval.low <= interval.high <= 1:
                raise ValueError(f"agreement {interval}")
            given = {name: each["agreement"] for name, each in data.get("by_file", {}).items()}
            by_file = [(name, Interval(**each)) for name, each in given.items() if each is not None]
            least = min(by_file, key=lambda each: each[1].value) if len(by_file) > 1 else None
            by_length = data.get("length_rule")
            rule = None if by_length is None else (str(by_length["rule"]), float(by_length["value"]))
            return cls(dict(data["judge"]), interval, int(data["num"]), int(data["num_measured"]), labels, least, rule)
        except OSError as error:
            raise ConfigError(f"judge_agreement: {path} cannot be read ({error.strerror}); {remedy}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"judge_agreement: {path} is no measured agreement ({error!r:.100}); {remedy}") from None

    def told(self) -> str:
        """The agreement in a sentence."""
        missing = self.num - self.num_measured
        without = f", without a verdict on {missing} more" if missing else ""
        files = ", ".join(self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        least = "" if self.least is None else f", least in {self.least[0]}: {self.least[1].as_percent()}"
        return (
            f"agrees with people on {self.agreement.as_percent()} of {self.num_measured:,} judgements{without} "
            f"({files}{least}); chance is 50 %"
        )


class MeasuredJudge(Verifier):
    """Base of judges that say of each criterion of a task how far a response meets it, and pay the weighted share.

    They are no authority: one is used with its measured agreement with people, and not without.
    """

    judge_agreement: FileText = ""
    """File that `assay prefer agreement` wrote for this very judge. Without one it scores nothing."""
    least_agreement: float = pydantic.Field(default=CHANCE, ge=0, le=1)
    """The agreement that the judge must be above: the lower end of its 95 % interval. One half is chance."""
    below: Literal["refuse", "caution"] = "refuse"
    """What happens to a judge that is not above `least_agreement`. refuse: an error. caution: it is said, and used."""

    @property
    def judge_identity(self) -> Mapping[str, Any]:
        """What decides this judge's answers, as plain data: what a file of agreement must be about."""
        raise NotImplementedError(f"{type(self).__name__} does not say which judge it is: write `judge_identity`")

    @property
    def gives_verdicts(self) -> bool:
        return False

    def files(self) -> Mapping[str, Sequence[Path]]:
        path = Path(self.judge_agreement).expanduser()
        return {**super().files(), **({self.judge_agreement: [path]} if path.is_file() else {})}

    async def judged(
        self, rollout: Rollout, task: Task, criteria: Sequence[Criterion]
    ) -> tuple[list[float | None], str]:
        """Return how far a response meets each criterion, from 0 to 1, None where that is not known; and why."""
        raise NotImplementedError(f"{type(self).__name__} does not judge: write `judged`")

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        self.require_agreement()
        criteria = criteria_of(task)
        values, problem = await self.judged(rollout, task, criteria)
        return rubric_score(criteria, values, problem)

    def require_agreement(self) -> JudgeAgreement:
        """The measured agreement of this judge.

        Raises:
            ConfigError: there is no file, it is about another judge, or the agreement is too small.
        """
        return self._agreement

    @functools.cached_property
    def _agreement(self) -> JudgeAgreement:
        if not self.judge_agreement:
            raise ConfigError(
                f"the judge {self.name} has no measured agreement with people, and is not used without: measure it by "
                "assay prefer agreement JUDGE --labels FILE --output agreement.json, and set judge_agreement to that"
            )
        found = JudgeAgreement.read(Path(self.judge_agreement).expanduser())
        own = json.loads(json.dumps(self.judge_identity))
        if differs := [key for key in sorted(own.keys() | found.judge.keys()) if own.get(key) != found.judge.get(key)]:
            raise ConfigError(
                f"judge_agreement: {self.judge_agreement} is about another judge: {differs[0]} is "
                f"{found.judge.get(differs[0])!r} there and {own.get(differs[0])!r} here; measure this one by assay "
                "prefer agreement"
            )
        if found.agreement.low <= self.least_agreement and self.below == "refuse":
            raise ConfigError(
                f"the judge {self.name} {found.told()}: the lower end is not above least_agreement = "
                f'{self.least_agreement:g}; take a better judge, measure it on more labels, or set below = "caution"'
            )
        return found

    def agreement_notes(self) -> tuple[str, ...]:
        """What a person should know of this judge before using its scores, in a sentence each.

        Raises:
            ConfigError: as `require_agreement`.
        """
        found = self.require_agreement()
        notes = [f"the judge {self.name} {found.told()}"]
        if found.length_rule is not None and found.agreement.low <= found.length_rule[1]:
            notes.append(
                f"caution: going by length alone, the {found.length_rule[0]} response, would agree on "
                f"{found.length_rule[1]:.1%}: the judge {self.name} is not shown to know more than that"
            )
        if found.agreement.low <= self.least_agreement:
            notes.append(
                f"caution: the judge {self.name} is not shown to agree on more than {self.least_agreement:.0%}: what "
                "it pays may be anything"
            )
        return tuple(notes)
