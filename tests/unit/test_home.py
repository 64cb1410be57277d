from __future__ import annotations

from pathlib import Path

import pytest

from assay.home import assay_home


def test_home_is_the_variable_or_a_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    assert assay_home() == tmp_path
    monkeypatch.setenv("ASSAY_HOME", "~/elsewhere")
    assert assay_home() == Path.home() / "elsewhere"
    monkeypatch.setenv("ASSAY_HOME", "")
    assert assay_home() == Path.home() / ".assay"
