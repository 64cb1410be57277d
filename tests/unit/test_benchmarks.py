"""The benchmarks' folder, which stands first on the path of every peer's process."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_no_benchmark_is_taken_for_a_package_that_transformers_looks_for() -> None:
    """transformers tries `import kernels`; a benchmark of that name was imported in its place, and no peer started."""
    place = importlib.util.find_spec("transformers")
    assert place is not None
    assert place.submodule_search_locations
    source = Path(place.submodule_search_locations[0], "utils", "import_utils.py").read_text(encoding="utf-8")
    looked_for = set(re.findall(r"(?:_is_package_available|find_spec|import_module)\(\"(\w+)", source))
    assert "kernels" in looked_for
    ours = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert not ours & (looked_for | set(sys.stdlib_module_names))
