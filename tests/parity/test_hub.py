"""Models and data by hub id: fetched from a server that answers as the hub does, by the hub's own client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hub_server import HubServer


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path) -> HubServer:
    root = tmp_path / "hub"
    shutil.copytree(tiny_model, root / "someone" / "tiny")
    (root / "someone" / "tiny" / "pytorch_model.bin").write_bytes(b"pickled: never fetched")
    data = root / "datasets" / "someone" / "sums" / "data"
    data.mkdir(parents=True)
    rows = [{"question": f"What is {i} + 1?", "answer": f"so\n#### {i + 1}"} for i in range(200)]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return HubServer(root)


def ask(hub: HubServer, tmp_path: Path, code: str) -> str:
    """What a process of its own prints: the client reads its addresses when it is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "ASSAY_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_model_by_hub_id(hub: HubServer, tmp_path: Path) -> None:
    code = (
        "from assay.models import open_model\n"
        "model = open_model('someone/tiny')\n"
        "folder = model.folder\n"
        "model.policy()\n"
        "print(folder)\n"
    )
    with hub:
        folder = Path(ask(hub, tmp_path, code))
        assert (folder / "model.safetensors").is_file()
        assert not any("pytorch_model.bin" in path for path in hub.paths), "pickled weights are not fetched"
    # Another time without the hub: from its cache.
    assert Path(ask(hub, tmp_path, code)) == folder


def test_a_data_set_by_hub_id(hub: HubServer, tmp_path: Path) -> None:
    code = (
        "from assay.environments import make_environment\n"
        "domain = make_environment('rows', {'path': 'hub:someone/sums/data/train.jsonl', 'prompt': '{question}',"
        " 'answer_after': '####'})\n"
        "print(sum(len(tasks) for tasks in domain.splits.values()), next(domain.tasks('test')).answer)\n"
    )
    with hub:
        count, answer = ask(hub, tmp_path, code).split()
    assert count == "200"
    assert answer.isdigit()


def test_revisions_and_shards_of_a_data_set(hub: HubServer, tmp_path: Path) -> None:
    """Revision v2 has three shards, whose names sort otherwise than they were written, and files that do not fit."""
    for revision, names in (("v2", ("part-2", "part-0", "part-1", "other")), ("refs%2Fconvert%2Fparquet", ("part-0",))):
        data = hub.root / "datasets" / "someone" / f"sums@{revision}" / "data"
        data.mkdir(parents=True)
        for name in names:
            row = {"question": f"{revision} {name}?", "answer": "1"}
            (data / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    deeper = hub.root / "datasets" / "someone" / "sums@v2" / "data" / "deeper"
    deeper.mkdir()
    (deeper / "part-3.jsonl").write_text('{"question": "deeper?", "answer": "1"}')
    code = (
        "from assay.environments.data_files import read_rows\n"
        "from assay.errors import DataError\n"
        "for source in ('someone/sums@v2/data/part-*.jsonl', 'someone/sums@refs/convert/parquet/data/part-0.jsonl',\n"
        "               'someone/sums@v2/data/none-*.jsonl', 'someone/sums@v3/data/part-0.jsonl',\n"
        "               'someone/sums/data/*.jsonl'):\n"
        "    try:\n"
        "        rows = [row['question'] for _, row in read_rows(f'hub:{source}')]\n"
        "        print(len(rows), *rows[:3])\n"
        "    except DataError as error:\n"
        "        print(error)\n"
    )
    with hub:
        shards, converted, none, no_revision, newest = ask(hub, tmp_path, code).splitlines()
    assert shards == "3 v2 part-0? v2 part-1? v2 part-2?"
    assert converted == "1 refs%2Fconvert%2Fparquet part-0?"
    assert "no file of such a name; it has data/deeper/part-3.jsonl, data/other.jsonl" in none
    assert "cannot be fetched" in no_revision
    assert newest == "200 What is 0 + 1? What is 1 + 1? What is 2 + 1?"


def test_what_the_hub_does_not_have_is_an_error_that_says_so(hub: HubServer, tmp_path: Path) -> None:
    code = (
        "from assay.environments import make_environment\n"
        "from assay.errors import DataError, ModelError\n"
        "from assay.models import resolve_source\n"
        "for ask in (lambda: resolve_source('someone/else'),\n"
        "            lambda: next(make_environment('rows', {'path': 'hub:someone/sums/no.jsonl'}).tasks('test'))):\n"
        "    try:\n"
        "        ask()\n"
        "    except (DataError, ModelError) as error:\n"
        "        print(str(error).replace('\\n', ' '))\n"
    )
    with hub:
        model, data = ask(hub, tmp_path, code).splitlines()
    assert "'someone/else' is not a folder here and could not be fetched" in model
    assert "hub:someone/sums/no.jsonl cannot be fetched" in data
