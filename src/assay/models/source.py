"""Finding a model: from the name that a user gives ("default", a folder, a run, a hub id) to a folder on this
machine."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from assay.errors import ConfigError, ModelError
from assay.home import assay_home
from assay.observe.folder import LATEST, find_run, is_run, read_json
from assay.policies import smollm2
from assay.policies.lora.document import is_adapter, read_adapter_config
from assay.types import ENDPOINT_PREFIX

DEFAULT = "default"
DEFAULT_FOLDER = f"smollm2-135m-instruct-{smollm2.GGUF_SHA256[:8]}"
"""Name of the default model's folder in the cache, with the hash of its file: another file would be another folder."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MAX_NAME = 1000
"""Characters of a base's name: the file that gives it may come from anybody."""
_NAME_IT = "name its base: --base FOLDER, or model.base in a recipe"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model"]


def models_folder() -> Path:
    """The cache of fetched models."""
    return assay_home() / "models"


def resolve_source(source: str | Path, revision: str | None = None) -> Path:
    """A folder that holds the model, or an adapter for one, fetched first where need be.

    Args:
        source: "default" (SmolLM2-135M-Instruct), a folder, a run (its folder, its name, or "latest"), one of its
            checkpoints, or a hub id such as "HuggingFaceTB/SmolLM2-135M-Instruct".
        revision: of a hub id; None for the newest.

    Raises:
        ConfigError: a model at an endpoint.
        RunFolderError: "latest" where there is no run.
        ModelError: there is no such model, or it cannot be fetched; says what to do.
    """
    if str(source).startswith(ENDPOINT_PREFIX):
        raise ConfigError(
            f"{source} is at an endpoint: its weights are not here, so it can be measured (assay eval), asked for "
            "demonstrations (assay demonstrate) or made a judge, but not trained, exported or talked to; name a folder "
            "or a hub id"
        )
    if str(source) == DEFAULT:
        return install(models_folder() / DEFAULT_FOLDER, smollm2.build)
    if (folder := _folder(source)) is not None:
        return _model_in(folder)
    if isinstance(source, str) and _HUB_ID.fullmatch(source):
        return _fetch_from_hub(source, revision)
    runs = assay_home() / "runs"
    named = _folder(runs / str(source))
    if str(source) == LATEST or (named is not None and is_run(named)):
        return run_model(find_run(source, runs))
    raise ModelError(
        f"no model {str(source)!r}: name `default`, a folder that exists, a run (its folder, its name in {runs}, or "
        "`latest`), or a hub id organisation/name"
    )


def first_words(source: str) -> str:
    """What can be said of a model at once, before torch is loaded: where its files lie and how large they are."""
    folder = models_folder() / DEFAULT_FOLDER if source == DEFAULT else _folder(source)
    if folder is None or not folder.is_dir():
        absent = ", which is not on this machine yet: it is fetched and converted first" if source == DEFAULT else ""
        return f"{source}{absent}"
    num_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    size = f", {num_bytes / 1e6:,.0f} MB" if num_bytes else ""
    return f"{source} ({folder}{size})"


def run_model(run: Path) -> Path:
    """The folder of the model that a run made: RUN/model.

    Raises:
        ModelError: the run has made none yet, or it is gone.
    """
    named = read_json(run / "summary.json").get("model")
    candidates = [run / "model"]
    if isinstance(named, str):
        # Runs of before there was a link to it; they may have moved since, with their checkpoints.
        candidates += [run / "checkpoints" / Path(named).name, run / "checkpoints" / Path(named).parent.name / "model"]
        candidates += [Path(named)]
    for candidate in candidates:
        if _holds_a_model(candidate):
            return candidate
    if isinstance(named, str):
        raise ModelError(f"the run {run} names {named} as its model, which is not there any more")
    checkpoints = sorted((run / "checkpoints").glob("step-*/model"))
    kept = f"; what it has so far: {checkpoints[-1]}" if checkpoints else ""
    raise ModelError(
        f"the run {run} has no model yet: it is there when the run ends (`assay train --resume {run}` goes on with "
        f"it){kept}"
    )


def _model_in(folder: Path) -> Path:
    """The folder itself where it holds a model, or the place of the model in the folder of a run or a checkpoint."""
    if is_run(folder):
        return run_model(folder)
    if (folder / "state.json").is_file() and _holds_a_model(folder / "model"):
        return folder / "model"
    if _holds_a_model(folder):
        return folder
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and (is_run(path) or _holds_a_model(path)))
    inside += sorted(path.parent for path in folder.glob("step-*/state.json"))
    hint = f"; name one of those in it, such as {inside[-1]}" if inside else ""
    raise ModelError(f"{folder} is no model: it has no config.json{hint}")


def _folder(name: str | Path) -> Path | None:
    """The folder of a name; None where there is none, or where the name can be no path: adapters name their bases."""
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None


def _holds_a_model(folder: Path) -> bool:
    return is_adapter(folder) or (folder / "config.json").is_file()


def base_of(folder: Path, base: Path | None = None) -> Path:
    """The folder of the whole model: that of an adapter's base, or `folder` itself.

    Args:
        base: of an adapter, where it is not the one that adapter_config.json names, or that is elsewhere now.

    Raises:
        ModelError: no base is named, it is not here, or it is an adapter itself; or a base for a whole model.
    """
    if not is_adapter(folder):
        if base is not None:
            raise ModelError(f"a base has no effect with {folder}, which is a whole model: leave it out")
        return folder
    if base is None:
        document = read_adapter_config(folder)
        base = _named_base(folder, document.get("base_model_name_or_path"), document.get("revision"))
    if is_adapter(base):
        raise ModelError(
            f"the base of the adapter {folder} is an adapter itself: {base}; merge that one first (`assay export`)"
        )
    return base


def _named_base(adapter: Path, name: str | None, revision: str | None) -> Path:
    if name is None:
        raise ModelError(f"{adapter} is an adapter that does not say of which model; {_NAME_IT}")
    if len(name) > _MAX_NAME:
        raise ModelError(
            f"{adapter} names a base of {len(name):,} characters, which is no folder or hub id; {_NAME_IT}"
        )
    if _folder(name) is None and Path(name).name == DEFAULT_FOLDER:
        # Trained on another machine, where the cache lies elsewhere.
        name = DEFAULT
    try:
        return resolve_source(name, revision)
    except (ModelError, ConfigError) as error:
        raise ModelError(f"the base of the adapter {adapter} is not here: {error}; or {_NAME_IT}") from None


def install(folder: Path, build: Callable[[Path], None]) -> Path:
    """Make `build` fill a folder, unless it is there already, so that it appears whole or not at all.

    It is built beside its place and renamed there, so a process that is killed leaves nothing that looks like a model.
    Two processes at once both end up with the folder that was finished first.

    Raises:
        ModelError: the place cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"the model cache {folder.parent} cannot be written ({error}); set ASSAY_HOME to a folder that can"
        ) from None
    try:
        build(partial)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _fetch_from_hub(name: str, revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))
    except Exception as error:
        # The hub's client raises its own, requests' and the file system's errors; a person does the same about each.
        reason = (str(error).splitlines() or ["no details"])[0]
        raise ModelError(
            f"{name!r} is not a folder here and could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}: {reason}). Remedies: check the name; check the network, or set HF_ENDPOINT to "
            "a mirror; for gated models set HF_TOKEN; or copy the model to this machine and name its folder"
        ) from None
