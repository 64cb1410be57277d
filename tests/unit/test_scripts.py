"""Folders of scripts, each of which stands first on the path of the processes that run them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(
    {path.parent for name in ("benchmarks", "docs", "recipes", "tools") for path in ROOT.glob(f"{name}/**/*.py")}
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_no_script_is_taken_for_a_package_that_transformers_looks_for(folder: Path) -> None:
    """transformers tries `import kernels`; a benchmark of that name was imported in its place, and no peer started."""
    place = importlib.util.find_spec("transformers")
    assert place is not None
    assert place.submodule_search_locations
    source = Path(place.submodule_search_locations[0], "utils", "import_utils.py").read_text(encoding="utf-8")
    looked_for = set(re.findall(r"(?:_is_package_available|find_spec|import_module)\(\"(\w+)", source))
    assert "kernels" in looked_for
    ours = {path.stem for path in folder.glob("*.py")}
    assert not ours & (looked_for | set(sys.stdlib_module_names))
