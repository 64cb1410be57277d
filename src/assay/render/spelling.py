"""Tokens of a run as text, by the run's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import AssayError
from assay.observe.folder import read_json

if TYPE_CHECKING:
    from assay.render import ChatRenderer


def token_speller(folder: Path) -> tuple[Callable[[int], str] | None, str]:
    """Return what spells a token of a run, and a line about it; None where the run's tokenizer is not at hand."""
    from assay.render import load_renderer

    for place in _model_folders(folder):
        try:
            renderer = load_renderer(place)
        except (AssayError, OSError, ValueError):
            continue
        return _speller(renderer), f"tokens spelled by the tokenizer in {place}"
    return None, "no tokenizer at hand: token ids shown"


def _speller(renderer: ChatRenderer) -> Callable[[int], str]:
    return lambda token: renderer.decode([token])


def _model_folders(folder: Path) -> list[Path]:
    named = [read_json(folder / name).get("model_folder") for name in ("summary.json", "config.json")]
    folders = [Path(name) for name in named if isinstance(name, str)]
    folders += [path.parent for path in sorted(folder.glob("**/tokenizer.json"))]
    return [path for path in folders if (path / "tokenizer.json").is_file()]
