"""Checkpoints: folders that are there whole or not at all, whenever the process is killed.

    checkpoints/
    |-- step-000010/
    |   |-- model/                   a Hugging Face folder, or PEFT's of an adapter: other tools open it; of a reward
    |   |                            model that trains an adapter both, adapter/ in the whole one
    |   |-- optimizer.safetensors    the moments, by parameter name
    |   `-- state.json               the rest: counters, the caller's state, the size of every file
    |-- best -> best-000008          the model that did best on validation tasks
    `-- best-000008/                 a Hugging Face folder, and best.json: step and accuracy

Everything is written to a folder `.writing-...` beside its place, synced to the disk file by file, and renamed. What a
killed writer left is removed by the next one. One process writes to a checkpoint folder at a time.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from assay.errors import CheckpointError, ModelError
from assay.models import open_model
from assay.policies.lora.folder import check_base
from assay.policies.policy import Policy
from assay.policies.reward import ADAPTER, RewardModel
from assay.policies.shards import copy_into, gathered, is_sharded
from assay.training.trainer import Trainer, TrainerStateDict

FORMAT_VERSION = 1
_TEMPORARY = ".writing-"
_STEP_FOLDER = re.compile(r"step-(\d{6,})")
SPARE_BYTES = 16 * 2**20
"""Bytes asked for beyond the tensors: tokenizer, JSON, what the filesystem itself takes."""


@dataclass(frozen=True)
class Best:
    """The best model so far."""

    path: Path
    """A Hugging Face folder, or PEFT's of an adapter."""
    step: int
    accuracy: float


