"""A hundred kills at random moments leave the run that was never killed."""

from __future__ import annotations

import importlib.util
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RESUME = Path(__file__).parents[1] / "parity" / "test_resume.py"


@pytest.mark.slow
def test_a_hundred_random_kills(tiny_model: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("test_resume", RESUME)
    assert spec is not None
    assert spec.loader is not None
    resume = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(resume)

    recipe = resume.recipe(tmp_path, tiny_model)
    recipe.write_text(recipe.read_text().replace("num_steps = 6", "num_steps = 60"))
    whole = tmp_path / "whole"
    done = resume.run("never", 0, recipe, "--run-folder", whole)
    assert done.returncode == 0, done.stderr

    rng = random.Random(0)
    broken = tmp_path / "broken"
    num_kills = 0
    while num_kills < 100:
        started = (broken / "config.json").exists()
        arguments = ["--resume", broken] if started else [recipe, "--run-folder", broken]
        command = [sys.executable, "-m", "assay.cli.main", "train", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + rng.uniform(2.0, 9.0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            num_kills += 1
        elif process.returncode == 0:
            # It came to its end: what is left of the kills is tried from the beginning.
            assert resume.fingerprint(broken) == resume.fingerprint(whole)
            broken = tmp_path / f"broken-{num_kills}"
        process.wait()
    if (broken / "config.json").exists():
        done = resume.run("never", 0, "--resume", broken)
    else:
        done = resume.run("never", 0, recipe, "--run-folder", broken)
    assert done.returncode == 0, done.stderr
    assert resume.fingerprint(broken) == resume.fingerprint(whole)
