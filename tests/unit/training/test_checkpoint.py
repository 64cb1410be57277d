from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from assay.algorithms import Reinforce
from assay.batching import pack
from assay.errors import CheckpointError
from assay.models import open_model
from assay.policies.model import DecoderPolicy
from assay.training import (
    Trainer,
    TrainerSettings,
    latest_checkpoint,
    prune,
    read_best,
    read_checkpoint,
    write_best,
    write_checkpoint,
)
from assay.types import CreditedSample


def make(model: Path, num_updates: int = 0) -> tuple[DecoderPolicy, Trainer]:
    policy = open_model(model).policy()
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-2), temperature=1.0)
    train(trainer, num_updates)
    return policy, trainer


def train(trainer: Trainer, num_updates: int) -> None:
    tokens = torch.arange(8)
    mask = tokens >= 4
    sample = CreditedSample(0, 0, tokens, mask, -5.0 * mask, advantages=1.0 * mask)
    for _ in range(num_updates):
        trainer.update(pack([sample], 100), Reinforce())


def everything(policy: DecoderPolicy, trainer: Trainer) -> list[torch.Tensor]:
    state = trainer.state_dict()
    counters = torch.tensor(list(state.counters.values()))
    return [weight.clone() for _, weight in policy.weights()] + [t.clone() for t in state.tensors.values()] + [counters]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_is_read_is_what_was_written_bit_for_bit(tiny_model, tmp_path):
    policy, trainer = make(tiny_model, num_updates=2)
    path = write_checkpoint(tmp_path / "checkpoints", 10, policy, trainer, {"position": [3, None], "loss": 0.1 + 0.2})
    assert path == tmp_path / "checkpoints" / "step-000010"
    other_policy, other_trainer = make(tiny_model)
    assert read_checkpoint(path, other_policy, other_trainer) == {"position": [3, None], "loss": 0.1 + 0.2}
    assert same(everything(other_policy, other_trainer), everything(policy, trainer))
    train(trainer, 2)
    train(other_trainer, 2)
    assert same(everything(other_policy, other_trainer), everything(policy, trainer))


def test_a_checkpoint_before_the_first_update_can_be_read(tiny_model, tmp_path):
    policy, trainer = make(tiny_model)
    path = write_checkpoint(tmp_path, 0, policy, trainer, {})
    train(trainer, 1)
    read_checkpoint(path, policy, trainer)
    assert same(everything(policy, trainer), everything(*make(tiny_model)))


def test_the_model_inside_opens_in_transformers(tiny_model, tmp_path):
    import transformers

    policy, trainer = make(tiny_model, num_updates=1)
    path = write_checkpoint(tmp_path, 1, policy, trainer, {})
    model = transformers.AutoModelForCausalLM.from_pretrained(path / "model")
    token_ids = torch.tensor([1, 2, 3, 4])
    torch.testing.assert_close(model(token_ids[None]).logits[0], policy.logits(token_ids), rtol=1e-4, atol=1e-4)


def test_the_latest_is_the_one_of_the_highest_step(tiny_model, tmp_path):
    assert latest_checkpoint(tmp_path / "none") is None
    policy, trainer = make(tiny_model)
    for step in (2, 999_999, 1_000_000):
        write_checkpoint(tmp_path, step, policy, trainer, {})
    (tmp_path / ".writing-step-2000000").mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "step-1000000"


