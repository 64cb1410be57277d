"""Names and doc strings that stand alone: whoever hovers over one, or searches for it, finds what it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
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


def doc_strings(tree: ast.Module) -> Iterator[str]:
    """Those of modules, classes and functions, and of fields and constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        documented = [isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
        documented += [isinstance(statement, ast.Assign | ast.AnnAssign) for statement in body]
        for statement, counts in zip(body, documented, strict=False):
            match statement:
                case ast.Expr(value=ast.Constant(value=str() as text)) if counts:
                    yield text


def test_a_doc_string_begins_with_what_it_is_about() -> None:
    found = [
        f"{path.relative_to(SOURCE)}: {text[:60]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for text in doc_strings(ast.parse(path.read_text(encoding="utf-8")))
        if text.split(maxsplit=1)[0] in ("Of", "Whether")
    ]
    assert not found, 'the noun first for a field ("The share of ..."), the verb first for a function ("Return ...")'
