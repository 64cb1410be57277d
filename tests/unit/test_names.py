"""A public class has a name of its own: whoever reads or searches for it finds one."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "assay"
SHARED: Mapping[str, str] = {
    "Session": "the sandbox's, and the name by which adapters/serve.py finds each worker's, in another interpreter",
}


def test_no_public_class_has_the_name_of_another() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    twice = {name: found for name, found in places.items() if len(found) > 1}
    undeclared = {name: found for name, found in twice.items() if name not in SHARED}
    assert not undeclared, "give one of them a name that says what it is"
    assert set(SHARED) <= set(twice), "no longer shared: take it off the list"
