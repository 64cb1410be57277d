"""Speed, ours beside the peers' in one run: `make bench`, or `python benchmarks [WORK ...] [--quick] [--json FILE]`.

Every side is a process of its own. They do the same jobs in turn, so that a machine whose speed drifts drifts for all;
those that wait are stopped. Each peer first tries a few of its settings on a job and keeps the fastest. The floor is
the time that the operations and bytes of a job take at the rates measured on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import floor
import machine
import works
from assay.home import assay_home
from assay.launch import COMPUTE_DTYPES
from assay.models import resolve_source
from assay.observe.provenance import provenance
from assay.policies.config import DecoderConfig
from assay.training import choose_dtype
from works import Work


@dataclass
class Result:
    """What a work came to."""

    work: Work
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Side to seconds of each repeat."""
    tokens: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """Side to whatever else it counted in each repeat."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    peak_gigabytes: dict[str, float] = field(default_factory=dict)
    start_seconds: dict[str, float] = field(default_factory=dict)
    """Side to the seconds from the start of its process until it was ready."""
    floor_seconds: float | None = None

    def ratios(self) -> dict[str, dict[str, float]]:
        """work/peer to how many times our speed is the peer's: median and range over the pairs of one repeat."""
        found = {}
        for peer in self.seconds:
            if peer != works.OURS and self.seconds[works.OURS]:
                pairs = [
                    (theirs / their_tokens) / (own / own_tokens)
                    for own, own_tokens, theirs, their_tokens in zip(
                        self.seconds[works.OURS],
                        self.tokens[works.OURS],
                        self.seconds[peer],
                        self.tokens[peer],
                        strict=True,
                    )
                ]
                found[f"{self.work.name}/{peer}"] = {
                    "median": statistics.median(pairs),
                    "low": min(pairs),
                    "high": max(pairs),
                }
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.work.what,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "counts": self.counts,
            "settings": self.settings,
            "peak_gigabytes": self.peak_gigabytes,
            "start_seconds": self.start_seconds,
            "floor_seconds": self.floor_seconds,
            "floor_share": self.floor_share(),
        }

    def floor_share(self) -> float | None:
        """The floor over our median time; 1 is as fast as the machine goes."""
        own = self.seconds.get(works.OURS)
        return self.floor_seconds / statistics.median(own) if self.floor_seconds and own else None


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"of {', '.join(works.WORKS)}; all by default")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="about 15 minutes: fewer repeats, some smaller jobs, no search of the peers' settings, no step_forced",
    )
    parser.add_argument("--repeats", type=int, help="counted jobs of each side; default 5, quick 2 or 1")
    parser.add_argument("--without", action="append", default=[], metavar="PEER", help="leave a peer out")
    parser.add_argument(
        "--dtype",
        choices=("auto", "bf16", "fp32"),
        default="auto",
        help="of all sides and of the floor; auto: the faster here, as `assay train` measures it",
    )
    parser.add_argument(
        "--vllm",
        nargs=2,
        metavar=("DTYPE", "BLOCK"),
        help="its dtype and block size; default: the same dtype (float32, bfloat16), and its own choice, 0",
    )
    parser.add_argument("--busy", action="store_true", help="measure though others use the machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.works if name not in works.WORKS]
    if unknown:
        parser.error(f"no work {unknown[0]!r}; there are {', '.join(works.WORKS)}")
    # Ended from outside, it still ends its sides: they stand stopped, with all their memory.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not arguments.busy:
        machine.refuse_if_busy()
    model = resolve_source("default")
    choice = choose_dtype("cpu", arguments.dtype)
    dtype = next(name for name, each in COMPUTE_DTYPES.items() if each == choice.dtype)
    print(f"all sides in {dtype}: {choice.reason}{f'; caution: {choice.caution}' if choice.caution else ''}")
    rates = machine.Machine(DecoderConfig.from_folder(model), choice.dtype)
    described: dict[str, Any] = {"dtype": dtype, **rates.describe()}
    print("  ".join(f"{name} {value:.0f}" for name, value in described.items() if not isinstance(value, str)))
    without = tuple(arguments.without)
    bench = works.Bench(model, assay_home() / "benchmarks", quick=arguments.quick, without=without, dtype=dtype)
    if arguments.vllm:
        bench.vllm_options = tuple(arguments.vllm)
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    everything = [name for name, work in works.WORKS.items() if work.in_quick or not arguments.quick]
    chosen = [works.WORKS[name].form(arguments.quick) for name in arguments.works or everything]
    with contextlib.closing(bench):
        for index, work in enumerate(chosen):
            try:
                repeats = arguments.repeats or (work.quick_repeats if arguments.quick else 5)
                result = _measure(bench, work, chosen[index + 1 :], repeats)
            except works.SideError as error:
                failures[work.name] = str(error)
                print(f"{work.name}: {error}", file=sys.stderr)
                continue
            result.floor_seconds = work.floor(rates, floor) if work.floor else None
            results[work.name] = result
            _print(result)
            if arguments.json:
                _write(arguments.json, results, failures, described)
    if failures:
        raise SystemExit(1)


def _measure(bench: works.Bench, work: Work, later: Sequence[Work], repeats: int) -> Result:
    result = Result(work)
    with bench.sides(work, later) as sides:
        for side in sides:
            result.settings[side.name] = bench.best_settings(work, side)
        for repeat in range(repeats):
            for side in sides:
                answer = side.measure(work.job(side.name, repeat) | result.settings[side.name])
                result.seconds.setdefault(side.name, []).append(answer["seconds"])
                result.tokens.setdefault(side.name, []).append(answer["tokens"])
                rest = {name: number for name, number in answer.items() if name not in ("seconds", "tokens")}
                if rest:
                    result.counts.setdefault(side.name, []).append(rest)
                print(f"  {work.name} {side.name} {answer['seconds']:.2f} s", file=sys.stderr)
        result.start_seconds = {side.name: side.start_seconds for side in sides}
        result.peak_gigabytes = {side.name: side.peak_gigabytes() for side in sides}
    return result


def _print(result: Result) -> None:
    print(f"\n{result.work.name}: {result.work.what}")
    for side, seconds in result.seconds.items():
        rates = [tokens / s for tokens, s in zip(result.tokens[side], seconds, strict=True)]
        print(
            f"  {side:13} {statistics.median(seconds):7.2f} s [{min(seconds):.2f}, {max(seconds):.2f}]  "
            f"{statistics.median(rates):7.0f} {result.work.counts}/s  {result.peak_gigabytes[side]:.1f} GB  "
            f"started in {result.start_seconds[side]:.0f} s  "
            f"{' '.join(f'{key}={value}' for key, value in result.settings[side].items())}"
        )
    for side, counts in result.counts.items():
        medians = {name: statistics.median(each[name] for each in counts) for name in counts[0]}
        print(f"  {side:13} " + "  ".join(f"{name} {number:.4g}" for name, number in medians.items()))
    share = result.floor_share()
    if share is not None:
        print(f"  floor         {result.floor_seconds:7.2f} s, of which we use {share:.0%}")
    for name, ratio in result.ratios().items():
        print(f"  {name}: {ratio['median']:.2f} times as fast [{ratio['low']:.2f}, {ratio['high']:.2f}]")


def _write(path: Path, results: dict[str, Result], failures: dict[str, str], described: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ratios: dict[str, Any] = {}
    for result in results.values():
        ratios |= result.ratios()
    content = {
        "ratios": ratios,
        "works": {name: result.to_dict() for name, result in results.items()},
        "failed": failures,
        "rates": described,
        **provenance(),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
