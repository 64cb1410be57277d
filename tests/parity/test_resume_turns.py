"""A run over episodes of several turns that is killed in the middle of them goes on as it would have."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.observe.store import RunStore
from assay.scaffolds.reflect import CHECK
from parity.test_resume import Server, fingerprint

REWARDS = Path(__file__).parent / "rewards.py"
RECIPE = """
seed = 5
num_steps = 3
groups_per_step = 2
group_size = 3
num_threads = 1
max_staleness = {staleness}
model = {{ source = "{model}", device = "cpu", compute_dtype = "fp32" }}
environment = {{ name = "chain", horizon = 3, pays_turns = true }}
verifier = {{ name = "python", function = "{rewards}:share_of_letters", gold_format = "" }}
scaffold = {{ name = "reflect", final_share = 0.0 }}
sampling = {{ max_new_tokens = 100, stop = ["a", "e", "i", "o", "u", "b", "c", "d", "f", "g", "s", "t", "n"] }}
algorithm = {{ name = "grpo", turn_rewards = "add", correction = {{ kind = "truncate" }} }}
trainer = {{ learning_rate = 1e-2 }}
checkpoint = {{ every_steps = 1 }}
evaluation = {{ every_steps = 0, test_tasks = 0 }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server") / "output.txt", hash_seed=1) as server:
        yield server


@pytest.mark.parametrize(("staleness", "count"), [(0, 200), (1, 175)])
def test_a_run_that_is_killed_in_the_middle_of_episodes_goes_on(
    server: Server, tiny_model: Path, tmp_path: Path, staleness: int, count: int
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(model=tiny_model, rewards=REWARDS, staleness=staleness))
    assert server.run("never", 0, recipe, "--run-folder", tmp_path / "unbroken") == 0, server.said

    # In the middle of the second step's episodes, after a checkpoint of the first.
    killed = server.run("sampling", count, recipe, "--run-folder", tmp_path / "broken")
    assert killed == -signal.SIGKILL, server.said
    assert [*(tmp_path / "broken" / "checkpoints").glob("step-*")], "it was killed before the first checkpoint"
    assert server.run("never", 0, "--resume", tmp_path / "broken") == 0, server.said

    tasks, turns = played(tmp_path / "broken")
    tasks_unbroken, turns_unbroken = played(tmp_path / "unbroken")
    assert tasks == tasks_unbroken
    assert 0 < sum(has_scaffold for *_, has_scaffold in tasks) < len(tasks)
    # Groups that were under way are sampled anew, and with staleness by newer weights than they began with.
    if staleness == 0:
        assert turns == turns_unbroken
        assert fingerprint(tmp_path / "broken") == fingerprint(tmp_path / "unbroken")


def played(folder: Path) -> tuple[list[tuple[int, int, int, str, bool]], list[str]]:
    """Which attempts there were, each with whether it had the scaffold; and their turns, whole."""
    store = RunStore.open_readonly(folder)
    attempts, turns = [], []
    for each in store.rollouts():
        of_it = store.turns(each.step, each.group_id, each.member)
        turns += map(str, of_it)
        attempts.append((each.step, each.group_id, each.member, each.task_id, CHECK in of_it[0].env_messages))
    return attempts, turns
