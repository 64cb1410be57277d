"""Fixtures every test may use."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Small tensors are slower on several threads, one thread makes sums repeat bit for bit, and the workers of pytest-xdist
# share the cores. Said before torch starts, and to the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests of two threads share their cores with the other worker: threads that spin for one that does not run cost twice.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # What a test leaves in the folder for temporary files must not be taken for what another worker's test left.
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=f"pytest-{worker}-")
    atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)

import pytest
import torch

from assay.observe import plots, provenance
from assay.policies.tiny import write_tiny_model
from chat_server import ChatServer

# A shell that runs the tests in the background has SIGINT ignored, also in the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# A run's report has eight pictures, and its provenance asks git four times: two thirds of what a tiny run costs. Tests
# of these ask for the fixture `pictures`, or have their own work tree.
SAVE = plots.save
plots.save = lambda figure, path: path.touch()
provenance._git = functools.cache(provenance._git)


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have their pictures."""
    monkeypatch.setattr(plots, "save", SAVE)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A run may have set as many threads as there are cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with a byte tokenizer, as a Hugging Face folder. Read only: copy it to change it."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    """A real HTTP server on this machine that speaks chat completions; nothing of the caller's environment leads
    anywhere else."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ChatServer() as server:
        yield server
