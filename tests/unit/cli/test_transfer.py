"""`assay transfer` with a tiny model: every cell is made once, and what is wrong is said before anything is spent."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError, ConfigError, DataError

RECIPE = """
name = "small"
groups_per_step = 2
group_size = 2
num_threads = 1
checkpoint.every_steps = 0
evaluation.every_steps = 0
evaluation.test_max_new_tokens = 4
sampling.max_new_tokens = 4
model = {{ source = "{model}", device = "cpu", compute_dtype = "fp32" }}

[transfer]
train = ["sums", "chain", "mix"]
evaluate = ["sums", "harder"]
seeds = 2
tokens = 20
tasks = 6

[environments.sums]
name = "arithmetic"
level = {{ complexity = 1 }}

[environments.harder]
name = "arithmetic"
level = {{ complexity = 2 }}

[environments.chain]
name = "chain"
form = "single"
level = {{ horizon = 2 }}
"""


class Trainer:
    """Runs `assay train` in this process, in place of a process of its own, and counts the runs."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.fail = ""
        self._start = subprocess.Popen

    def __call__(self, arguments: Any, *others: Any, **options: Any) -> Any:
        if "assay.cli.main" not in arguments:
            return self._start(arguments, *others, **options)
        self.folders.append(Path(arguments[-1]))
        if self.fail and self.fail in arguments[-1]:
            options["stdout"].write(b"the reason it failed\n")
            return Ended(1)
        result = CliRunner().invoke(app, arguments[3:])
        assert result.exit_code == 0, result.output + repr(result.exception)
        return Ended(0)


@dataclass
class Ended:
    """A process that has ended."""

    code: int

    def wait(self, timeout: float | None = None) -> int:
        return self.code


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    found = Trainer()
    monkeypatch.setattr("assay.evaluation.sweep.runner.subprocess.Popen", found)
    # Pages and pictures of runs have tests of their own, and take most of the time.
    monkeypatch.setattr("assay.run.ending.write_report", lambda folder: None)
    return found


@pytest.fixture
def spec(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    path = tmp_path / "spec.toml"
    path.write_text(RECIPE.format(model=tiny_model))
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["transfer", *map(str, arguments)])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "transfer.json").read_text())


def test_a_matrix_that_goes_on(spec: Path, tmp_path: Path, trainer: Trainer) -> None:
    out = tmp_path / "out"
    said = run(spec, "--output", out, "--train", "sums,sums+chain", "--seeds", 1)
    assert "2 training runs (sums, sums+chain; seeds 0) of 20 sampled tokens, 40 in all" in said
    assert "3 models measured on 2 environments (sums, harder), 6 tasks each" in said
    assert "2 of 2 runs trained and measured" in said
    assert "with one seed nothing is known of what another seed would give" in said
    found = read(out)
    assert [(cell["arm"], cell["environment"]) for cell in found["cells"]] == [
        (arm, name) for arm in ("sums", "sums+chain") for name in ("sums", "harder")
    ]
    for arm in found["arms"]:
        for each in arm["runs"]:
            assert each["state"] == "finished"
            assert each["sampled_tokens"] >= 20
            assert each["updates"] >= 2
    assert found["arms"][1]["trained_on"] == ["sums", "chain"]
    table = json.loads((out / "table.json").read_text())
    assert len(table) == 4
    assert {"trained_on", "measured_on", "value", "low", "high", "p_holm", "mean_updates"} <= table[0].keys()
    assert {"matrix.png", "matrix.svg", "table.parquet", "report.md"} <= {path.name for path in out.iterdir()}
    assert (out / "report.md").read_text().count("](matrix.png)") == 1, "the heat map is in the report"

    before = {path: path.read_bytes() for path in out.glob("evaluations/**/rows.jsonl")}
    assert len(before) == 6
    # One more seed and one more environment: nothing is trained or sampled again.
    said = run(spec, "--output", out, "--train", "sums", "--seeds", 2, "--eval", "sums,harder,chain")
    assert len(trainer.folders) == 3
    assert "over seeds and tasks" in said
    assert all(path.read_bytes() == content for path, content in before.items())
    cells = read(out)["cells"]
    assert [cell["environment"] for cell in cells] == ["sums", "harder", "chain"]
    assert cells[0]["gain"]["num_seeds"] == 2
    # Other tokens are other cells, beside those that are there.
    run(spec, "--output", out, "--train", "sums", "--seeds", 1, "--tokens", 17)
    assert len(trainer.folders) == 4
    assert len(list((out / "results").glob("sums-*"))) == 2


def test_one_model_through_two_environments(spec: Path, tmp_path: Path, trainer: Trainer) -> None:
    out = tmp_path / "out"
    options = ("--seeds", 1, "--set", "evaluation.every_steps=1", "--set", "evaluation.validation_tasks=4")
    said = run(spec, "--output", out, "--train", "sums", "--sequence", "sums,chain", *options)
    assert "3 training runs (sums, chain and sums then chain; seeds 0)" in said
    assert "3 of 3 runs trained and measured" in said
    assert [folder.parent.name.rpartition("-")[0].split("-")[0] for folder in trainer.folders] == [
        "sums",
        "chain",
        "sums",
    ]
    settings = json.loads((trainer.folders[2] / "config.json").read_text())["settings"]
    assert settings["model"]["source"].startswith(str(trainer.folders[0])), "the model of the stage before"
    found = read(out)["sequence"]
    assert found["stages"] == ["sums", "chain"]
    assert found["learned"][0]["fresh"]["0"].keys() >= {"value", "is_reached"}
    assert [(each["environment"], each["after"]) for each in found["kept"]] == [("sums", "chain")]
    assert "## In sequence: sums, then chain" in said
    assert "not reached" in said
    run(spec, "--output", out, "--train", "sums", "--sequence", "sums,chain", *options)
    assert len(trainer.folders) == 3


