"""The whole training step, ours beside TRL's GRPOTrainer: same model, prompts, group size, lengths and precision.

    make bench                                   # or: python benchmarks/step.py [--repeats 5] [--json FILE]

Both sides run in processes of their own and make their steps in turn, so that a machine whose speed drifts drifts for
both; the one that waits blocks on a pipe and takes no processor time. TRL is installed into a virtual environment of
its own under the benchmark's folder. The first step of each side warms up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from assay.config import dump, validate
from assay.curriculum import Curriculum
from assay.home import assay_home
from assay.observe.provenance import provenance
from assay.policies.registry import resolve_model
from assay.recipe import RunConfig

HERE = Path(__file__).parent
PEER = ("torch==2.13.0", "transformers==5.23.0", "trl==1.16.0", "datasets", "accelerate")


def settings(max_new_tokens: int) -> RunConfig:
    """What both sides do: 8 prompts x 8 answers, GRPO averaged over tokens, AdamW at 1e-5, bf16 compute."""
    return validate(
        RunConfig,
        {
            "name": "benchmark",
            "num_steps": 1000,
            "groups_per_step": 8,
            "group_size": 8,
            "model": {"compute_dtype": "bf16"},
            "verifier": {"name": "numeric"},
            "sampling": {"max_new_tokens": max_new_tokens},
            "algorithm": {"name": "grpo", "normaliser": "tokens"},
            "trainer": {"learning_rate": 1e-5},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
            "checkpoint": {"every_steps": 0},
        },
    )


class Side:
    """A process that makes one step for each line it is sent, and answers with a line of JSON."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.seconds: list[float] = []
        self.tokens: list[float] = []
        self.peak_gigabytes = 0.0
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
        self._log = log.open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        self._log_path = log

    def step(self, count: bool) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith('{"seconds"'):
                answer = json.loads(line)
                break
        else:
            raise SystemExit(f"{self.name} ended early; see {self._log_path}")
        if count:
            self.seconds.append(answer["seconds"])
            self.tokens.append(answer["tokens"])
        self.peak_gigabytes = _peak_gigabytes(self._process.pid)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def summary(self) -> dict[str, float | list[float]]:
        return {
            "median_seconds": statistics.median(self.seconds),
            "low_seconds": min(self.seconds),
            "high_seconds": max(self.seconds),
            "median_response_tokens": statistics.median(self.tokens),
            "peak_gigabytes": self.peak_gigabytes,
            "seconds": self.seconds,
        }


def _peak_gigabytes(pid: int) -> float:
    """Largest resident memory so far, as the kernel counts it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1e6
    return 0.0


def peer_python(folder: Path) -> Path:
    """The interpreter of TRL's own environment, installed at first use."""
    python = folder / "venv" / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        print("installing TRL into an environment of its own", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEER], check=True)
        done.touch()
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="counted steps of each side")
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    arguments = parser.parse_args()
    folder = assay_home() / "benchmarks" / "step"
    folder.mkdir(parents=True, exist_ok=True)
    python = peer_python(folder)
    config = settings(arguments.max_new_tokens)
    model = resolve_model("default")

    curriculum = Curriculum(config.curriculum, config.domain, config.seed)
    tasks = [curriculum.next_task(i) for i in range(config.groups_per_step * (arguments.repeats + 2))]
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(task.to_dict()) + "\n" for task in tasks))
    recipe = folder / "settings.json"
    recipe.write_text(json.dumps(dump(config)))

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the machine is loaded ({load:.1f}); close what runs beside the benchmark", file=sys.stderr)
    run_folder = folder / time.strftime("run-%Y%m%d-%H%M%S")
    ours = Side(
        "assay", [sys.executable, str(HERE / "step_ours.py"), str(recipe), str(run_folder)], folder / "ours.log"
    )
    limit = str(arguments.max_new_tokens)
    trl = Side("trl", [str(python), str(HERE / "step_trl.py"), str(model), str(prompts), limit], folder / "trl.log")
    try:
        for repeat in range(arguments.repeats + 1):
            for side in (ours, trl):
                side.step(count=repeat > 0)
                print(f"{side.name} step {repeat + 1}: {(side.seconds or [float('nan')])[-1]:.1f} s", file=sys.stderr)
    finally:
        ours.close()
        trl.close()
    pairs = [theirs / own for own, theirs in zip(ours.seconds, trl.seconds, strict=True)]
    ratio = {"median": statistics.median(pairs), "low": min(pairs), "high": max(pairs)}
    for side in (ours, trl):
        s = side.summary()
        print(
            f"{side.name:6} {s['median_seconds']:6.1f} s a step [{s['low_seconds']:.1f}, {s['high_seconds']:.1f}]  "
            f"{s['median_response_tokens']:.1f} tokens a response  {s['peak_gigabytes']:.1f} GB peak"
        )
    print(f"step/trl: {ratio['median']:.1f} times as fast [{ratio['low']:.1f}, {ratio['high']:.1f}]")
    if arguments.json:
        result = {"ratios": {"step/trl": ratio}, "assay": ours.summary(), "trl": trl.summary(), **provenance()}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
