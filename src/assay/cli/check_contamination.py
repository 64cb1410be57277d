"""`assay check contamination`: which evaluation rows share long n-grams with training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.common_options import keep_sources, output_file


def contamination(
    train: Annotated[str, typer.Argument(help="A .jsonl, .json, .csv or .parquet file, or hub:owner/dataset/path.")],
    evaluation: Annotated[str, typer.Argument(metavar="EVAL", help="The same, of what is measured.")],
    n: Annotated[int, typer.Option("--n", help="Words of an n-gram.", min=5, max=100)] = 13,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", help="Compare this column of EVAL; may be repeated. Default: all texts."),
    ] = None,
    train_columns: Annotated[
        list[str] | None, typer.Option("--train-column", help="The same of TRAIN. Default: all texts.")
    ] = None,
    most_common: Annotated[
        int | None,
        typer.Option(
            help="Pass over n-grams of more rows of EVAL than this: a template's wording. Default: none.", min=1
        ),
    ] = None,
    max_ngrams: Annotated[
        int, typer.Option(help="N-grams of EVAL held at once; with more, TRAIN is read again.", min=1000)
    ] = 5_000_000,
    output: Annotated[
        Path | None,
        typer.Option(callback=output_file, help="Write a line of JSON for each row of EVAL that shares one."),
    ] = None,
) -> None:
    """Find rows of EVAL that share an n-gram of words with TRAIN, or all of themselves where they are shorter.

    Exact: every n-gram of every row is compared, in bounded memory. Ends with an error where there is such a row.
    """
    import dataclasses
    import json

    from assay.environments.contamination import ExampleRows, overlaps
    from assay.errors import DataError
    from assay.observe.whole import written_whole

    keep_sources((output,), train, evaluation)
    found = overlaps(
        ExampleRows(train, train_columns or ()),
        ExampleRows(evaluation, columns or ()),
        n=n,
        most_common=most_common,
        max_ngrams=max_ngrams,
    )
    if not found:
        raise DataError(f"{evaluation} has no rows")
    shared = [each for each in found if each.num_shared]
    if output is not None:
        lines = [json.dumps({**dataclasses.asdict(each), "share": each.share}, ensure_ascii=False) for each in shared]
        with written_whole(output) as file:
            file.writelines(f"{line}\n" for line in lines)
    silent = sum(not each.num_ngrams for each in found)
    typer.echo(f"{len(found):,} rows of {evaluation}; {silent:,} of them have no {n}-gram that counts")
    for least in (0.0, 0.5, 1.0):
        count = sum(each.share >= least for each in shared)
        what = f"at least {least:.0%} of their {n}-grams" if least else f"a {n}-gram"
        typer.echo(f"{count:,} rows ({count / len(found):.1%}) share {what} with {train}")
    for each in sorted(shared, key=lambda each: -each.share)[:5]:
        typer.echo(f"  {each.place} shares {each.num_shared} of {each.num_ngrams}, such as {each.shared!r:.160}")
        typer.echo(f"    with {each.train_place}")
    if shared:
        raise DataError(
            f"{len(shared):,} of {len(found):,} rows of {evaluation} share a {n}-gram with {train}: what they measure "
            "may be memory; see by --output which they are, and take them out of the training rows (wording that many "
            "rows share, such as a template's, is passed over with --most-common)"
        )