def test_what_fails_does_not_stop_the_rest(spec: Path, tmp_path: Path, trainer: Trainer) -> None:
    out = tmp_path / "out"
    trainer.fail = "sums-"
    said = run(spec, "--output", out, "--train", "sums,chain", "--seeds", 1, code=1)
    assert "sums seed 0 was not trained: see " in said
    assert "not measured on sums, harder" in said
    cells = read(out)["cells"]
    assert [cell["gain"] is None for cell in cells] == [True, True, False, False]
    trainer.fail = ""

    # A checkpoint that cannot be opened in the middle of the matrix.
    for weights in (out / "runs").glob("chain-*/seed-0/checkpoints/step-*/model/model.safetensors"):
        weights.write_bytes(b"no weights")
    shutil.rmtree(next((out / "evaluations").glob("chain-*")))
    said = run(spec, "--output", out, "--train", "sums,chain", "--seeds", 1, code=1)
    assert "chain seed 0 was not measured: " in said
    assert [cell["gain"] is None for cell in read(out)["cells"]] == [False, False, True, True]
    assert "the same command tries them again" in said
    shutil.rmtree(next((out / "runs").glob("chain-*")))
    assert "no checkpoint is left of chain-" in run(
        spec, "--output", out, "--train", "sums,chain", "--seeds", 1, code=1
    ).replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", "sums,sums"], "sums and sums are the same environment"),
        (["--train", "sums,arithmetic:level=1"], "sums and arithmetic-c1 are the same environment"),
        (["--eval", "sums,sums"], "are the same environment"),
        (["--train", "sumz"], "--train sumz: .*names of this spec: sums, harder, chain"),
        (["--eval", "arithmetic:levels=1"], "unknown key 'environment.levels'"),
        (["--train", "sums,mix"], "mix is the mixture of the others, which are 1"),
        (["--train", "sums+sums"], "are the same environment"),
        (["--tokens", "15"], "--tokens 15 is too small: one step samples 4 responses of up to 4 tokens, 16 in all"),
        (["--set", "max_seconds=60"], "max_seconds is decided by"),
        (["--set", "nothing=1"], "unknown key 'nothing'"),
        (["--set", "transfer.tokens=9"], "--set is for the recipe"),
        (["--set", "curriculum.levels=[{}]"], "curriculum.levels has no effect"),
        (["--sequence", "sums,chain"], "set evaluation.every_steps above 0"),
    ],
)
def test_what_is_refused_before_anything_is_spent(
    spec: Path, tmp_path: Path, trainer: Trainer, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(spec, "--output", tmp_path / "out", *options)
    assert not trainer.folders
    assert not (tmp_path / "out" / "evaluations").exists()


def test_spec_files_that_are_none(tmp_path: Path, spec: Path, trainer: Trainer) -> None:
    text = spec.read_text()
    for written, message in (
        (text.replace("tokens = 20\n", ""), "say how many, such as --tokens"),
        (text.replace('train = ["sums", "chain", "mix"]\n', ""), "says nothing to train on"),
        (text.replace("[environments.sums]", "[environments.mix]"), "'mix' is the mixture of all"),
        (text.replace("[transfer]", 'environment = "chain"\n[transfer]'), "unknown|no effect here"),
        (text.replace('name = "arithmetic"', 'name = "arithmetic"\nweight = 2'), "has its name for a label"),
        (text.replace("complexity = 2", "complexity = 99"), "no complexity 99"),
    ):
        assert written != text, message
        spec.write_text(written)
        with pytest.raises((ConfigError, DataError), match=message):
            run(spec, "--output", tmp_path / "out")
    with pytest.raises(ConfigError, match="no recipe at"):
        run(tmp_path / "gone.toml")


def test_held_out_tasks_that_are_trained_on_are_refused(spec: Path, tmp_path: Path, trainer: Trainer) -> None:
    """Two files of rows: what one trains on, the other holds out."""
    rows = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(60)]
    for name, given in (
        ("one", rows),
        ("other", [{"prompt": f"What is {n} - 1?", "answer": str(n - 1)} for n in range(60)]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    tables = "".join(
        f'[environments.{name}]\nname = "rows"\npath = "{tmp_path}/{name}.jsonl"\n{more}'
        for name, more in (("one", ""), ("other", 'test_path = "one.jsonl"\n'))
    )
    spec.write_text(spec.read_text() + tables)
    with pytest.raises(ConfigError, match="held-out tasks of other are training tasks of one"):
        run(spec, "--output", tmp_path / "out", "--train", "one", "--eval", "other")
    assert not trainer.folders