def write_checkpoint(
    folder: Path, step: int, policy: Policy, trainer: Trainer, state: Mapping[str, Any], *, writes: bool = True
) -> Path:
    """Writes everything that a run needs to go on as if it had never stopped. A checkpoint knows nothing of ranks: any
    number of them goes on from it.

    Args:
        folder: of all checkpoints of the run; made if it is missing.
        step: how many steps the run has made.
        state: what the caller wants back, as JSON data.
        writes: False on all ranks of a sharded learner but one: they give their part.

    Returns:
        The checkpoint's folder. One of the same step is replaced.

    Raises:
        CheckpointError: the disk is full or not writable. Earlier checkpoints are as they were, and
            nothing half-written stays.
    """
    kept = trainer.state_dict()
    # Before the first update there are no moments yet; the next checkpoint will have them.
    needed = _model_bytes(policy) + sum(tensor.nbytes for tensor in kept.tensors.values())
    trained, tensors = _whole_trained(policy, writes), gathered(kept.tensors.items(), keep=writes)
    if not writes:
        return folder / f"step-{step:06d}"
    with _whole_folder(folder, f"step-{step:06d}", needed) as temporary:
        policy.save(temporary / "model", **trained)
        save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, _optimizer(temporary))
        sizes = {str(path.relative_to(temporary)): path.stat().st_size for path in _files(temporary)}
        document = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "trainer": kept.counters,
            "state": dict(state),
            "files": sizes,
        }
        (temporary / "state.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / f"step-{step:06d}"


def read_checkpoint(path: Path, policy: Policy, trainer: Trainer | None = None) -> dict[str, Any]:
    """Loads weights in place, and the optimizer if a trainer is given; returns the caller's state.

    Nothing is changed unless every file was read.

    Raises:
        CheckpointError: a file is missing, cut short or unreadable, or belongs to another model.
    """
    document = _read_document(path)
    for name, size in document["files"].items():
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{file} is missing; {_use_another(path)}")
        if file.stat().st_size != size:
            raise CheckpointError(f"{file} has {file.stat().st_size} bytes, {size} were written; {_use_another(path)}")
    _check_base(path, policy)
    parameters = _trained(policy)
    weights = _weights_of(path / "model", parameters)
    _check_weights(path, parameters, weights)
    if trainer is not None:
        state = TrainerStateDict(_read_tensors(_optimizer(path)), document["trainer"])
        try:
            trainer.load_state_dict(state)
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{_optimizer(path)} does not fit this run: {error}") from None
    with torch.no_grad():
        for name, parameter in parameters.items():
            copy_into(parameter, weights[name])
    return document["state"]


def load_trained(folder: Path, policy: Policy) -> None:
    """Loads what is trained from the folder of a model that training wrote, in place.

    Raises:
        CheckpointError: a file cannot be read, or belongs to another model.
    """
    parameters = _trained(policy)
    weights = _weights_of(folder, parameters)
    _check_weights(folder.parent, parameters, weights)
    with torch.no_grad():
        for name, parameter in parameters.items():
            copy_into(parameter, weights[name])


def _weights_of(folder: Path, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for file in sorted((*folder.glob("*.safetensors"), *(folder / ADAPTER).glob("*.safetensors"))):
        weights |= _read_tensors(file)
    if not parameters.keys() <= weights.keys():
        # transformers stores some architectures under other names than it computes with.
        with suppress(ModelError):
            weights = dict(open_model(folder).weights())
    return weights


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the highest step; None where there is none."""
    return max(_checkpoints(folder), key=_step, default=None)


def prune(folder: Path, keep_last: int, keep: Collection[Path] = ()) -> list[Path]:
    """Removes all but the newest `keep_last` checkpoints and those in `keep`; returns what was removed."""
    kept = {path.resolve() for path in keep}
    old = sorted(_checkpoints(folder), key=_step)[: -keep_last or None]
    removed = [path for path in old if path.resolve() not in kept]
    for path in removed:
        _remove(path)
    return removed


def _whole_trained(policy: Policy, keep: bool) -> dict[str, Any]:
    """Return options of `Policy.save` for what this process holds; a sharded policy is gathered."""
    trained = _trained(policy)
    if not any(map(is_sharded, trained.values())):
        return {}
    return {"trained": gathered(trained.items(), keep=keep)}


def write_best(folder: Path, step: int, accuracy: float, policy: Policy, *, writes: bool = True) -> Path:
    """Makes the policy as it is now the best one, in place of any other; returns `folder`/best.

    Args:
        writes: as for `write_checkpoint`.

    Raises:
        CheckpointError: the disk is full or not writable. The earlier best stays.
    """
    name, trained = f"best-{step:06d}", _whole_trained(policy, writes)
    if not writes:
        return folder / "best"
    with _whole_folder(folder, name, _model_bytes(policy)) as temporary:
        policy.save(temporary, **trained)
        (temporary / "best.json").write_text(json.dumps({"step": step, "accuracy": accuracy}), encoding="utf-8")
    try:
        # A link can be replaced in one rename, a folder that is not empty cannot.
        link = folder / f"{_TEMPORARY}best-link"
        link.symlink_to(name, target_is_directory=True)
        link.replace(folder / "best")
        _sync(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder / 'best'}: {error}; make the folder writable") from error
    for other in folder.glob("best-*"):
        if other.name != name:
            _remove(other)
    return folder / "best"


def read_best(folder: Path) -> Best | None:
    """The best model so far; None where there is none.

    Raises:
        CheckpointError: best.json is not what `write_best` wrote.
    """
    path = folder / "best" / "best.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Best(folder / "best", int(data["step"]), float(data["accuracy"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error!r}); delete {folder / 'best'}") from None


@contextmanager
def _whole_folder(folder: Path, name: str, needed_bytes: int) -> Iterator[Path]:
    """A temporary folder that becomes `folder`/`name` when the block ends, synced; and vanishes if it fails."""
    temporary = folder / f"{_TEMPORARY}{name}"
    needed_bytes += SPARE_BYTES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        free = shutil.disk_usage(folder).free
        if free < needed_bytes:
            raise CheckpointError(_no_space(folder / name, needed_bytes, free))
        temporary.mkdir()
        yield temporary
        for path in _files(temporary):
            _sync(path)
        for path, _, _ in os.walk(temporary, topdown=False):
            _sync(Path(path))
        _move_into_place(temporary, folder / name)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if _is_full(error):
            free = shutil.disk_usage(folder).free
            raise CheckpointError(f"{_no_space(folder / name, needed_bytes, free)} ({error})") from error
        raise CheckpointError(f"cannot write {folder / name}: {error}; make {folder} a folder you may write") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _move_into_place(temporary: Path, target: Path) -> None:
    if target.exists():
        aside = target.with_name(f"{_TEMPORARY}replaced-{target.name}")
        target.rename(aside)
        temporary.rename(target)
        shutil.rmtree(aside)
    else:
        temporary.rename(target)


def _remove(path: Path) -> None:
    """Renames before deleting, so that a checkpoint that is half deleted does not look like one."""
    doomed = path.with_name(f"{_TEMPORARY}removed-{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"{_TEMPORARY}*"):
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()
        else:
            shutil.rmtree(leftover)


def _read_document(path: Path) -> dict[str, Any]:
    file = path / "state.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version, missing = document["format_version"], {"step", "trainer", "state", "files"} - document.keys()
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: {path} is not a checkpoint; {_use_another(path)}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} cannot be read ({error!r}); {_use_another(path)}") from None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{file} has format {version}, this version reads {FORMAT_VERSION}; use the one it is from"
        )
    if missing:
        raise CheckpointError(f"{file} lacks {', '.join(sorted(missing))}; {_use_another(path)}")
    return document


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}); {_use_another(file.parent)}") from None


def _check_base(path: Path, policy: Policy) -> None:
    """An adapter's base is not in the checkpoint: it must be as it was."""
    if policy.adapter is not None:
        try:
            folder = path / "model"
            check_base(folder / ADAPTER if (folder / ADAPTER).is_dir() else folder, policy.adapter.fingerprint)
        except ModelError as error:
            raise CheckpointError(f"the base has changed since the checkpoint was written: {error}") from None


def _check_weights(path: Path, parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        found = weights.get(name)
        if found is None or found.shape != parameter.shape or found.dtype != parameter.dtype:
            said = "no such tensor" if found is None else f"{list(found.shape)} of {found.dtype}"
            raise CheckpointError(
                f"{path / 'model'}: {name} should be {list(parameter.shape)} of {parameter.dtype}, found {said}; "
                "the checkpoint is of another model: pass the model it was made from"
            )


def _use_another(path: Path) -> str:
    return f"delete {path} to go on from the checkpoint before it, or restore it from a copy"


def _is_full(error: OSError | SafetensorError) -> bool:
    """Return whether a disk, a quota or a file-size limit is exhausted. safetensors gives the number only in its
    text."""
    said = re.search(r"os error (\d+)", str(error))
    number = int(said[1]) if said else getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _no_space(target: Path, needed: int, free: int) -> str:
    return (
        f"no room for {target}: about {_megabytes(needed)} are needed there, {_megabytes(free)} are free; free some, "
        "keep fewer checkpoints, or resume with the run folder on another disk"
    )


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"


def _model_bytes(policy: Policy) -> int:
    # A reward model is written whole, its adapter merged.
    written = policy.named_parameters() if isinstance(policy, RewardModel) else _trained(policy).items()
    return sum(parameter.nbytes for _, parameter in written)


def _trained(policy: Policy) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that a checkpoint holds: with an adapter, the rest is in the base's folder."""
    return {name: parameter for name, parameter in policy.named_parameters() if parameter.requires_grad}


def _optimizer(path: Path) -> Path:
    return path / "optimizer.safetensors"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if _STEP_FOLDER.fullmatch(path.name) and path.is_dir()]


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
