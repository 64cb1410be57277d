"""`assay prefer judge FILE MODEL`: a model at an endpoint compares, each pair in both orders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.endpoint import EndpointOptions, ask_judge, make_endpoint, print_tally
from assay.cli.groups import with_groups
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.endpoints.client import EndpointClient
    from assay.preferences.judge import JudgedPair, JudgeReport


@dataclass(frozen=True)
class JudgeOptions:
    """Options for what the judge is asked."""

    criterion: Annotated[
        str | None,
        typer.Option(
            help="What the better response is, in a sentence. Default: right, helpful, well put.", show_default=False
        ),
    ] = None
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Token limit of a reply.")] = 1024
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature of the judge.")] = 0.0


@with_groups
def judge(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A file of comparisons, of any form that assay prefer import reads."),
    ],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The judge: openai:NAME, a model at an endpoint.")],
    endpoint: EndpointOptions,
    output: Annotated[
        Path, typer.Option(callback=output_file, help="The .jsonl file of pairs with the judge's preferences.")
    ],
    options: JudgeOptions,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Judge the first so many pairs alone.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="OUT", callback=output_file, help="Write the counts to this file.", show_default=False
        ),
    ] = None,
) -> None:
    """Have a judge model compare the responses of each pair, always in both orders.

    A verdict that changes with the order is a tie, and is counted. Only the last line of a reply is read, and only in
    its stated form; a reply without one is answered with a reminder once, then the pair is left out. Where the file has
    preferences already, it is said how often the judge shares them.

    Replies are kept beside OUTPUT: the same command goes on where it was interrupted and pays for nothing twice.
    """
    from rich.console import Console

    from assay.config import validate
    from assay.observe.folder import write_json
    from assay.preferences import read_pairs, write_pairs
    from assay.preferences.judge import JudgeReport, PairJudge, judge_pairs

    keep_sources((output, json_file), file)
    asked = make_endpoint(model, endpoint.given())
    if asked is None:
        raise ConfigError(
            f"{model} is a model on this machine; serve it (assay serve {model}) and name it as openai:NAME with "
            "--base-url"
        )
    settings = validate(PairJudge, {name: value for name, value in vars(options).items() if value is not None})
    console = Console(highlight=False)
    pairs = read_pairs(file)[:limit]
    began = time.monotonic()
    replies = endpoint.replies or output.with_name(f"{output.name}.replies.sqlite")

    def ask(client: EndpointClient, advance: Callable[[], None]) -> Awaitable[list[JudgedPair]]:
        return judge_pairs(client, pairs, settings, at_once=asked.max_concurrent, on_judged=advance)

    judged, tally = asyncio.run(ask_judge(asked, replies, "pairs", len(pairs), ask))
    report = JudgeReport()
    for each in judged:
        report.add(each)
    _print(report, console)
    print_tally(tally, max(time.monotonic() - began, 1e-9), console, f"asked of {model}")
    if json_file is not None:
        write_json(json_file, {**report.to_dict(), "asked": tally.to_dict()})
    kept = [pair for each in judged if (pair := each.as_pair(asked.model)) is not None]
    if not kept:
        raise DataError(
            f"{model} gave no verdict on {len(pairs)} pairs: {', '.join(report.problems)}; nothing is written"
        )
    count = write_pairs(output, kept)
    console.print(f"written: {count:,} pairs to {output}", markup=False, soft_wrap=True)


def _print(report: JudgeReport, console: Console) -> None:
    missing = report.num - report.num_measured
    lines = [f"{report.num_measured:,} of {report.num:,} pairs have a verdict"]
    if missing:
        why = ", ".join(f"{count} {reason}" for reason, count in report.problems.most_common())
        lines.append(f"{missing:,} not measured: {why}")
    if report.consistent is not None:
        lines.append(
            f"the same verdict in both orders: {report.consistent.as_percent()}; the other {report.num_inconsistent:,} "
            "are ties"
        )
    if report.first is not None:
        lines.append(
            f"for the response shown first: {report.first.as_percent()} of {report.num_strict:,} strict verdicts"
        )
    if report.right is not None:
        beside = ", ".join(f"{count:,} {name}" for name, count in report.agreement.most_common())
        lines.append(f"as the file prefers, in both orders: {report.right.as_percent()} ({beside})")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
