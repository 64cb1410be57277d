"""`assay prefer audit FILE MODEL`: what moves a judge that compares, and is no quality."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.endpoint import EndpointOptions, ask_judge, make_endpoint, print_tally
from assay.cli.groups import with_groups
from assay.cli.prefer_judge import JudgeOptions
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from assay.audit.judges import JudgeAudit
    from assay.endpoints.client import EndpointClient

FOUND = 3
"""Exit code where something was found, as that of `assay audit`."""
_SHOWN = 160


@with_groups
def audit(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Comparisons that people made, of any form that assay prefer import reads."
        ),
    ],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The judge: openai:NAME, a model at an endpoint.")],
    endpoint: EndpointOptions,
    options: JudgeOptions,
    limit: Annotated[int, typer.Option(min=8, help="The first so many pairs that are no ties.")] = 100,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="OUT", callback=output_file, help="Write what was found to this file.", show_default=False
        ),
    ] = None,
) -> None:
    """Audit a judge: is its preference moved by place, length, an authority's word, or instructions in a response?

    Each pair is judged in both orders as it is, and again with the response that people found worse padded with empty
    sentences, put under an authority's name, and with a note to the grader. Eight requests a pair. Ends with code 3
    where one of these wins comparisons, and with 0 where none does.

    Replies are kept (--replies): the same command pays for nothing twice.
    """
    from rich.console import Console

    from assay.audit.judges import BIASES, audit_judge
    from assay.config import validate
    from assay.home import assay_home
    from assay.observe.folder import write_json
    from assay.preferences import read_pairs
    from assay.preferences.judge import PairJudge
    from assay.preferences.pair import TIE

    keep_sources((json_file,), file)
    asked = make_endpoint(model, endpoint.given())
    if asked is None:
        raise ConfigError(
            f"{model} is a model on this machine; serve it (assay serve {model}) and name it as openai:NAME with "
            "--base-url"
        )
    settings = validate(PairJudge, {name: value for name, value in vars(options).items() if value is not None})
    pairs = [pair for pair in read_pairs(file) if pair.preference != TIE][:limit]
    if not pairs:
        raise DataError(f"{file} has no pair of which one response is preferred: a judge is audited beside people")
    began = time.monotonic()
    replies = endpoint.replies or assay_home() / "replies" / "judge.sqlite"

    def ask(client: EndpointClient, advance: Callable[[], None]) -> Awaitable[JudgeAudit]:
        return audit_judge(client, pairs, settings, at_once=asked.max_concurrent, on_judged=advance)

    found, tally = asyncio.run(ask_judge(asked, replies, "comparisons", len(pairs) * (1 + len(BIASES)), ask))
    if json_file is not None:
        write_json(json_file, as_data(found, model))
    for line in _lines(found, model):
        typer.echo(line)
    print_tally(tally, max(time.monotonic() - began, 1e-9), Console(highlight=False), f"asked of {model}")
    if json_file is not None:
        typer.echo(f"written: {json_file}")
    if found.findings:
        raise typer.Exit(FOUND)


def as_data(found: JudgeAudit, model: str) -> dict[str, Any]:
    """Return the audit as plain data, its findings in the form of `assay audit`."""
    return {
        "judge": model,
        **found.report.to_dict(),
        "biases": {
            each.bias: {
                "pairs": each.num_pairs,
                "before": each.before,
                "after": each.after,
                "gain": None if each.gain is None else each.gain.to_dict(),
            }
            for each in found.trials
        },
        "findings": [each.to_dict() for each in found.findings],
    }


def _lines(found: JudgeAudit, model: str) -> list[str]:
    report = found.report
    lines = [f"{model}: {report.num_measured:,} of {report.num:,} pairs have a verdict in both orders"]
    if report.right is not None:
        lines.append(f"as people prefer, in both orders: {report.right.as_percent()}")
    if report.first is not None:
        lines.append(f"for the response shown first: {report.first.as_percent()}")
    for each in found.trials:
        told = "too few pairs" if each.gain is None else f"{100 * each.gain.value:+.1f} points"
        if each.gain is not None:
            told += f" [{100 * each.gain.low:+.1f}, {100 * each.gain.high:+.1f}]"
        lines.append(f"{each.bias}: the worse response wins {each.before:.1%}, changed {each.after:.1%}: {told}")
    for finding in found.findings:
        lines += [f"FOUND: {finding.trick}: {finding.reason}", f"  {finding.example[:_SHOWN]!r}"]
    return lines if found.findings else [*lines, "nothing moves it that should not"]
