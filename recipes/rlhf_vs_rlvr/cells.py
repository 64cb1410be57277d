"""Trains and tests the cells of docs/results/rlhf_vs_rlvr.md, one after the other.

    python recipes/rlhf_vs_rlvr/cells.py FOLDER [CELL ...] [--seeds 1,2,3]

FOLDER gets runs/CELL-SEED and evals/CELL-SEED. What is there already is kept, and what was interrupted goes on with
the same command. Without names, every cell: first those of the comparison, then the dose of errors, then single ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXACT = 'name = "exact", after = "="'
LIKED = '{{ name = "reward_model", source = "{folder}/runs/fit" }}'
NOISY = f'{{{{ name = "{HERE / "noisy.py"}:Noisy", of = {{{{ {EXACT} }}}}, %s }}}}'
ENDED = LIKED.replace(" }}", ", missing_end_penalty = 3.0 }}")
BOTH = (
    f'{{{{ name = "weighted", solved_by = "right", parts = {{{{ right = {{{{ verifier = {{{{ {EXACT} }}}} }}}}, '
    f"liked = {{{{ weight = 0.25, verifier = {LIKED} }}}} }}}} }}}}"
)
VERIFIERS = {
    "verifier": f"{{{{ {EXACT} }}}}",
    "reward_model": LIKED,
    "reward_model_ended": ENDED,
    "both": BOTH,
    "accepts_05": NOISY % "false_accepts = 0.05",
    "accepts_20": NOISY % "false_accepts = 0.2",
    "accepts_40": NOISY % "false_accepts = 0.4",
    "rejects_05": NOISY % "false_rejects = 0.05",
    "rejects_20": NOISY % "false_rejects = 0.2",
    "rejects_40": NOISY % "false_rejects = 0.4",
}
"""The reward of each cell that is trained by rl.toml."""
MAIN = ("verifier", "reward_model", "dpo")
DOSE = ("accepts_05", "accepts_20", "accepts_40")
SINGLE = ("reward_model_ended", "both", "rejects_05", "rejects_20", "rejects_40")
"""Cells of one seed."""
TEST = (
    *("--environment", "arithmetic", "--set", "example=true", "--set", "instruction=", "--complexity", "2,3,4"),
    *("--horizon", "1", "--num-tasks", "150", "--max-new-tokens", "24"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pairs.jsonl and runs/answerer are here already")
    parser.add_argument("cells", nargs="*", help=f"of {', '.join((*VERIFIERS, 'dpo'))}")
    parser.add_argument("--seeds", default="1,2,3")
    options = parser.parse_args()
    folder, seeds = options.folder.absolute(), [int(seed) for seed in options.seeds.split(",")]
    test(folder, "base")
    if options.cells:
        jobs = [(cell, seed) for seed in seeds for cell in options.cells]
    else:
        jobs = [(cell, seed) for cells in (MAIN, DOSE) for seed in seeds for cell in cells]
        jobs += [(cell, seeds[0]) for cell in SINGLE]
    for cell, seed in jobs:
        if "reward_model" in VERIFIERS.get(cell, ""):
            train(folder, "fit", 1, "reward_model.toml", "")  # one for all seeds
        recipe = "dpo.toml" if cell == "dpo" else "rl.toml"
        train(folder, f"{cell}-{seed}", seed, recipe, VERIFIERS.get(cell, "").format(folder=folder, seed=seed))
        test(folder, f"{cell}-{seed}")


def train(folder: Path, name: str, seed: int, recipe: str, verifier: str) -> None:
    """Train a run of that name to its end, if it is not there."""
    run = folder / "runs" / name
    summary = run / "summary.json"
    if summary.is_file() and json.loads(summary.read_text())["status"] == "finished":
        return
    settings = [f"seed={seed}"]
    if recipe != "rl.toml":
        settings.append(f"environment.path={folder / 'pairs.jsonl'}")
    if recipe == "reward_model.toml":
        settings.append(f"model.source={folder / 'runs/answerer'}")
    if verifier:
        settings.append(f"verifier={verifier}")
    fresh = (str(HERE / recipe), *(part for each in settings for part in ("--set", each)), "--run-folder", str(run))
    assay("train", *(("--resume", str(run)) if (run / "checkpoints").is_dir() else fresh))


def test(folder: Path, name: str) -> None:
    """Measure a run on the held-out tasks that are the same for all."""
    if not (folder / "evals" / name / "scores.json").is_file():
        model = "default" if name == "base" else str(folder / "runs" / name)
        assay("eval", model, *TEST, "--output", str(folder / "evals" / name))


def assay(*arguments: str) -> None:
    """Run a command of Assay, and stop where it fails."""
    print("assay", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "assay.cli.main", *arguments], check=True)


if __name__ == "__main__":
    main()
