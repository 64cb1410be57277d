"""`assay prefer`: comparisons of responses, brought in, looked through, and turned into ratings of models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.common_options import keep_sources, output_file
from assay.cli.prefer_agreement import agreement
from assay.cli.prefer_audit import audit
from assay.cli.prefer_collect import collect
from assay.cli.prefer_judge import judge
from assay.cli.prefer_rate import rate
from assay.cli.prefer_stats import stats
from assay.errors import DataError

app = typer.Typer(help="Learn from comparisons of two responses, and see their biases.", no_args_is_help=True)
SOURCE_HELP = (
    "A file of comparisons (.jsonl, .json, .csv, each also with .gz, .parquet), or hub:owner/dataset/path; its form is "
    "told by its columns."
)


class OtherForm(StrEnum):
    TRL = "trl"
    TRL_UNPAIRED = "trl-unpaired"
    ARENA = "arena"
    RATE = "rate"


@app.command("import")
def import_pairs(
    source: Annotated[str, typer.Argument(metavar="FILE", help=SOURCE_HELP)],
    output: Annotated[Path, typer.Argument(metavar="OUT", callback=output_file, help="The .jsonl file to write.")],
    chat: Annotated[
        bool,
        typer.Option(
            "--chat", help="Plain text in prompt, chosen, rejected and completion is chat, not text to be joined."
        ),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave rows out that cannot be read, and count them.")
    ] = False,
    held_out: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Write this share of the prompts, with all of their pairs, to OUT.held-out.jsonl instead.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --held-out.")] = 0,
) -> None:
    """Read comparisons of any form, and write them as Assay's own JSON lines.

    Forms: TRL's (chosen and rejected, with a prompt or without; completion and label), HH-RLHF, UltraFeedback, the
    Chatbot Arena's, HelpSteer's ratings and preferences, LLMBar, AlpacaEval. Ties are kept. Pairs whose responses are
    the same or empty are left out and counted; labels that contradict each other are said, and kept.
    """
    from rich.console import Console

    from assay.cli.progress import counted
    from assay.preferences import read_preferences, split_pairs, write_pairs

    console = Console(highlight=False)
    beside = output.with_suffix(".held-out.jsonl")
    keep_sources((output, beside if held_out is not None else None), source)
    found = read_preferences(source, as_chat=chat, skip_bad=skip_bad, on_row=counted("rows read"))
    for form, count in found.forms.most_common():
        console.print(f"{count:,} rows of {form}", markup=False, soft_wrap=True)
    for line in found.told():
        console.print(line, markup=False, soft_wrap=True)
    judged = [*found.pairs, *found.labelled]
    if not judged:
        raise DataError(f"{source} holds nothing to write; what is above says why")
    apart: list = []
    if held_out is not None:
        judged, apart = split_pairs(judged, held_out, seed)
    for path, part in ((output, judged), (beside, apart)):
        if part:
            write_pairs(path, part)
            console.print(f"written: {len(part):,} to {path}", markup=False, soft_wrap=True)


@app.command("export")
def export_pairs(
    source: Annotated[str, typer.Argument(metavar="FILE", help=SOURCE_HELP)],
    output: Annotated[Path, typer.Argument(metavar="OUT", callback=output_file, help="The .jsonl file to write.")],
    to: Annotated[
        OtherForm,
        typer.Option(
            help="trl: prompt, chosen, rejected. trl-unpaired: completion and label. arena: conversations and a "
            "winner, ties too. rate: the table that assay prefer rate reads."
        ),
    ] = OtherForm.TRL,
) -> None:
    """Write comparisons in the form of another tool. What that form cannot say, such as a tie in TRL's, is counted."""
    from rich.console import Console

    from assay.cli.progress import counted
    from assay.preferences import read_preferences
    from assay.preferences.write import export_rows, write_lines

    console = Console(highlight=False)
    keep_sources((output,), source)
    found = read_preferences(source, on_row=counted("rows read"))
    for line in found.told():
        console.print(line, markup=False, soft_wrap=True)
    exported = [export_rows(each, to.value) for each in (*found.pairs, *found.labelled)]
    rows = [row for rows in exported for row in rows]
    lost = sum(not rows for rows in exported)
    graded = sum(each.is_graded for each in found.pairs)
    if graded and to in (OtherForm.TRL, OtherForm.TRL_UNPAIRED):
        console.print(f"{graded:,} preferences by a share are written as whole: {to.value} has no form for them")
    if lost:
        console.print(f"left out: {lost} that {to.value} has no form for", markup=False)
    if not rows:
        raise DataError(f"{source} holds nothing that {to.value} has a form for")
    count = write_lines(output, rows)
    console.print(f"written: {count:,} to {output}", markup=False, soft_wrap=True)


app.command("collect")(collect)
app.command("stats")(stats)
app.command("rate")(rate)
app.command("judge")(judge)
app.command("agreement")(agreement)
app.command("audit")(audit)
