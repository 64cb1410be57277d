"""Starting a run from a recipe: resolves what the recipe leaves open, makes or opens the run folder, wires the
parts."""

from __future__ import annotations

import asyncio
import fcntl
import json
import math
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch

from assay.components import components_in, source_hashes
from assay.config import dump, validate
from assay.errors import ConfigError, RankError, RunFolderError
from assay.models import Model, open_model
from assay.observe.activity import doing
from assay.observe.console import Console
from assay.observe.folder import LOCK, write_json
from assay.observe.provenance import provenance
from assay.recipe import CHANGEABLE_ON_RESUME, RunConfig
from assay.render import read_chat_template
from assay.rollout.lengths import EpisodeLengths, unknown_lengths
from assay.run import Run
from assay.run.wiring import Resolved, wire
from assay.training import MemoryEstimate, check_memory, choose_dtype, keep_freed_memory, memory_estimate
from assay.training.disk import DiskEstimate, check_disk, disk_estimate
from assay.training.within import GIB, MemoryShares

RECORD_FORMAT = 2
"""Format number of a run folder's config.json. 1, which stated no number, had domains in place of environments."""
_LAST_OF_FORMAT_1 = "8726201"
"""The commit that could resume runs of format 1."""
_LEFT_BY_A_KILL = (LOCK, ".config.json.tmp")
COMPUTE_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def build_run(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    console: Console | None = None,
    started: float | None = None,
) -> Run:
    """Resolves what the recipe leaves open (device, dtype, threads, model folder), makes or opens the run folder.

    Args:
        started: `time.monotonic()` from which the time budget counts.

    Raises:
        RunFolderError: the folder exists already, or is no run to resume.
        ConfigError: a resumed run's settings differ from those it began with; or the device has less memory than the
            run needs in any case.
        ModelError: the model cannot be had.
    """
    if resume:
        record = read_run_record(folder)
        check_resumable(record, folder)
        check_unchanged(validate(RunConfig, record["settings"]), config)
        check_sources(record.get("sources", {}), source_hashes(config, *config.verifiers))
        resolved = record["resolved"]
        model = open_model(record["model_folder"], record.get("base_folder"), policy=config.model.policy)
    else:
        # The lock, and a file half written, are what is left of a start that was killed at once.
        if folder.exists() and any(path.name not in _LEFT_BY_A_KILL for path in folder.iterdir()):
            raise RunFolderError(
                f"{folder} exists already; resume it with `assay train --resume {folder}`, "
                "or choose another --run-folder"
            )
        model = named_model(config)
        resolved = resolve(config)
        record = {
            "format": RECORD_FORMAT,
            "settings": dump(config),
            "sources": source_hashes(config, *config.verifiers),
            "resolved": resolved,
            "model_folder": str(model.folder),
            "base_folder": None if model.adapter is None else str(model.base),
            **provenance(),
        }
    available = _available(config, model, resolved)
    check_disk(folder, run_disk(config, model))
    made = not folder.exists()
    lock = _lock(folder)

    def undo() -> None:
        """Take back a start that nothing came of: a second try must not find a run that is none."""
        lock.close()
        if not resume:
            _remove_contents(folder)
            if made:
                folder.rmdir()

    write_json(folder / "config.json", {**record, "settings": dump(config)})
    torch.set_num_threads(resolved["num_threads"])
    keep_freed_memory()
    try:
        machine = Resolved(
            folder,
            lock,
            model,
            device=resolved["device"],
            compute_dtype=COMPUTE_DTYPES[resolved["compute_dtype"]],
            num_threads=resolved["num_threads"],
            chat_template=resolved.get("chat_template"),
            estimate=lambda lengths, shares=None: run_memory(config, model, resolved, lengths, shares),
            available_bytes=available,
            undo=undo,
        )
        run = wire(config, machine, console=console, resume=resume, started=started)
    except BaseException:
        undo()
        raise
    _tell_opening(run, model, resolved)
    write_json(folder / "config.json", {**record, "settings": dump(config), **run.learner.parameter_counts()})
    return run


def _available(config: RunConfig, model: Model, resolved: Mapping[str, Any]) -> int:
    """Memory of the device in bytes, after a check that the run fits; 0 where the device is another node's."""
    if config.cluster.is_used and resolved["device"].startswith("cuda") and not torch.cuda.is_available():
        return 0
    limit = math.inf if config.max_memory is None else config.max_memory * GIB
    return check_memory(run_memory(config, model, resolved), resolved["device"], limit)


def may_go_on(error: RankError, config: RunConfig, folder: Path, num_restarts: int) -> str:
    """Return what is said when a run is rebuilt from its newest checkpoint, after a rank was lost.

    Raises:
        RankError: it was rebuilt `cluster.max_restarts` times already.
    """
    most = config.cluster.max_restarts
    if num_restarts >= most:
        raise RankError(
            f"{error}; the run was rebuilt {num_restarts} times, and cluster.max_restarts={most}. What the newest "
            f"checkpoint holds is kept; go on with: assay train --resume {folder}"
        ) from error
    return f"{error}; going on from the newest checkpoint ({num_restarts + 1} of at most {most} times)"


