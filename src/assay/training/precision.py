"""The compute dtype, chosen by the measured speed of products at the shapes of the work. Master weights are fp32 either
way.

A processor's flags say little: on one with bf16 instructions and no matrix units bf16 products can be half as fast as
fp32 ones, and without such instructions twenty times slower. So both are timed, at the 64 rows that are sampled at once
and at the 2,048 that are trained on together, and what was found is kept for this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from assay.engines.local.packing import packed, packs
from assay.errors import ConfigError
from assay.home import assay_home
from assay.policies.decoder import linear
from assay.training.contention import Contention

Precision = Literal["auto", "bf16", "fp16", "fp32"]

MIN_SPEEDUP = 1.2
"""Smallest speedup of bf16 over fp32 on a CPU that is worth its rounding."""

SLOW = 10.0
"""Times as long as the fastest dtype from which on a dtype that was asked for is cautioned against."""

SAMPLED_ROWS, TRAINED_ROWS = 64, 2048
"""Rows of the products of sampling and of an update."""

_HIDDEN, _INTERMEDIATE = 576, 1536
"""The products that are timed: those of a small model's MLP."""

_HOPELESS = 5.0
"""Times as long as fp32 at few rows, from which on many rows are not tried: it would take seconds."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "ONEDNN_DEFAULT_FPMATH_MODE")
"""Variables that limit which instructions the libraries use: with another value it is another machine."""

Speeds = Mapping[str, Mapping[int, float]]
"""Dtype to rows to seconds of the fastest repeat of one block of products. Many rows are absent where few were
hopeless."""


@dataclass(frozen=True)
class PrecisionChoice:
    """The dtype to compute in, and why."""

    dtype: torch.dtype
    reason: str
    """Reason for the choice, one line for the console."""
    speedup: float | None = None
    """Speedup of bf16: fp32's seconds over bf16's for the work of one sampled token; None where it was not measured."""
    caution: str = ""
    """Warning about a dtype that was asked for and is far slower than another on this machine; empty as a rule."""


def choose_dtype(device: torch.device | str, requested: Precision = "auto") -> PrecisionChoice:
    """Choose the compute dtype. "auto": on CUDA bf16 where the device has it; on a CPU whichever measures faster.

    The measurement takes a second or two, once a machine: see `product_speeds`. A dtype that is asked for is taken, and
    on a CPU timed against the others for some milliseconds, so that one at a tenth of the speed can be cautioned
    against before the work begins.

    Raises:
        ConfigError: `requested` is something else.
    """
    device = torch.device(device)
    if requested in _DTYPES:
        caution = slow_caution(requested) if device.type == "cpu" else ""
        return PrecisionChoice(_DTYPES[requested], f"{requested} as asked for", caution=caution)
    if requested != "auto":
        raise ConfigError(f"precision {requested!r} is unknown; use 'auto', 'bf16', 'fp16' or 'fp32'")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return PrecisionChoice(torch.bfloat16, "bf16: this GPU computes it natively")
        return PrecisionChoice(torch.float32, "fp32: this GPU does not compute bf16 natively")
    return faster(product_speeds())


def faster(speeds: Speeds) -> PrecisionChoice:
    """Choose between fp32 and bf16 by the seconds of the work that one sampled token causes."""
    fp32, bf16 = token_seconds(speeds["fp32"]), token_seconds(speeds["bf16"])
    if fp32 is None or bf16 is None:
        speedup, rows = speeds["fp32"][SAMPLED_ROWS] / speeds["bf16"][SAMPLED_ROWS], f"{SAMPLED_ROWS} rows"
    else:
        speedup, rows = fp32 / bf16, f"{SAMPLED_ROWS} and {TRAINED_ROWS:,} rows"
    name = "bf16" if speedup >= MIN_SPEEDUP else "fp32"
    reason = (
        f"{name}: bf16 products of {rows} measured {speedup:.2g} times as fast as fp32 ones, {MIN_SPEEDUP} is asked for"
    )
    return PrecisionChoice(_DTYPES[name], reason, speedup)


def token_seconds(seconds: Mapping[int, float]) -> float | None:
    """Seconds of products for one sampled token: a pass among few rows, and three among many, forward and twice
    backward; None where many rows were not timed."""
    if TRAINED_ROWS not in seconds:
        return None
    return seconds[SAMPLED_ROWS] / SAMPLED_ROWS + 3 * seconds[TRAINED_ROWS] / TRAINED_ROWS


def slow_caution(requested: str) -> str:
    """Return a warning where a dtype takes SLOW times as long as the fastest here or longer, with the faster choice;
    empty otherwise."""
    known = kept_speeds() or {}
    names = dict.fromkeys(("fp32", "bf16", requested))
    seconds = {name: known[name][SAMPLED_ROWS] if name in known else _few_rows(name) for name in names}
    fastest = min(seconds, key=seconds.__getitem__)
    times = seconds[requested] / seconds[fastest]
    if times < SLOW:
        return ""
    return (
        f"{requested} products take {times:.0f} times as long as {fastest} ones on this machine: use {fastest} "
        f"(model.compute_dtype='{fastest}', or 'auto', which measures)"
    )


# ---- measured once a machine ----


def product_speeds() -> Speeds:
    """Seconds of the products in fp32 and bf16 on this machine, with as many threads as PyTorch has now.

    They are measured at the first call and kept in `product-speeds.json` in Assay's home. What was measured while
    others wanted the same cores is used, and not kept.
    """
    if (known := kept_speeds()) is not None:
        return known
    contention = Contention()
    speeds = {name: {SAMPLED_ROWS: seconds} for name, seconds in _timed(("fp32", "bf16"), SAMPLED_ROWS).items()}
    if speeds["bf16"][SAMPLED_ROWS] < _HOPELESS * speeds["fp32"][SAMPLED_ROWS]:
        for name, seconds in _timed(("fp32", "bf16"), TRAINED_ROWS).items():
            speeds[name][TRAINED_ROWS] = seconds
    if not contention.look().is_busy:
        _keep(speeds)
    return speeds


def kept_speeds() -> Speeds | None:
    """Return what was measured on this machine before; None where nothing was, or the file cannot be read."""
    try:
        found = _read()[machine_key()]
        speeds = {name: {int(rows): float(value) for rows, value in found[name].items()} for name in ("fp32", "bf16")}
        return speeds if all(speeds[name][SAMPLED_ROWS] > 0 for name in speeds) else None
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def machine_key() -> str:
    """What the speed of products depends on: processor, its instructions as far as libraries may use them, PyTorch,
    threads. A home may be shared by several machines."""
    model, flags = "", ""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = model or value.strip()
            elif name.strip() in ("flags", "Features"):
                flags = flags or hashlib.sha256(value.encode()).hexdigest()[:12]
    limits = " ".join(f"{name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name))
    capability = torch.backends.cpu.get_cpu_capability()
    parts = (model, flags, capability, limits, f"torch {torch.__version__}", f"{torch.get_num_threads()} threads")
    return " | ".join(part for part in parts if part)


def _file() -> Path:
    return assay_home() / "product-speeds.json"


def _read() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(speeds: Speeds) -> None:
    """Write them down, whole or not at all; a home that cannot be written keeps nothing."""
    path = _file()
    text = json.dumps({**_read(), machine_key(): speeds}, indent=2) + "\n"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)


def _timed(names: tuple[str, ...], rows: int, budget_seconds: float = 1.0, max_repeats: int = 12) -> dict[str, float]:
    """Seconds of the fastest repeat of each dtype, in turn, so that a machine whose speed drifts drifts for all. What
    other work adds is never subtracted, so the least is nearest to the machine's own."""
    blocks = {name: _products(_DTYPES[name], rows) for name in names}
    fastest = dict.fromkeys(names, float("inf"))
    began = time.perf_counter()
    for block in blocks.values():
        block()  # Warms up: threads, kernels, pages.
    for _ in range(max_repeats):
        for name, block in blocks.items():
            start = time.perf_counter()
            block()
            fastest[name] = min(fastest[name], time.perf_counter() - start)
        if time.perf_counter() - began > budget_seconds:
            break
    return fastest


def _few_rows(name: str) -> float:
    """Seconds at few rows, from a look of some milliseconds: enough to tell a tenth of the speed."""
    return _timed((name,), SAMPLED_ROWS, budget_seconds=0.02, max_repeats=3)[name]


def _products(dtype: torch.dtype, rows: int) -> Callable[[], object]:
    """One block's products, packed as the engine has them where it samples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, _HIDDEN, generator=generator).to(dtype)
    up = torch.randn(_INTERMEDIATE, _HIDDEN, generator=generator).to(dtype)
    down = torch.randn(_HIDDEN, _INTERMEDIATE, generator=generator).to(dtype)
    if rows == SAMPLED_ROWS and packs(dtype, "cpu"):
        up, down = packed(up), packed(down)

    @torch.inference_mode()
    def block() -> object:
        return linear(linear(x, up), down)

    return block
