"""Agreement of a judge with people: on pairs that they compared, and on criteria of responses that they labelled."""

from __future__ import annotations

import hashlib
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.endpoints import Responder
from assay.environments.data_files import read_rows
from assay.errors import DataError, InfrastructureError
from assay.preferences.judge import JudgeReport, PairJudge, judge_pairs
from assay.preferences.pair import TIE, Pair, text_of_messages
from assay.preferences.read import read_pairs
from assay.statistics import Agreement, Interval, clustered_proportion, krippendorff_alpha
from assay.types import Message, Task
from assay.verifiers import Criterion, MeasuredJudge, RewardModelScore, as_rollout, read_criteria
from assay.verifiers.rubric_people import read_label

PEOPLE, JUDGE = "people", "judge"


@dataclass(frozen=True)
class JudgedByBoth:
    """What people and a judge said of one thing, each from 0 to 1."""

    subset: str
    """Name of the file that it is from."""
    cluster: str
    """What judgements of one prompt share: they are alike, and prompts are what was drawn."""
    people: float
    judge: float | None
    """None where the judge gave no verdict."""
    problem: str = ""
    """Why there is none."""
    longer: float | None = None
    """1 where people prefer the longer of two responses, 0 the shorter, a half where they are as long; None where there
    are no two."""

    @property
    def agrees(self) -> float | None:
        """1 where both say the same, 0 where they say the opposite, a half where the judge says neither."""
        return None if self.judge is None else 1.0 - abs(self.judge - self.people)


