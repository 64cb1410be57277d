"""Time to the same held-out accuracy, ours beside TRL's: `python benchmarks/accuracy.py --json FILE`.

Both train SmolLM2-135M-Instruct by GRPO on the same prompts in the same order, for the same reward, with the same
settings (works.STEP). The two make their steps in turn, and the one that waits is stopped. Every few steps each answers
the same held-out tasks, greedily; that time is not counted. A side is done at its first accuracy of at least the
target. What was measured is in FILE after every step, and a seed that is done there is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import statistics
import sys
from pathlib import Path
from typing import Any

import machine
from assay.config import dump, validate
from assay.home import assay_home
from assay.launch import COMPUTE_DTYPES
from assay.models import resolve_source
from assay.observe.provenance import provenance
from assay.recipe import RunConfig
from assay.training import choose_dtype
from side import Side
from works import MAX_STEPS, OURS, STEP, Bench, step_config, write_tasks

SIDES = (OURS, "trl")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/accuracy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--target", type=float, default=0.5, help="held-out accuracy that ends a side")
    parser.add_argument("--max-steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=5, help="steps between two evaluations")
    parser.add_argument("--held-out", type=int, default=128, help="tasks")
    parser.add_argument(
        "--dtype", choices=("auto", "bf16", "fp32"), default="auto", help="of both sides; auto measures"
    )
    parser.add_argument("--busy", action="store_true", help="measure though others use the machine")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="takes and resumes what was measured")
    arguments = parser.parse_args()
    if not 1 <= arguments.max_steps <= MAX_STEPS:
        parser.error(f"--max-steps must be from 1 to {MAX_STEPS}, got {arguments.max_steps}")
    # Ended from outside, it still ends its sides: they stand stopped, with all their memory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not arguments.busy:
        machine.refuse_if_busy()
    choice = choose_dtype("cpu", arguments.dtype)
    dtype = next(name for name, each in COMPUTE_DTYPES.items() if each == choice.dtype)
    print(f"both sides in {dtype}: {choice.reason}")
    recipe = step_config(dtype)
    bench = Bench(resolve_source("default"), assay_home() / "benchmarks", quick=False, without=(), dtype=dtype)
    held_out = bench.folder / "held-out.jsonl"
    bench.folder.mkdir(parents=True, exist_ok=True)
    write_tasks(held_out, itertools.islice(STEP.environment.tasks("test"), arguments.held_out))
    settings = {name: getattr(arguments, name) for name in ("target", "max_steps", "every", "held_out")}
    settings["recipe"] = dump(recipe)
    content: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.exists() else {"seeds": {}}
    if content.setdefault("settings", settings) != settings:
        raise SystemExit(f"{arguments.json} was measured with {content['settings']}; give another file for {settings}")
    for seed in arguments.seeds:
        if not content["seeds"].get(str(seed), {}).get("done"):
            _measure(bench, seed, held_out, arguments, content)
    _print(content)


def _measure(bench: Bench, seed: int, held_out: Path, arguments: argparse.Namespace, content: dict[str, Any]) -> None:
    config = validate(RunConfig, {**step_config(bench.dtype).model_dump(mode="json"), "seed": seed})
    sides: dict[str, Side] = {}
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    entry: dict[str, Any] = {"steps": curves}
    content["seeds"][str(seed)] = entry
    try:
        for name in SIDES:
            sides[name] = bench.step_side(name, config)
        for step in range(1, arguments.max_steps + 1):
            for name, side in sides.items():
                if _reached(curves[name], arguments.target):
                    continue
                job = {"job": "step"} | ({"evaluate": str(held_out)} if step % arguments.every == 0 else {})
                curves[name].append(side.measure(job))
                shown = curves[name][-1]
                print(
                    f"seed {seed} step {step} {name} {shown['seconds']:.1f} s {shown.get('accuracy', '')}",
                    file=sys.stderr,
                )
            _write(arguments.json, content)
            if all(_reached(curve, arguments.target) for curve in curves.values()):
                break
        for name, curve in curves.items():
            reached = _reached(curve, arguments.target)
            entry[name] = {
                "seconds": sum(row["seconds"] for row in curve) if reached else None,
                "steps": len(curve),
                "peak_gigabytes": sides[name].peak_gigabytes(),
                "start_seconds": sides[name].start_seconds,
            }
        entry["done"] = True
        _write(arguments.json, content)
    finally:
        for side in sides.values():
            side.close()


def _reached(curve: list[dict[str, float]], target: float) -> bool:
    return bool(curve) and curve[-1].get("accuracy", 0.0) >= target


def _write(path: Path, content: dict[str, Any]) -> None:
    done = [entry for entry in content["seeds"].values() if entry.get("done")]
    reached = [entry for entry in done if all(entry[name]["seconds"] is not None for name in SIDES)]
    content["ratios"] = {}
    # A seed that one side did not finish is not left out: then there is no ratio.
    if done and len(reached) == len(done):
        ratios = [entry["trl"]["seconds"] / entry[OURS]["seconds"] for entry in done]
        content["ratios"] = {
            "accuracy/trl": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **provenance()}, indent=2) + "\n", encoding="utf-8")


def _print(content: dict[str, Any]) -> None:
    target = content["settings"]["target"]
    for seed, entry in content["seeds"].items():
        if not entry.get("done"):
            print(f"seed {seed}  not finished")
            continue
        for name in SIDES:
            side = entry[name]
            took = "not reached" if side["seconds"] is None else f"{side['seconds']:.0f} s"
            print(f"seed {seed}  {name:6} {target:.0%} held out: {took} in {side['steps']} steps")
    for name, ratio in content["ratios"].items():
        print(f"{name}: {ratio['median']:.2f} times as fast [{ratio['low']:.2f}, {ratio['high']:.2f}]")


if __name__ == "__main__":
    main()
