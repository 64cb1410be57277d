from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.map import map_models
from assay.cli.map_players import MapPlayers
from assay.errors import ConfigError, DataError, ModelError, RunFolderError
from chat_server import ChatServer, completion

app = typer.Typer()
app.command()(map_models)

TINY = ("--complexity", "2", "--horizon", "1", "--max-new-tokens", "2", "--max-tasks", "6")
"""One cell."""
QUICK = ("--complexity", "1,2", "--horizon", "1,2", "--max-new-tokens", "4", "--max-tasks", "8", "--budget", "2000")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def run_to_the_end(*arguments: object) -> Any:
    """Run it whatever its exit code is."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def cut_short(folder: Path) -> Path:
    """A model whose weights were not copied to their end."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_maps_two_environments_and_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (tiny_model, "--environments", "arithmetic,chain", *QUICK, "--output", out)
    printed = run(*options)
    assert "## arithmetic" in printed
    assert "Lengths are in updates." in printed
    assert "episodes" in printed, "progress"
    said = read(out / "map.json")
    assert {label: len(found["models"]["model"]["cells"]) for label, found in said["environments"].items()} == {
        "arithmetic": 4,
        "chain": 4,
    }
    assert said["sampled_tokens"] <= 2000
    units = read(out / "units.json")
    assert units["chain c1 h2"]["actions"] == 2
    assert units["chain c1 h2"]["tokens"] > units["chain c1 h1"]["tokens"]
    assert units["arithmetic c1 h2"]["actions"] == 1, "one message, whatever the number of operations"
    assert len(read(out / "table.json")) == 8
    from pyarrow import parquet

    table = parquet.read_table(out / "table.parquet")
    assert table.num_rows == 8
    assert {"model", "environment", "complexity", "horizon", "solved", "low", "high", "num_tasks"} <= set(
        table.column_names
    )
    assert {"map.png", "map.svg", "report.md"} <= {path.name for path in out.iterdir()}
    assert "](map.png)" in (out / "report.md").read_text(), "the heat map is in the report"
    rows = out / "model" / "chain" / "rows.jsonl"
    before = rows.read_bytes()
    # A row that a kill took is sampled again, and nothing else.
    rows.write_bytes(before[: before.rstrip(b"\n").rfind(b"\n") + 1])
    run(*options)
    assert sorted(rows.read_bytes().splitlines()) == sorted(before.splitlines())
    again = read(out / "map.json")
    assert again["environments"] == said["environments"]
    assert "Lengths are in tokens of the expert." in run(*options, "--axis", "tokens")
    assert rows.stat().st_size == len(before), "another axis samples nothing"
    with pytest.raises(RunFolderError, match="other settings"):
        run(*options, "--seed", 1)


