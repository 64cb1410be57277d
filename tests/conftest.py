"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.policies.tiny import write_tiny_model

# Small tensors are slower on several threads, and one thread makes sums repeat bit for bit.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with a byte tokenizer, as a Hugging Face folder. Read only: copy it to change it."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
