from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.errors import ModelError
from assay.models import known_models, open_model, resolve_source
from assay.models.source import DEFAULT_FOLDER, install, models_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no network."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return tmp_path / "home"


def test_a_folder_is_used_as_it_is(tiny_model: Path) -> None:
    assert resolve_source(tiny_model) == tiny_model
    assert resolve_source(str(tiny_model)) == tiny_model


def test_folders_that_are_no_models_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        resolve_source(empty)
    shutil.copy(tiny_model / "config.json", empty)
    with pytest.raises(ModelError, match=r"has no tokenizer: copy tokenizer\.json"):
        open_model(empty).renderer()


@pytest.mark.parametrize(
    "source", ["no such model", "./missing", "/missing/folder", "x" * 300, "~nobody-of-that-name/model", "a\0b"]
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(source: str) -> None:
    with pytest.raises(ModelError, match="hub id organisation/name"):
        resolve_source(source)


def test_without_network_a_hub_id_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"(?s)'nobody/nothing' is not a folder.*HF_ENDPOINT.*copy the model"):
        resolve_source("nobody/nothing")


def test_without_network_or_cache_the_default_model_is_an_error_with_both_remedies(home: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)cannot be downloaded.*assay models fetch default.*model folder"):
        resolve_source("default")
    assert list(models_folder().iterdir()) == [], "nothing half done is left"


def test_a_cached_default_model_needs_no_network(tiny_model: Path) -> None:
    cached = models_folder() / DEFAULT_FOLDER
    shutil.copytree(tiny_model, cached)
    assert resolve_source("default") == cached


def test_a_process_that_loses_the_race_uses_the_winners_folder(home: Path) -> None:
    def build(folder: Path) -> None:
        """Another process finishes while this one builds."""
        (folder / "loser").touch()
        (home / "model").mkdir()
        (home / "model" / "winner").touch()

    assert install(home / "model", build) == home / "model"
    assert [path.name for path in home.rglob("*")] == ["model", "winner"]


def test_a_build_that_fails_leaves_nothing(home: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        install(home / "model", build)
    assert list(home.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_error_with_its_remedy(home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="set ASSAY_HOME"):
        resolve_source("default")


def test_known_models_are_the_default_and_the_cached(tiny_model: Path) -> None:
    (default,) = known_models()
    assert (default.name, default.fetched, default.num_parameters) == ("default", False, None)
    shutil.copytree(tiny_model, models_folder() / "mine")
    default, mine = known_models()
    assert (default.name, default.fetched, mine.name, mine.fetched) == ("default", False, "mine", True)
    # Embeddings 258 x 32; a layer: queries and output 2 x 32 x 32, keys and values 2 x 16 x 32, the MLP 3 x 64 x 32,
    # two norms of 32; a last norm.
    assert mine.num_parameters == 258 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 64) + 32
    assert mine.num_bytes is not None
    assert mine.num_bytes > 4 * mine.num_parameters
