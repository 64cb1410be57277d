"""`assay prefer collect RUN|FILE`: comparisons collected from people, on a local page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.common_options import output_file
from assay.cli.groups import with_groups
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.preferences import Pair

PAIRS_OF_A_RUN = 200
"""Pairs that are drawn from a run where nobody says how many."""


@dataclass(frozen=True)
class ChoiceOptions:
    """Options for what each annotator is shown."""

    most_pairs: Annotated[
        int | None,
        typer.Option(
            "--most",
            metavar="N",
            help="Pairs that each annotator judges at most, repeats apart.",
            min=1,
            show_default="all",
        ),
    ] = None
    repeats: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of an annotator's pairs that come a second time.", min=0.0, max=1.0),
    ] = 0.1
    overlap: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of an annotator's pairs that another one has judged too.", min=0.0, max=1.0
        ),
    ] = 0.2
    seed: Annotated[int, typer.Option(help="Seed of the sides, the order, and the pairs of a run.")] = 0


@with_groups
def collect(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run (its folder, its name, or latest): pairs of responses to one task, blind to reward. Or a file "
            "of comparisons as assay prefer import reads it; two responses without a preference will do.",
        ),
    ],
    choice: ChoiceOptions,
    annotators: Annotated[
        list[str] | None,
        typer.Option("--annotator", metavar="NAME", help="Who judges; give it once for each.", show_default="me"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            callback=output_file,
            help="The .jsonl file that judgements are appended to. Default: FILE.judged.jsonl, or comparisons.jsonl in "
            "the run's folder.",
            show_default=False,
        ),
    ] = None,
    num_pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs", metavar="N", help="Pairs that are drawn from a run.", min=1, show_default=str(PAIRS_OF_A_RUN)
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: any that is free.", min=0, max=65535)] = 0,
) -> None:
    """Compare two responses side by side on a local web page, and keep the judgements as pairs.

    Sides are shuffled and recorded; which model wrote a response, and what it earned, is not shown. By keyboard: left
    and right arrow, T for a tie, S to skip, U to undo. Each judgement is on the disk before the next pair comes; the
    same command goes on where it was stopped. Only this machine reaches the page, and each annotator has an address
    with a secret. Needs the extra "pages" (NiceGUI).

    Example: assay prefer collect pairs.jsonl --annotator ada --annotator bob, then assay prefer stats
    pairs.judged.jsonl
    """
    from rich.console import Console

    from assay.pages.server import HOST, listening, require_pages, serve_pages
    from assay.preferences.annotators import annotator_secrets
    from assay.preferences.collect import Collecting, CollectSettings
    from assay.preferences.collected import CollectionFile

    names = list(dict.fromkeys(name.strip() for name in annotators or ["me"]))
    if not all(names):
        raise ConfigError("an annotator has no name; give --annotator NAME")
    require_pages("assay prefer collect")
    console = Console(highlight=False)
    found = _pairs(source, num_pairs, choice.seed, console)
    kept = output or found.output
    file = CollectionFile(kept)
    try:
        settings = CollectSettings(choice.most_pairs, choice.repeats, choice.overlap, seed=choice.seed)
        collecting = Collecting(found.pairs, file, names, settings)
        keys = annotator_secrets(kept.with_suffix(".keys.json"), names)
        listener = listening(port)
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        lines = [f"{len(collecting.pairs):,} pairs; judgements go to {kept}"]
        for name in names:
            progress = collecting.progress(name).told()
            lines.append(f"{name} ({progress}): {address}/?key={keys[name]}")
        lines.append("Ctrl-C stops it; the same command goes on.")
        from assay.pages.collect_page import register_collect_page

        register_collect_page(collecting, keys, found.title)
        serve_pages(listener, lambda: _tell(lines, console))
        num = sum(each.pair is not None for each in file.standing.values())
        console.print(
            f"{num:,} judgements in {kept}; look at them with: assay prefer stats {kept}", markup=False, soft_wrap=True
        )
    finally:
        file.close()


def _tell(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class _ToJudge:
    pairs: list[Pair]
    output: Path
    title: str


def _pairs(source: str, num_pairs: int | None, seed: int, console: Console) -> _ToJudge:
    """What is to be judged, and where judgements go unless somebody says otherwise."""
    from assay.home import assay_home
    from assay.observe.folder import find_run
    from assay.observe.store import RunStore
    from assay.preferences import read_preferences
    from assay.preferences.siblings import sibling_pairs

    path = Path(source).expanduser()
    if source.startswith("hub:") or path.is_file():
        if num_pairs is not None:
            raise ConfigError(
                "--pairs has no effect on a file, all of whose pairs are to be judged; --most bounds them"
            )
        found = read_preferences(source, unjudged=True)
        for line in found.told():
            if not line.startswith("contradictory"):
                console.print(line, markup=False, soft_wrap=True)
        if not found.pairs:
            raise DataError(f"{source} holds no pair to judge: a pair is two different responses to one prompt")
        name = source.rpartition("/")[2] if source.startswith("hub:") else path.name
        stem = name.partition(".")[0] or "pairs"
        folder = Path() if source.startswith("hub:") else path.parent
        return _ToJudge(found.pairs, folder / f"{stem}.judged.jsonl", name)
    folder = find_run(source, assay_home() / "runs")
    with RunStore.open_readonly(folder) as store:
        pairs = sibling_pairs(store, folder.name, num_pairs or PAIRS_OF_A_RUN, seed)
    if not pairs:
        raise DataError(
            f"{folder} holds no two different responses to one task yet; let it take a step with groups of two or more"
        )
    return _ToJudge(pairs, folder / "comparisons.jsonl", folder.name)
