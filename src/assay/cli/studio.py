"""`assay studio [RUN...]`: a local page that looks into runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer


def studio(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help='Run folders, names of runs, or "latest". Default: every run under ~/.assay/runs.',
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0: any that is free.", min=0, max=65535)] = 0,
) -> None:
    """Look into runs on a local web page, also into one that is going on.

    Curves with their intervals and alarms, levels by step; rollouts by outcome, reward, level, ending and text, with
    turns, tool calls, masked tokens and log-probabilities; before and after side by side; runs in pairs; results of
    map, transfer and audit in the folder; the doctor. What is looked at has an address, pictures can be saved as PNG or
    SVG, everything can be done by keyboard ("?" lists the keys). Only this machine reaches the page, with the token in
    its address. Needs the extra "pages" (NiceGUI).

    Example: assay studio latest
    """
    import functools
    import secrets

    from rich.console import Console

    from assay.pages.server import HOST, listening, require_pages, serve_pages
    from assay.pages.studio.address import StudioAddress

    require_pages("assay studio")
    found = functools.partial(_found, _named(runs or []))
    listener = listening(port)
    secret = secrets.token_urlsafe(16)
    names = tuple(found()) if runs else ()
    address = f"http://{HOST}:{listener.getsockname()[1]}{StudioAddress(names).path(secret)}"
    console = Console(highlight=False)

    def tell() -> None:
        console.print(f"studio: {address}", markup=False, soft_wrap=True)
        console.print("Ctrl-C stops it.", markup=False)

    from assay.pages.studio.frame import register_studio

    register_studio(found, secret)
    serve_pages(listener, tell)


def _named(runs: Sequence[str]) -> dict[str, Path]:
    """Folders by name; a name that two of them have gets its number."""
    from assay.home import assay_home
    from assay.observe.folder import find_run

    found: dict[str, Path] = {}
    for run in runs:
        folder = find_run(run, assay_home() / "runs").resolve()
        name, number = folder.name, 2
        while found.get(name, folder) != folder:
            name, number = f"{folder.name} ({number})", number + 1
        found[name] = folder
    return found


def _found(named: Mapping[str, Path]) -> Mapping[str, Path]:
    """The named runs; where none is named, every run that there is now."""
    from assay.home import assay_home
    from assay.observe.folder import is_run

    if named:
        return named
    folder = assay_home() / "runs"
    return {path.name: path for path in sorted(folder.glob("*")) if is_run(path)} if folder.is_dir() else {}
