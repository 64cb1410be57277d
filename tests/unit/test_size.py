"""Limits on the tail: what grows beyond them is cut, or stands here with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "assay"
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 500, 80, 8

FILES: Mapping[str, str] = {
    "environments/programs/levels/dynamic.py": "one family of generated programs, a function for each kind of task",
    "environments/programs/levels/graphs.py": "one family of generated programs, a function for each kind of task",
    "kernels/packed_attention.py": "one kernel, forward and backward, compiled together from one set of tiles",
    "sandbox/attacks.py": "a list of attacks, read one by one",
    "types.py": "the nouns of the whole library, which everything imports from one place",
    "verifiers/mathematics/grammar.py": "one grammar, a rule for each form, which is not clearer in two halves",
}
FUNCTIONS: Mapping[str, str] = {
    "cli/sampled_model.py:SampledModel.evaluate": "samples what is missing, and then says what it cost",
    "public.py:evaluate": "the public function: a third of it says what its arguments are",
    "cli/demonstrate.py:demonstrate": "a command: its options, then the steps in their order",
    "cli/eval.py:evaluate": "a command: its options, then the steps in their order",
    "cli/verify.py:verify": "a command: its options, then the steps in their order",
    "environments/programs/followers.py:_collected": "text and program of one generated task, side by side",
    "environments/programs/levels/dictionaries.py:_reading": "text and program of one generated task, side by side",
    "environments/programs/levels/dynamic.py:_coins": "text and program of one generated task, side by side",
    "environments/programs/levels/graphs.py:_maze": "text and program of one generated task, side by side",
    "environments/programs/levels/graphs.py:_reach": "text and program of one generated task, side by side",
    "environments/programs/levels/graphs.py:_weighted": "text and program of one generated task, side by side",
    "environments/programs/levels/nested.py:_intervals": "text and program of one generated task, side by side",
    "evaluation/evaluate.py:evaluate": "a third of it says what its fifteen arguments are",
    "kernels/packed_attention.py:_parts": "what is compiled into one kernel, as closures over its sizes",
    "run/wiring.py:_wire": "a list of what is made, part by part, in the order in which they need each other",
}
SIGNATURES: Mapping[str, str] = {
    "cli/sampled_model.py:SampledModel.evaluate": "hands on what evaluation/evaluate.py takes, and its folder",
    "engines/local/engine.py:LocalEngine.__init__": "what an engine is made of; keywords, most with defaults",
    "evaluation/evaluate.py:evaluate": "each is a question of its own; keywords, most with defaults",
    "evaluation/held_out.py:HeldOut.__init__": "the parts of a run that measuring needs, named one by one",
    "observe/store.py:RunStore.record_evaluation": "the columns of a table's row, as keywords",
    "public.py:evaluate": "the public function: each is an option of assay eval, as keywords with defaults",
    "rollout/collector.py:Collector.__init__": "the parts of a run that collecting needs, named one by one",
    "rollout/runner.py:run_rollout": "the parts of a run that one rollout needs, named one by one",
    "run/keeping.py:Keeping.__init__": "the parts of a run that a checkpoint holds, named one by one",
    "training/memory.py:memory_estimate": "the sizes that memory depends on, as keywords",
    "training/trainer.py:Trainer.__init__": "the parts of a run that an update needs, named one by one",
    "verifiers/code/cases.py:run_cases": "what a program's cases are run with, as keywords",
}


def functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its dotted name, methods and inner functions too."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions(node, within)
            continue
        name = f"{within}.{node.name}" if within else node.name
        if not isinstance(node, ast.ClassDef):
            yield name, node
        yield from functions(node, name)


def num_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without self and cls."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named) + sum(
        argument is not None for argument in (arguments.vararg, arguments.kwarg)
    )


def measured() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {"files": {}, "functions": {}, "signatures": {}}
    for path in sorted(SOURCE.rglob("*.py")):
        place, text = path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")
        found["files"][place] = len(text.splitlines())
        for name, function in functions(ast.parse(text)):
            assert function.end_lineno is not None
            found["functions"][f"{place}:{name}"] = function.end_lineno - function.lineno + 1
            found["signatures"][f"{place}:{name}"] = num_parameters(function)
    return found


@pytest.mark.parametrize(
    ("kind", "most", "declared"),
    [
        ("files", MAX_FILE_LINES, FILES),
        ("functions", MAX_FUNCTION_LINES, FUNCTIONS),
        ("signatures", MAX_PARAMETERS, SIGNATURES),
    ],
)
def test_what_is_large_is_declared_with_its_reason(kind: str, most: int, declared: Mapping[str, str]) -> None:
    large = {place: size for place, size in measured()[kind].items() if size > most}
    undeclared = {place: size for place, size in large.items() if place not in declared}
    assert not undeclared, f"above {most}; cut it, or declare it here with the reason"
    stale = set(declared) - set(large)
    assert not stale, "no longer large: take it off the list"
    assert all(len(reason.split()) > 3 for reason in declared.values())
