from __future__ import annotations

import sys
from pathlib import Path

import pytest

TRAINER = '''
"""Stands in for `assay train`: the same options, a run folder with a checkpoint, a summary."""
import json, os, pathlib, signal, sys, tomllib

arguments, recipe, resumed = sys.argv[1:], None, False
while arguments:
    option = arguments.pop(0)
    if option == "--set":
        key, _, text = arguments.pop(0).partition("=")
        recipe[key] = tomllib.loads("v = " + text)["v"]
    elif option == "--run-folder":
        folder = pathlib.Path(arguments.pop(0))
        folder.mkdir(parents=True)  # as assay train: a folder that exists is an error
    elif option == "--resume":
        assert recipe is None, "a resumed run has its recipe"
        folder, resumed = pathlib.Path(arguments.pop(0)), True
        recipe = json.loads((folder / "config.json").read_text())
    else:
        recipe = tomllib.loads(pathlib.Path(option).read_text())
print("training", recipe)
print("step 1/1  reward 0.5", flush=True)
calls = pathlib.Path(__file__).with_name("calls.txt")
with calls.open("a") as file:
    file.write(json.dumps([recipe["seed"], recipe.get("rate"), resumed]) + "\\n")
(folder / "config.json").write_text(json.dumps(recipe))
(folder / "checkpoints" / "step-000001").mkdir(parents=True, exist_ok=True)
(folder / "checkpoints" / "step-000001" / "model.safetensors").write_text("large")
(folder / "checkpoints" / "step-000001" / "optimizer.safetensors").write_text("twice as large")
if recipe.get("kill_at_first") and not resumed:
    os.kill(os.getpid(), signal.SIGKILL)
if recipe.get("fail") == recipe["seed"]:
    sys.exit("the reason it failed")
(folder / "rows.jsonl").write_text("{}\\n")
gain = recipe["rate"] * (1 + recipe["seed"])
(folder / "summary.json").write_text(json.dumps({"gain": {"value": gain}, "seconds": 2.0, "name": "x"}))
'''


@pytest.fixture
def trainer(tmp_path: Path) -> tuple[str, str]:
    """The command of a run: a real process that takes what `assay train` takes. It notes its calls in calls.txt."""
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    (tmp_path / "recipe.toml").write_text("rate = 1.0\n")
    return sys.executable, str(script)
