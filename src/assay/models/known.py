"""The models that are on this machine: the default one and every other in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assay.errors import ModelError
from assay.models.model import open_model
from assay.models.source import DEFAULT, DEFAULT_FOLDER, models_folder


@dataclass(frozen=True)
class KnownModel:
    """One line of `assay models`."""

    name: str
    """Name to call the model by: "default", or its folder in the cache."""
    path: Path
    """The model's folder, which exists once it is fetched."""
    fetched: bool
    num_parameters: int | None = None
    """Number of parameters; None where the model is not fetched, or cannot be trained."""
    num_bytes: int | None = None


def known_models() -> list[KnownModel]:
    """The default model, fetched or not, and every other folder in the cache."""
    cache = models_folder()
    folders = sorted(path.parent for path in cache.glob("*/config.json") if not path.parent.name.startswith("."))
    default = cache / DEFAULT_FOLDER
    if default not in folders:
        folders.insert(0, default)
    folders.sort(key=lambda folder: folder != default)
    return [_describe(DEFAULT if folder == default else folder.name, folder) for folder in folders]


def _describe(name: str, folder: Path) -> KnownModel:
    if not folder.is_dir():
        return KnownModel(name, folder, fetched=False)
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        num_parameters = open_model(folder).shape.num_parameters
    except ModelError:
        return KnownModel(name, folder, fetched=True, num_bytes=num_bytes)
    return KnownModel(name, folder, fetched=True, num_parameters=num_parameters, num_bytes=num_bytes)