@dataclass(frozen=True)
class AgreementReport:
    """How far a judge agrees with people on a set of judgements."""

    judgements: Sequence[JudgedByBoth]
    orders: JudgeReport | None = None
    """What the order of two responses did to it; None where nothing has an order."""
    labels: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """Name, digest and number of judgements of each file."""

    @property
    def measured(self) -> list[JudgedByBoth]:
        """The judgements that the judge gave too."""
        return [each for each in self.judgements if each.judge is not None]

    @property
    def agreement(self) -> Interval | None:
        """The mean over prompts of `JudgedByBoth.agrees`; chance is a half. None where nothing was measured."""
        return _share([(each.cluster, each.agrees) for each in self.measured])

    @property
    def length_rule(self) -> tuple[str, Interval] | None:
        """("longer" or "shorter", how far it agrees with people), whichever agrees more: a judge may know no more than
        this. None where there are no two responses."""
        known = [(each.cluster, each.longer) for each in self.measured if each.longer is not None]
        shorter = [(cluster, 1 - longer) for cluster, longer in known]
        rules = [(name, share) for name, some in (("longer", known), ("shorter", shorter)) if (share := _share(some))]
        return max(rules, key=lambda rule: rule[1].value, default=None)

    @property
    def alpha(self) -> Agreement:
        """Krippendorff's alpha of the two: agreement beyond what the frequencies of their answers would give."""
        return krippendorff_alpha([{PEOPLE: each.people, JUDGE: each.judge or 0.0} for each in self.measured])

    def by_subset(self) -> dict[str, AgreementReport]:
        """The same for each file."""
        parts: dict[str, list[JudgedByBoth]] = defaultdict(list)
        for each in self.judgements:
            parts[each.subset].append(each)
        return {subset: AgreementReport(some) for subset, some in parts.items()}

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not known is null."""
        agreement, alpha = self.agreement, self.alpha
        data = {
            "agreement": None if agreement is None else agreement.to_dict(),
            "alpha": None if alpha.undefined else vars(alpha.alpha),
            "num": len(self.judgements),
            "num_measured": len(self.measured),
            "problems": dict(Counter(each.problem for each in self.judgements if each.judge is None)),
        }
        if (rule := self.length_rule) is not None:
            data["length_rule"] = {"rule": rule[0], **rule[1].to_dict()}
        if self.orders is not None:
            shares = {"consistent": self.orders.consistent, "first_preferred": self.orders.first}
            data |= {name: None if share is None else share.to_dict() for name, share in shares.items()}
        return data

    def lines(self) -> list[str]:
        """The report as a person reads it."""
        agreement, missing = self.agreement, len(self.judgements) - len(self.measured)
        lines = [f"{len(self.measured):,} of {len(self.judgements):,} judgements have a verdict of the judge"]
        if missing:
            (why, count), *_ = Counter(each.problem for each in self.judgements if each.judge is None).most_common(1)
            lines.append(f"{missing:,} not measured; most often ({count:,}): {why}")
        if agreement is None:
            return lines
        lines.append(f"agrees with people: {agreement.as_percent()}; chance is 50 %")
        alpha = self.alpha.alpha
        if alpha.value is not None and alpha.low is not None and alpha.high is not None:
            lines.append(f"Krippendorff's alpha: {alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}]; chance is 0")
        if (rule := self.length_rule) is not None:
            lines.append(f"the {rule[0]} response, whatever it says: {rule[1].as_percent()}")
        if self.orders is not None and self.orders.consistent is not None:
            lines.append(f"the same verdict in both orders: {self.orders.consistent.as_percent()}")
        if self.orders is not None and self.orders.first is not None:
            lines.append(f"for the response shown first: {self.orders.first.as_percent()}")
        parts = self.by_subset()
        for subset, part in parts.items() if len(parts) > 1 else ():
            share = part.agreement
            told = "nothing measured" if share is None else share.as_percent()
            lines.append(f"  {subset}: {told} of {len(part.measured):,}")
        return lines


def _share(values: Sequence[tuple[str, float | None]]) -> Interval | None:
    """The mean over clusters of (cluster, value from 0 to 1), with its interval; None where there are none."""
    by_cluster: dict[str, list[float]] = defaultdict(list)
    for cluster, value in values:
        if value is not None:
            by_cluster[cluster].append(value)
    if not by_cluster:
        return None
    return clustered_proportion([statistics.fmean(some) for some in by_cluster.values()], len(values))


def labelled_pairs(sources: Sequence[str], limit: int | None) -> dict[str, list[Pair]]:
    """File to the comparisons in it that are no ties, the first `limit` of each.

    Raises:
        DataError: a file cannot be read, or has none.
    """
    found = {}
    for source in sources:
        strict = [pair for pair in read_pairs(source) if pair.preference != TIE]
        if not strict:
            raise DataError(f"{source} has no pair of which people prefer one response: there is nothing to agree with")
        found[source] = list(itertools.islice(strict, limit))
    return found


async def endpoint_agreement(
    responder: Responder,
    files: Mapping[str, Sequence[Pair]],
    settings: PairJudge,
    *,
    at_once: int = 16,
    on_judged: Callable[[], None] | None = None,
) -> AgreementReport:
    """Have a judge at an endpoint compare pairs, each in both orders, and set it beside people.

    A verdict that changes with the order is a tie, which is half an agreement: the mean is that of both orders, as in
    LLMBar (Zeng et al. 2024, https://arxiv.org/abs/2310.07641).

    Raises:
        EndpointError: as `judge_pair`.
    """
    orders, judgements = JudgeReport(), []
    given = [(source, pair) for source, pairs in files.items() for pair in pairs]
    judged = await judge_pairs(responder, [pair for _, pair in given], settings, at_once=at_once, on_judged=on_judged)
    for (source, pair), found in zip(given, judged, strict=True):
        orders.add(found)
        judgements.append(_beside(source, pair, found.preference, found.problem))
    return AgreementReport(judgements, orders, label_records(files))


async def reward_model_agreement(
    model: RewardModelScore, files: Mapping[str, Sequence[Pair]], *, on_judged: Callable[[], None] | None = None
) -> AgreementReport:
    """Have a reward model score both responses of pairs, and set the higher reward beside people."""
    judgements = []
    for source, pairs in files.items():
        for pair in pairs:
            task = Task("pairs", pair.prompt or (Message("user", "(none is known)"),), "")
            responses = [as_rollout(text_of_messages(side), task) for side in (pair.first, pair.second)]
            first, second = await model.score_group(responses, task)
            if first.value is None or second.value is None:
                problem = first.reason or second.reason
                judgements.append(_beside(source, pair, None, problem))
            else:
                preferred = TIE if first.value == second.value else float(second.value > first.value)
                judgements.append(_beside(source, pair, preferred, ""))
            if on_judged is not None:
                on_judged()
    return AgreementReport(judgements, labels=label_records(files))


@dataclass(frozen=True)
class LabelledResponse:
    """A response with what people said of each criterion."""

    task: Task
    response: str
    criteria: Sequence[Criterion]
    met: Sequence[float]
    """How far each criterion is met, from 0 to 1."""


def is_labels(source: str) -> bool:
    """Return True where the rows of a file are labels by criterion, as `assay eval` writes them to be filled in."""
    return "met" in next(iter(read_rows(source)), ("", {}))[1]


def labelled_responses(sources: Sequence[str], limit: int | None) -> dict[str, list[LabelledResponse]]:
    """File to the responses in it that are labelled by criterion, the first `limit` of each.

    Raises:
        DataError: a file cannot be read, a row of it lacks what the judge is shown, or none is labelled yet.
    """
    found = {source: list(itertools.islice(_responses_in(source), limit)) for source in sources}
    if empty := next((source for source, some in found.items() if not some), None):
        raise DataError(f"{empty} has no label yet; fill in what is null under met")
    return found


def _responses_in(source: str) -> Iterator[LabelledResponse]:
    for place, row in read_rows(source):
        label = read_label(row, place)
        if label is None:
            continue
        if not isinstance(row.get("prompt"), str):
            raise DataError(f"{place} has no prompt as text, which the judge is shown; add it")
        criteria = read_criteria(row.get("criteria"), place)
        task = Task("rubric", (Message("user", row["prompt"]),), str(row.get("reference") or ""))
        yield LabelledResponse(task, row["response"], criteria, label.values(criteria))


async def criteria_agreement(
    judge: MeasuredJudge,
    files: Mapping[str, Sequence[LabelledResponse]],
    *,
    on_judged: Callable[[], None] | None = None,
) -> AgreementReport:
    """Ask a judge of every criterion of labelled responses, as it is asked when it scores, and set it beside people.

    Raises:
        EndpointError: a person must act; further requests would fail too.
    """
    judgements: list[JudgedByBoth] = []
    for source, some in files.items():
        for each in some:
            try:
                values, problem = await judge.judged(as_rollout(each.response, each.task), each.task, each.criteria)
            except InfrastructureError as error:
                values, problem = [None] * len(each.criteria), f"no answer ({type(error).__name__})"
            for people, value in zip(each.met, values, strict=True):
                said = None if value is None else TIE if value == TIE else float(value > TIE)
                judgements.append(JudgedByBoth(_name(source), each.task.task_id, people, said, problem))
            if on_judged is not None:
                on_judged()
    return AgreementReport(judgements, labels=label_records(files))


def _beside(source: str, pair: Pair, preference: float | None, problem: str) -> JudgedByBoth:
    """A judgement, with the responses in an order that says nothing of which is preferred: where a file has the
    preferred response first throughout, agreement beyond chance would have no meaning."""
    people = pair.preference
    lengths = [len(text_of_messages(side)) for side in (pair.first, pair.second)]
    longer = TIE if lengths[0] == lengths[1] else people if lengths[1] > lengths[0] else 1 - people
    if not pair.is_in_key_order:
        people, preference = 1 - people, None if preference is None else 1 - preference
    return JudgedByBoth(_name(source), pair.prompt_key, people, preference, problem, longer)


def label_records(files: Mapping[str, Sequence[object]]) -> list[dict[str, Any]]:
    """Name, SHA-256 and number of judgements of each file; without a digest where it is not on this machine."""
    records = []
    for source, some in files.items():
        path = Path(source)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        records.append({"file": _name(source), "sha256": digest, "num": len(some)})
    return records


def _name(source: str) -> str:
    return Path(source).name