def test_models_are_compared_on_the_same_tasks(tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    out = tmp_path / "out"
    printed = run(tiny_model, other, *QUICK, "--horizon", "1", "--output", out)
    assert "### other beside model, on the same tasks" in printed
    assert "no difference is shown" in printed
    tasks = [
        sorted(json.loads(line)["task_id"] for line in (out / name / "arithmetic" / "rows.jsonl").open())
        for name in ("model", "other")
    ]
    assert tasks[0] == tasks[1]


def test_a_model_that_cannot_be_opened_is_left_out_and_the_rest_is_mapped(tiny_model: Path, tmp_path: Path) -> None:
    broken = cut_short(Path(shutil.copytree(tiny_model, tmp_path / "broken")))
    other = shutil.copytree(tiny_model, tmp_path / "a,b")
    out = tmp_path / "out"
    result = run_to_the_end(tiny_model, broken, other, *TINY, "--output", out, "--json", tmp_path / "all.json")
    assert result.exit_code == 1, "what was asked for is not whole"
    assert "caution: broken is left out of the map" in result.output
    assert "**broken was left out**" in (out / "report.md").read_text()
    assert "### a-b beside model, on the same tasks" in result.output
    said = read(tmp_path / "all.json")
    assert said["models"] == ["model", "a-b"]
    assert list(said["left_out"]) == ["broken"]
    with pytest.raises(ModelError, match="broken"):
        run(broken, tiny_model, *TINY, "--output", tmp_path / "first")


def test_a_model_here_beside_one_at_an_endpoint(tiny_model: Path, chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = lambda body, number: completion(f"{number}")
    out = tmp_path / "out"
    printed = run(
        tiny_model, "openai:served", "--base-url", chat_server.url, "--dtype", "bf16", *TINY, "--output", out
    )  # fmt: skip
    assert "### served beside model, on the same tasks" in printed
    rows = read(out / "table.json")
    assert [row["model"] for row in rows] == ["model", "served"]
    assert rows[1]["mean_tokens"] == 5, "as the server counted them"
    assert len(chat_server.bodies) == 9, "three to plan by, and six"


def test_an_interrupted_map_leaves_a_table_and_goes_on(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, calls = MapPlayers.play, 0

    async def interrupted(players: MapPlayers, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return await play(players, *arguments)

    monkeypatch.setattr(MapPlayers, "play", interrupted)
    options = (tiny_model, *QUICK, "--horizon", "1", "--output", tmp_path / "out")
    result = run_to_the_end(*options)
    assert result.exit_code == 130
    assert "**Interrupted.**" in result.output
    assert "of 4 |" in result.output
    assert "stopped; the same command continues this map" in result.output
    assert read(tmp_path / "out" / "map.json")["is_interrupted"]
    assert (tmp_path / "out" / "map.png").read_bytes().startswith(b"\x89PNG")
    printed = run(*options)
    assert "Interrupted" not in printed
    assert not read(tmp_path / "out" / "map.json")["is_interrupted"]


def test_what_it_will_do_is_said_before_and_levels_that_are_not_there_are_named(
    tiny_model: Path, tmp_path: Path
) -> None:
    dials = ("--complexity", "2", "--horizon", "1,2", "--max-tasks", "6", "--budget", "6000")
    printed = run(tiny_model, "--environments", "maze,chain", *dials, "--output", tmp_path / "out")
    assert "there is no level maze c2 h1: left out" in printed
    assert "3 cells of maze, chain, 1 model, a budget of 6,000 sampled tokens" in printed
    assert "a message may take 32 (maze), 32 (chain) tokens" in printed
    assert "pilot: 9 episodes, shortest horizons first" in printed
    assert printed.index("pilot: 9 episodes") < printed.index("pilot episodes of the shortest tasks")
    settings = read(tmp_path / "out" / "model" / "chain" / "settings.json")["settings"]
    assert settings["episode_tokens"] == {"chain c2 h1": 32, "chain c2 h2": 64}


def test_a_file_of_tasks_has_no_dials(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {i}.", "answer": str(i)}) + "\n" for i in range(300)))
    printed = run(
        tiny_model, "--environments", "rows", "--set", f"rows.path={path}", "--horizon", "1,2", "--max-new-tokens", 2,
        "--max-tasks", 8, "--output", tmp_path / "out",
    )  # fmt: skip
    assert "rows has no horizon dial: its map is one column, and --horizon says nothing of it" in printed
    assert "No horizon is fitted" in printed


def test_a_budget_of_nothing_and_two_environments_of_one_name_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    result = run_to_the_end(tiny_model, "--budget", 0)
    assert result.exit_code == 2
    assert "--budget" in result.output
    world = "from assay.environments.maze import Maze\nclass {}(Maze): pass\n"
    (tmp_path / "a.py").write_text(world.format("One"))
    (tmp_path / "b.py").write_text(world.format("Two"))
    with pytest.raises(ConfigError, match=r"a\.py:One and .*b\.py:Two are both named maze"):
        run(tiny_model, "--environments", f"{tmp_path}/a.py:One,{tmp_path}/b.py:Two")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--budget", 20), DataError, "a budget of 20 tokens says nothing of 4 cells"),
        (("--environments", ","), ConfigError, "expected names"),
        (("--set", "maze.pays_turns=true"), ConfigError, "name one of the environments first, such as arithmetic.KEY"),
        (("--set", "arithmetic=3"), ConfigError, "name an option of it"),
        (("--reading", "kind"), ConfigError, "arithmetic has strict, lenient"),
        (("--horizon", "1000"), DataError, "horizon"),
        (("--environments", "mase"), ConfigError, "maze"),
        (("--environments", "my,world.py:World"), ConfigError, r"world\.py.*parted at commas"),
    ],
)
def test_what_cannot_be_mapped_is_said(
    tiny_model: Path, tmp_path: Path, options: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tiny_model, *QUICK, *options, "--output", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/*/rows.jsonl")) or not any(
        path.stat().st_size for path in (tmp_path / "out").glob("*/*/rows.jsonl")
    ), "nothing was spent"
