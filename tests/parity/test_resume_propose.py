"""A run that proposes its own tasks and is killed, between a step's proposals and its attempts too, goes on bit for
bit."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.observe.store import RunStore
from assay.types import PROPOSAL
from parity.test_resume import Server, fingerprint

HERE = Path(__file__).parent
RECIPE = """
seed = 5
num_steps = 4
groups_per_step = 5
group_size = 4
num_threads = 1
model = {{ source = "{model}", device = "cpu", compute_dtype = "fp32" }}
environment = {{ name = "{here}/proposing.py:Lines" }}
verifier = {{ name = "python", function = "{here}/rewards.py:some_letters", gold_format = "" }}
curriculum = {{ name = "propose", shown = 1, capacity = 6, memory = 8 }}
sampling = {{ max_new_tokens = 60, stop = ["a", "e", "i", "o", "u", "b", "c", "d", "f", "g", "s", "t", "n"] }}
algorithm = {{ name = "grpo" }}
trainer = {{ learning_rate = 1e-2 }}
checkpoint = {{ every_steps = 1 }}
evaluation = {{ every_steps = 0, test_tasks = 0 }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "output.txt", hash_seed=1) as server:
        yield server


def test_killed_and_resumed_it_is_the_unbroken_run(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(model=tiny_model, here=HERE))
    assert server.run("never", 0, recipe, "--run-folder", tmp_path / "unbroken") == 0, server.said
    store = RunStore.open_readonly(tmp_path / "unbroken")
    metrics = {name: [value for _, value in values] for name, values in store.metrics().items()}
    # Else the test says nothing of what it is about: some are refused, some accepted, some kept and come again.
    assert 0 < metrics["propose/new_share"][0] < 1
    assert any(metrics["propose/from_buffer_share"])
    assert any(metrics["propose/buffer_count"])
    assert sum(record.domain == PROPOSAL for record in store.rollouts()) == 16
    steps = Counter(record.step for record in store.rollouts())
    assert len(steps) == 4

    for count in (150, 190):
        folder = tmp_path / f"broken-{count}"
        killed = server.run("sampling", count, recipe, "--run-folder", folder)
        assert killed == -signal.SIGKILL, server.said
        assert [*(folder / "checkpoints").glob("step-*")], "it was killed before the first checkpoint"
        assert server.run("never", 0, "--resume", folder) == 0, server.said
        assert fingerprint(folder) == fingerprint(tmp_path / "unbroken")