def test_a_checkpoint_of_the_same_step_is_replaced(tiny_model, tmp_path):
    policy, trainer = make(tiny_model)
    write_checkpoint(tmp_path, 1, policy, trainer, {"which": "first"})
    path = write_checkpoint(tmp_path, 1, policy, trainer, {"which": "second"})
    assert read_checkpoint(path, policy) == {"which": "second"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["step-000001"]


def test_pruning_keeps_the_newest_and_what_it_is_told_to(tiny_model, tmp_path):
    policy, trainer = make(tiny_model)
    paths = [write_checkpoint(tmp_path, step, policy, trainer, {}) for step in range(1, 6)]
    assert prune(tmp_path, 2, keep={paths[1]}) == [paths[0], paths[2]]
    assert sorted(tmp_path.iterdir()) == [paths[1], paths[3], paths[4]]


def test_the_best_is_a_model_folder_that_is_replaced_whole(tiny_model, tmp_path):
    assert read_best(tmp_path) is None
    policy, trainer = make(tiny_model)
    write_best(tmp_path, 4, 0.25, policy)
    train(trainer, 1)
    path = write_best(tmp_path, 8, 0.5, policy)
    best = read_best(tmp_path)
    assert best is not None
    assert (best.path, best.step, best.accuracy) == (path, 8, 0.5)
    for (_, ours), (_, theirs) in zip(open_model(best.path).policy().weights(), policy.weights(), strict=True):
        assert torch.equal(ours, theirs)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["best", "best-000008"]
    write_best(tmp_path, 8, 0.75, policy)
    best = read_best(tmp_path)
    assert best is not None
    assert best.accuracy == 0.75
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "model/model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_a_damaged_checkpoint_names_its_file_and_changes_nothing(tiny_model, tmp_path, name, damage):
    path = write_checkpoint(tmp_path, 1, *make(tiny_model, num_updates=1), {})
    file = path / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        file.write_bytes(b"\xff" * file.stat().st_size)
    policy, trainer = make(tiny_model)
    before = everything(policy, trainer)
    with pytest.raises(CheckpointError, match=f"{name}.*(restore|delete)"):
        read_checkpoint(path, policy, trainer)
    assert same(everything(policy, trainer), before)


def test_a_checkpoint_of_another_model_or_format_is_refused(tiny_model, tmp_path):
    from assay.policies.tiny import write_tiny_model

    other = write_tiny_model(tmp_path / "other", hidden_size=16)
    path = write_checkpoint(tmp_path, 1, *make(other), {})
    with pytest.raises(CheckpointError, match="another model"):
        read_checkpoint(path, *make(tiny_model))
    document = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**document, "format_version": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        read_checkpoint(path, *make(other))


def test_state_that_is_not_json_is_the_callers_mistake_and_leaves_nothing(tiny_model, tmp_path):
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path, 1, *make(tiny_model), {"tensor": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_noticed_before_anything_is_written(tiny_model, tmp_path):
    policy, trainer = make(tiny_model)
    # Larger than any disk, without its memory.
    policy.register_parameter("huge", torch.nn.Parameter(torch.empty(2**58, device="meta")))
    with pytest.raises(CheckpointError, match=r"no room for .*step-000001.* MB are needed there.* MB are free"):
        write_checkpoint(tmp_path, 1, policy, trainer, {})
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from pathlib import Path
from assay.errors import CheckpointError
from assay.models import open_model
from assay.training import Trainer, TrainerSettings, latest_checkpoint, read_checkpoint, write_checkpoint

folder = Path(sys.argv[2])
policy = open_model(sys.argv[1]).policy()
trainer = Trainer(policy, TrainerSettings(), temperature=1.0)
first = write_checkpoint(folder, 1, policy, trainer, {})
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[3:]):
    # Files cannot grow beyond this: the system call fails half way through a file, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        write_checkpoint(folder, 2, policy, trainer, {"padding": "x" * 200_000})
    except CheckpointError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        print(error)
    assert [path.name for path in folder.iterdir()] == ["step-000001"], list(folder.iterdir())
assert latest_checkpoint(folder) == first
read_checkpoint(first, policy, trainer)
"""


def test_a_disk_that_fills_during_the_write_leaves_earlier_checkpoints(tiny_model, tmp_path):
    """The limits stop the configuration, the weights, and the state, which has 200,000 bytes."""
    sizes = {path.name: path.stat().st_size for path in tiny_model.iterdir()}
    assert 200 < sizes["config.json"] < 30_000 < sizes["model.safetensors"] < 150_000
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tiny_model), str(tmp_path / "checkpoints"), "200", "30000", "150000"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    assert all("no room for" in line and "MB are needed there" in line for line in lines)
    assert ["safetensors" in line or "serializ" in line for line in lines] == [False, True, False]


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from assay.training import Trainer, TrainerSettings, latest_checkpoint, prune, read_best, read_checkpoint
from assay.models import open_model
from assay.training import write_best, write_checkpoint

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
policy = open_model(model).policy()
trainer = Trainer(policy, TrainerSettings(), temperature=1.0)

def set_weights(value):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.fill_(value)

def write(step):
    set_weights(step)
    write_checkpoint(folder, step, policy, trainer, {"step": step})
    prune(folder, 1)
    write_best(folder, step, step / 100, policy)

def killed_at(moment):
    '''Writes step 2 in a child that kills itself at its `moment`-th call that opens, makes, renames or removes.'''
    child = os.fork()
    if child == 0:
        calls = 0
        def hook(event, arguments):
            nonlocal calls
            if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "shutil.rmtree"):
                calls += 1
                if calls == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        write(2)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

write(1)
seen, moment = set(), 1
while killed_at(moment):
    path = latest_checkpoint(folder)
    step = read_checkpoint(path, policy, trainer)["step"]
    assert path.name == f"step-{step:06d}"
    assert all((parameter == step).all() for parameter in policy.parameters()), moment
    best = read_best(folder)
    for _, weight in open_model(best.path).policy().weights():
        assert (weight == best.step).all(), moment
    assert best.accuracy == best.step / 100
    seen.add((step, best.step))
    write(1)  # The next writer clears away what the killed one left.
    for newer in folder.glob("step-000002"):
        prune(folder, 0)
        write(1)
    assert sorted(entry.name for entry in folder.iterdir()) == ["best", "best-000001", "step-000001"], moment
    moment += 1
print(moment, sorted(seen))
"""


def test_a_kill_at_any_moment_of_a_write_leaves_whole_checkpoints(tiny_model, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tiny_model), str(tmp_path / "checkpoints")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    moments, seen = run.stdout.split(maxsplit=1)
    assert int(moments) > 30
    assert seen.strip() == "[(1, 1), (2, 1), (2, 2)]"
