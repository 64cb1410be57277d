"""Recomputes the numbers on the results pages from what is kept beside them, and names those that a page has otherwise.

    python docs/results/verify.py                   # every page
    python docs/results/verify.py algorithms.md     # one
    python docs/results/verify.py --write           # puts recomputed rows of tables in the place of those that differ

What each page is recomputed from stands in pages.py, which calls Assay's own statistics. A sweep's answers must also
give what its runs said of themselves (summaries.json), and these its table (table.json, table.md).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent


@dataclass(frozen=True)
class Numbers:
    """What a page must say."""

    rows: Mapping[tuple[str, str], Sequence[str | None]] = field(default_factory=dict)
    """(heading of the section, how the row's first cell begins) to the row's other cells; None for one that says
    something else than numbers."""
    phrases: Sequence[str] = ()
    """Stand in the text, across lines."""
    sweeps: Sequence[str] = ()
    """Folders of published sweeps."""


def check(text: str, numbers: Numbers) -> Iterator[tuple[tuple[str, str] | None, str]]:
    """What a page has otherwise: ((heading of the section, the line as it should be), or None; what is wrong)."""
    for (section, label), cells in numbers.rows.items():
        lines = [line for line in lines_of(text, section) if line.startswith(f"| {label}")]
        if len(lines) != 1:
            yield None, f"section {section!r} has {len(lines)} rows that begin with {label!r}"
            continue
        (line,) = lines
        first, *said = (cell.strip() for cell in line.strip().strip("|").split(" |"))
        wanted = [one if other is None else other for one, other in zip(said, cells, strict=False)]
        if len(said) != len(cells):
            yield None, f"the row {label!r} has {len(said)} cells beside its first, recomputed {len(cells)}"
        elif said != wanted:
            row = f"| {' | '.join([first, *wanted])} |".replace("|  |", "| |")
            yield (section, row), f"{line}\n  recomputed: {row}"
    flat = " ".join(text.split())
    for phrase in numbers.phrases:
        if phrase not in flat:
            yield None, f"nowhere on the page, but recomputed: {phrase}"


def lines_of(text: str, section: str) -> list[str]:
    """The lines under a heading, until the next; under "", those before the second heading."""
    parts = re.split(r"^##+ (.*)$", text, flags=re.MULTILINE)
    sections = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    return sections.get(section, "").splitlines()


def write(text: str, section: str, row: str) -> str:
    """The page with a row in the place of the one of its section that has its first cell and as many cells."""
    first, found, heading = row.split(" | ")[0], [], ""
    for line in text.split("\n"):
        if named := re.match(r"##+ (.*)$", line):
            heading = named[1]
        is_it = heading == section and line.startswith(f"{first} |") and line.count(" |") == row.count(" |")
        found.append(row if is_it else line)
    return "\n".join(found)


def verify(page: str, *, rewrite: bool = False) -> list[str]:
    """What is wrong with a page; empty where every number is as recomputed."""
    from pages import NOTHING_KEPT, PAGES, runs_of

    from assay.evaluation.sweep import differences

    if page in NOTHING_KEPT:
        return []
    if page not in PAGES:
        return [f"pages.py does not say how {page} is recomputed"]
    path = RESULTS / page
    text, numbers = path.read_text(encoding="utf-8"), PAGES[page]()
    found = [
        f"{sweep}: {difference}"
        for sweep in numbers.sweeps
        for difference in differences(RESULTS / sweep, runs_of(sweep))
    ]
    for mended, problem in check(text, numbers):
        if mended is not None and rewrite:
            text = write(text, *mended)
        else:
            found.append(problem)
    if rewrite:
        path.write_text(text, encoding="utf-8")
    return found


def pages() -> list[str]:
    """Every page with results."""
    return sorted(path.name for path in RESULTS.glob("*.md") if path.name != "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="such as algorithms.md; default: every page")
    parser.add_argument("--write", action="store_true", help="put recomputed rows in the place of those that differ")
    options = parser.parse_args()
    wrong = False
    for page in [Path(page).name for page in options.pages] or pages():
        problems = verify(page, rewrite=options.write)
        wrong |= bool(problems)
        print(f"{page}: {'not as recomputed' if problems else 'as recomputed'}")
        for problem in problems:
            print(f"  {problem}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
