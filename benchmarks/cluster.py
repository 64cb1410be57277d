"""A run over processes of its own, measured: `python benchmarks/cluster.py --device cuda --learner 4 --engines 4`.

Prints tokens per second of sampling and of the update, seconds and bytes of a publish, the proof's gap, and the shares
of the step in which engines and ranks wait for each other. Without a GPU its tiny form runs (`--tiny`): it shows that
the command works, and no speed. Beside a peer: `python benchmarks step --with trl` on the same node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from assay.config import validate
from assay.launch import build_run
from assay.loop import train
from assay.observe.provenance import provenance
from assay.observe.store import RunStore
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig


def config_of(arguments: argparse.Namespace, source: str) -> RunConfig:
    """The run that is measured: sums, without measurements or checkpoints between its steps."""
    settings: dict[str, Any] = {
        "num_steps": arguments.steps,
        "groups_per_step": arguments.groups,
        "group_size": 8,
        "max_staleness": arguments.staleness,
        "model": {"source": source, "device": arguments.device},
        "sampling": {"max_new_tokens": arguments.tokens},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 0},
        "cluster": {"learner": arguments.learner, "engines": arguments.engines},
    }
    if arguments.address:
        settings["cluster"]["address"] = arguments.address
    if arguments.device == "cpu":
        settings["model"]["compute_dtype"] = "fp32"
    if arguments.staleness:
        settings["algorithm"] = {"name": "grpo", "ratio_against": "sampling"}
    return validate(RunConfig, settings)


def measure(config: RunConfig, folder: Path) -> dict[str, float]:
    """Medians over the steps after the first, which warms up."""
    asyncio.run(train(build_run(config, folder)))
    series = RunStore.open_readonly(folder).metrics()

    def median(name: str) -> float:
        return statistics.median(value for _, value in series[name][1:] if value is not None)

    step, update, publish = (
        median(name) for name in ("time/step_seconds", "time/update_seconds", "time/publish_seconds")
    )
    found = {
        "step_seconds": step,
        "update_seconds": update,
        "update_tokens_per_second": median("train/num_packed_tokens") / update,
        "publish_seconds": publish,
        "publish_bytes": median("engine/publish_bytes"),
        "probe_gap_nats": median("engine/probe_gap_nats"),
    }
    busy = median("time/engines_busy_seconds")
    return found | {
        "sampling_tokens_per_second": median("train/num_tokens") / busy if busy else float("nan"),
        "idle_share_of_engines": 1.0 - busy / step,
        "idle_share_of_ranks": 1.0 - (update + publish) / step,
        "mean_staleness_versions": median("rollout/mean_staleness_versions"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--learner", type=int, default=1)
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--address", help="a Ray cluster; one is started here without it")
    parser.add_argument("--staleness", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--groups", type=int, default=16, help="groups of 8 a step")
    parser.add_argument("--tokens", type=int, default=512, help="the longest response")
    parser.add_argument("--tiny", action="store_true", help="a random model of 27,000 parameters, three short steps")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.steps, arguments.groups, arguments.tokens = 3, 2, 8
    with tempfile.TemporaryDirectory() as temporary:
        source = str(write_tiny_model(Path(temporary) / "tiny")) if arguments.tiny else arguments.model
        found = measure(config_of(arguments, source), Path(temporary) / "run")
    for name, value in found.items():
        print(f"{name:<28} {value:.4g}")
    if arguments.json:
        called = {key: value for key, value in vars(arguments).items() if key != "json"}
        arguments.json.write_text(json.dumps({"arguments": called, **provenance(), "measured": found}, indent=2))


if __name__ == "__main__":
    main()