def _tell_opening(run: Run, model: Model, resolved: Mapping[str, Any]) -> None:
    """Say what is trained, where and in what precision, and what to be careful about."""
    config, tell = run.config, run.records.console.message
    tell(
        f"training {run.learner.parameter_counts()['num_parameters']:,} parameters, policy {model.kind}, on "
        f"{resolved['device']} in {resolved['compute_dtype']}"
    )
    limits = {
        "sampling.max_new_tokens": config.sampling.max_new_tokens,
        "evaluation.test_max_new_tokens": config.evaluation.test_max_new_tokens or 0,
    }
    beyond = beyond_context(limits, model.shape.max_context)
    engine = config.engine.cautions(COMPUTE_DTYPES[resolved["compute_dtype"]]) if config.engine is not None else ()
    for caution in (*resolved.get("cautions", ()), *model.cautions, *engine, *beyond, *lost_on_resume(config)):
        tell(f"caution: {caution}")


def beyond_context(limits: Mapping[str, int], max_context: int) -> list[str]:
    """A sentence for each limit of a response, in tokens by the name of its setting, that no response can reach."""
    return [
        f"{name}={limit} cannot be reached: prompt and response together end at the model's context of {max_context} "
        "tokens"
        for name, limit in limits.items()
        if limit >= max_context
    ]


def lost_on_resume(config: RunConfig) -> list[str]:
    """Return a sentence for each component whose class another process cannot find again."""
    parts = components_in((config, *config.verifiers))
    lost = dict.fromkeys(type(each) for each in parts if type(each).__module__ == "__main__")
    return [
        f"{each.kind} {each.__qualname__} is defined in the script or notebook that runs (__main__), where "
        "`assay train --resume` cannot find it: move it to a file of its own and import it from there"
        for each in lost
    ]


def _remove_contents(folder: Path) -> None:
    """Remove the contents of a folder that was empty, or held what a killed start had left."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@doing("opening the model")
def named_model(config: RunConfig) -> Model:
    """The model that a recipe names.

    Raises:
        ModelError: it cannot be had.
    """
    return open_model(config.model.source, config.model.base, policy=config.model.policy)


def run_memory(
    config: RunConfig,
    model: Model,
    resolved: Mapping[str, Any],
    lengths: EpisodeLengths | None = None,
    shares: MemoryShares | None = None,
) -> MemoryEstimate:
    """Estimate the memory that a run will need before anything is loaded.

    Args:
        lengths: of its longest episodes; None where no task has been looked at, which leaves what is needed in any
            case as it is.
        shares: what the run takes of memory; None for what the recipe asks for.

    Raises:
        ModelError: the model's folder cannot be used.
    """
    shape, needs = model.shape, config.algorithm.needs
    num_trainable = model.num_trained(config.model.lora)
    # Our decoder puts the adapters of reference and critic on the base of the policy.
    shares_base = num_trainable is not None and shape.kind == "decoder"
    frozen = shape.num_parameters if needs.reference_model and not shares_base else 0
    if needs.values and num_trainable is not None and not shares_base:
        frozen += shape.num_parameters
    if needs.teacher:
        frozen += open_model(needs.teacher).shape.num_parameters
    if lengths is None:
        lengths = unknown_lengths(config.sampling, config.limits, shape.max_context)
    rollouts = config.groups_per_step * config.group_size
    prompts = config.groups_per_step if shape.kind == "decoder" else rollouts
    of_a_step = prompts * lengths.prompt + rollouts * (lengths.whole - lengths.prompt)
    under_way = rollouts * (1 + config.max_staleness)
    shares = shares or config.memory_shares
    return memory_estimate(
        shape,
        compute_dtype=COMPUTE_DTYPES[resolved["compute_dtype"]],
        tokens_per_microbatch=min(shares.tokens_per_microbatch, of_a_step),
        num_slots=(num_slots := min(shares.num_slots, under_way)),
        num_kept=under_way - num_slots if shape.kind == "decoder" else 0,
        prefix_cache_bytes=shares.prefix_cache_bytes,
        keeps_cache=config.max_staleness > 0,
        slot_tokens=lengths.whole,
        num_trainable=num_trainable,
        num_frozen_parameters=frozen,
        samples=not needs.pairs,
        has_logits=not needs.rewards,
        critic=needs.values,
        gradient_checkpointing=config.model.gradient_checkpointing,
        gives_back=config.max_memory is not None,
        device=resolved["device"],
    )


def run_disk(config: RunConfig, model: Model) -> DiskEstimate:
    """Estimate the disk space that the checkpoints of a run take.

    Raises:
        ModelError: the model's folder cannot be used.
    """
    every, validations = config.checkpoint.every_steps, config.evaluation.every_steps
    # A new best model is followed by a checkpoint that knows it.
    due = sum(config.num_steps // steps for steps in (every, validations) if steps)
    adapted = model.num_trained(config.model.lora)
    return disk_estimate(
        adapted or model.shape.num_parameters,
        critic=config.algorithm.needs.values,
        keep_last=config.checkpoint.keep_last,
        num_written=due + 1,
        validates=bool(validations and config.num_steps >= validations),
        num_merged=model.shape.num_parameters if adapted and config.algorithm.needs.rewards else 0,
    )


def _lock(folder: Path) -> IO[str]:
    """Lock the run folder as long as the file is open: two processes in one run folder would undo each other's work."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RunFolderError(f"another process is running in {folder}; wait for it, or stop it first") from None
    return lock


