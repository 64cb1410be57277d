"""`assay prefer agreement JUDGE --labels FILE`: how far a judge agrees with people, kept as the file that it is used
with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.endpoint import EndpointOptions, ask_judge, make_endpoint, print_tally
from assay.cli.groups import with_groups
from assay.cli.prefer_judge import JudgeOptions
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from assay.endpoints import Endpoint
    from assay.endpoints.client import EndpointClient
    from assay.preferences.agreement import AgreementReport


@with_groups
def agreement(
    judge: Annotated[
        str,
        typer.Argument(
            metavar="JUDGE",
            help="openai:NAME, a model at an endpoint, or a reward model: a folder, a run, or a hub id.",
        ),
    ],
    labels: Annotated[
        list[str],
        typer.Option(
            metavar="FILE",
            help="People's judgements, repeatable: comparisons of any form that assay prefer import reads (LLMBar, "
            "HH-RLHF), or responses labelled by criterion, as assay eval writes them to to_label.jsonl.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="OUT",
            callback=output_file,
            help="The .json file to write: judge_agreement of the verifiers `rubric`.",
        ),
    ],
    endpoint: EndpointOptions,
    options: JudgeOptions,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many of each file.", show_default=False)
    ] = None,
) -> None:
    """Measure how far a judge agrees with people, with an interval, and keep it: a rubric's judge needs that file.

    Pairs are shown to a model at an endpoint in both orders; a verdict that turns with the order is half an agreement,
    so that chance is 50 % whatever the judge's liking for a place. A reward model prefers the response with the higher
    reward. Responses labelled by criterion are judged criterion by criterion, as when the judge pays.

    Replies are kept beside OUT: the same command pays for nothing twice.

    Example: assay prefer agreement openai:NAME --labels llmbar_Natural.json --labels llmbar_Manual.json --output
    agreement.json
    """
    from assay.observe.folder import write_json
    from assay.preferences.agreement import is_labels

    keep_sources((output,), *labels)
    kinds = {is_labels(source) for source in labels}
    if len(kinds) > 1:
        raise ConfigError("--labels: comparisons and labelled criteria cannot be pooled; measure them one at a time")
    by_criteria = kinds == {True}
    if by_criteria and options.criterion is not None:
        raise ConfigError("--criterion has no effect with responses labelled by criterion: leave it out")
    asked = make_endpoint(judge, endpoint.given())
    if asked is None:
        identity, report = _of_reward_model(judge, labels, by_criteria, limit)
    else:
        replies = endpoint.replies or output.with_name(f"{output.name}.replies.sqlite")
        measure = _criteria_of_endpoint if by_criteria else _pairs_of_endpoint
        identity, report = measure(asked, options, labels, limit, replies)
    if report.agreement is None:
        for line in report.lines():
            typer.echo(line)
        raise DataError(f"{judge} gave no verdict on {len(report.judgements)} judgements; nothing is written")
    form = "criteria" if by_criteria else "pairs"
    parts = {name: part.to_dict() for name, part in report.by_subset().items()}
    kept = {"judge": identity, "form": form, "labels": list(report.labels), **report.to_dict(), "by_file": parts}
    write_json(output, kept)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"written: {output}")


_Measured = tuple[Mapping[str, Any], "AgreementReport"]


def _of_reward_model(source: str, labels: list[str], by_criteria: bool, limit: int | None) -> _Measured:
    from assay.cli.progress import progress
    from assay.preferences.agreement import (
        criteria_agreement,
        labelled_pairs,
        labelled_responses,
        reward_model_agreement,
    )
    from assay.verifiers import RewardModelScore, RubricRewardModel
    from assay.verifiers.rubric_reward_model import reward_model_judge

    identity = reward_model_judge(source)
    if by_criteria:
        responses = labelled_responses(labels, limit)
        with progress("responses", 0, sum(map(len, responses.values()))) as advance:
            judge = RubricRewardModel(source=source)
            return identity, asyncio.run(criteria_agreement(judge, responses, on_judged=advance))
    files = labelled_pairs(labels, limit)
    with progress("pairs", 0, sum(map(len, files.values()))) as advance:
        model = RewardModelScore(source=source)
        return identity, asyncio.run(reward_model_agreement(model, files, on_judged=advance))


def _pairs_of_endpoint(
    asked: Endpoint, options: JudgeOptions, labels: list[str], limit: int | None, replies: Path
) -> _Measured:
    from rich.console import Console

    from assay.config import validate
    from assay.preferences.agreement import endpoint_agreement, labelled_pairs
    from assay.preferences.judge import PairJudge
    from assay.verifiers.rubric import endpoint_judge

    settings = validate(PairJudge, {name: value for name, value in vars(options).items() if value is not None})
    files = labelled_pairs(labels, limit)
    began = time.monotonic()

    def ask(client: EndpointClient, advance: Callable[[], None]) -> Awaitable[AgreementReport]:
        return endpoint_agreement(client, files, settings, at_once=asked.max_concurrent, on_judged=advance)

    report, tally = asyncio.run(ask_judge(asked, replies, "pairs", sum(map(len, files.values())), ask))
    seconds = max(time.monotonic() - began, 1e-9)
    print_tally(tally, seconds, Console(highlight=False), f"asked of {asked.model}")
    return endpoint_judge(asked, settings.temperature), report


def _criteria_of_endpoint(
    asked: Endpoint, options: JudgeOptions, labels: list[str], limit: int | None, replies: Path
) -> _Measured:
    from rich.console import Console

    from assay.cli.progress import progress
    from assay.config import validate
    from assay.preferences.agreement import criteria_agreement, labelled_responses
    from assay.verifiers import RubricJudge, close_verifiers

    more = {"temperature": options.temperature, "max_new_tokens": options.max_new_tokens, "replies": str(replies)}
    judge = validate(RubricJudge, {**asked.model_dump(mode="json"), **more})
    files = labelled_responses(labels, limit)
    began = time.monotonic()

    async def ask() -> AgreementReport:
        try:
            with progress("responses", 0, sum(map(len, files.values())), judge.tally.line) as advance:
                return await criteria_agreement(judge, files, on_judged=advance)
        finally:
            await close_verifiers([judge])

    report = asyncio.run(ask())
    seconds = max(time.monotonic() - began, 1e-9)
    print_tally(judge.tally, seconds, Console(highlight=False), f"asked of {asked.model}")
    return judge.judge_identity, report