def resolve_device(device: str) -> str:
    """The device that "auto" stands for on this machine, or the one that was asked for.

    Raises:
        ConfigError: this machine has no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r} cannot be used ({error}); use 'auto' or 'cpu'") from None
    return device


@doing("measuring which precision is faster here")
def resolve(config: RunConfig) -> dict[str, Any]:
    """The settings that depend on the machine, as it has them; kept, so that a resumed run computes the same."""
    far = config.cluster.is_used and config.model.device.startswith("cuda") and not torch.cuda.is_available()
    if far and config.model.compute_dtype == "auto":
        raise ConfigError(
            'model.compute_dtype="auto" measures the GPU, and this machine has none: name the precision of the others, '
            "model.compute_dtype=bf16"
        )
    device = config.model.device if far else resolve_device(config.model.device)
    num_threads = config.num_threads or default_threads()
    torch.set_num_threads(num_threads)
    choice = choose_dtype("cpu" if far else device, config.model.compute_dtype)
    name = next(name for name, dtype in COMPUTE_DTYPES.items() if dtype == choice.dtype)
    return {
        "device": device,
        "compute_dtype": name,
        "num_threads": num_threads,
        "why_dtype": choice.reason,
        "cautions": [choice.caution] if choice.caution else [],
        "chat_template": read_chat_template(config.model.chat_template),
    }


def default_threads() -> int:
    """Threads of a run whose settings name none: $OMP_NUM_THREADS as for every program, else one a core."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) > 0 else len(os.sched_getaffinity(0))


def read_run_record(folder: Path) -> dict[str, Any]:
    """Return the content of config.json in a run folder.

    Raises:
        RunFolderError: there is none, or it cannot be read.
    """
    path = folder / "config.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"settings", "resolved", "model_folder"} - record.keys()
    except FileNotFoundError:
        raise RunFolderError(f"{folder} is no run folder: it has no config.json") from None
    except (OSError, ValueError, AttributeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from None
    if missing:
        raise RunFolderError(f"{path} lacks {', '.join(sorted(missing))}")
    return {**record, "settings": _of_today(record["settings"])}


def _of_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run folder of format 1 under today's names, so that old runs open in show, eval and export."""
    renamed = dict(settings)
    if "domain" in renamed:
        renamed["environment"] = renamed.pop("domain")
    return renamed


def check_resumable(record: Mapping[str, Any], folder: Path) -> None:
    """Raises RunFolderError where a run began with an Assay that did something else than today's would go on with."""
    if record.get("format", 1) != RECORD_FORMAT:
        raise RunFolderError(
            f"{folder} began before environments held their own rewards, and today's Assay would go on with other "
            f"rollouts; resume it with commit {_LAST_OF_FORMAT_1}. show, eval and export read it as it is; for a new "
            f"run from its model: --set model.source={folder}/model"
        )


def check_sources(began: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raises ConfigError where the source of a component, data or a function has changed since the run began."""
    changed = [reference for reference, digest in now.items() if began.get(reference, digest) != digest]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} has changed since the run began, so that the run would go on as another one; "
            "restore it, or begin a new run"
        )


def check_unchanged(began: RunConfig, now: RunConfig) -> None:
    """Raises ConfigError where a resumed run would compute something else than the run that it continues. How fast a
    judge is asked, and what that may cost, is no part of it."""
    before, after = (_flat({**dump(config), "verifier": config.reward.identity}) for config in (began, now))
    changed = [
        f"{key}: began with {before.get(key)!r}, now {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key.split(".")[0] not in CHANGEABLE_ON_RESUME
    ]
    for name in ("num_steps", "max_seconds", "max_sampled_tokens") if now.trainer.schedule != "constant" else ():
        if before.get(name) != after.get(name):
            changed.append(f"{name}: the {now.trainer.schedule} schedule depends on it")
    if changed:
        raise ConfigError(
            "a resumed run keeps its settings, apart from "
            + " and ".join(CHANGEABLE_ON_RESUME)
            + ", and how fast a judge is asked and what that may cost:\n"
            + "\n".join(changed)
        )


@contextmanager
def stop_on_interrupt(run: Run) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) asks the run to stop after the step under way, or in its closing test; a second Ctrl-C stops
    at once."""

    def request(number: int, frame: object) -> None:
        if run.clock.stop_requested:
            with suppress(RuntimeError):
                # asyncio would print a traceback for every task that is left behind.
                asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            raise KeyboardInterrupt
        run.clock.stop_requested = True
        what = "after this step, with a checkpoint"
        if run.clock.is_testing:
            what = "the closing test, which begins again at --resume; what was trained is kept"
        run.records.console.message(f"stopping {what}; Ctrl-C again stops at once")

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread hears signals, and may say what follows from them.
        yield
        return
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
