"""Every reference solution of HumanEval and MBPP through the code verifier: accepted, and rejected where changed.

    python benchmarks/code_verifier.py --humaneval humaneval.jsonl --mbpp mbpp.jsonl --sanitized mbpp_sanitized.jsonl

Two mutants of each solution are run. "changed": the function that is asked for is called, and returns something else
than it did: another number, a longer text or list, the opposite truth. "nothing": it returns None. Prints the table of
docs/results/code_verifier.md, and each solution that is not accepted and each mutant that is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.environments.humaneval import HumanEval
from assay.environments.mbpp import MBPP
from assay.types import Task, Verdict
from assay.verifiers import Code, as_rollout, score_rollout
from assay.verifiers.code import plan_of, suite_of

CHANGED = """
def _changed(value):
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float, complex)):
        return -value - 1
    if isinstance(value, str):
        return value + "x" if value else "x"
    if isinstance(value, list):
        return value + [None]
    if isinstance(value, tuple):
        return tuple(value) + (None,)
    if isinstance(value, (set, frozenset)):
        return value | {"mutant"}
    if isinstance(value, dict):
        return {**value, "mutant": None}
    return not value

def _mutated(original):
    depth = [0]

    def mutant(*arguments, **keywords):
        depth[0] += 1
        try:
            value = original(*arguments, **keywords)
        finally:
            depth[0] -= 1
        return value if depth[0] else _changed(value)  # what it calls itself for is left as it is

    return mutant

NAME = _mutated(NAME)
"""
NOTHING = "\ndef NAME(*arguments, **keywords):\n    return None\n"
"""Where the reference itself returns None in every test, this is no mutant."""


@dataclass
class Report:
    """What became of one data set."""

    name: str
    num_tasks: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    num_tests: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    exceptions: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def check(report: Report, tasks: Sequence[Task], code: Code, concurrent: int) -> None:
    """Fills the report."""
    gate = asyncio.Semaphore(concurrent)

    async def solved(source: str, task: Task) -> tuple[Verdict, str]:
        async with gate:
            score = await score_rollout(code, as_rollout(f"````python\n{source}\n````", task), task)
        return score.verdict, f"{score.reason} {score.evidence}".strip()

    async def one(task: Task) -> None:
        plan = plan_of(task)
        report.ways[plan.way] += 1
        report.num_tests += plan.num_tests
        reference = suite_of(task).reference
        # What the tests call, where that is not what the task names.
        target = next((name for name in reversed(plan.functions) if f"def {name}(" in reference), plan.entry_point)
        if plan.way == "test sandbox":
            target = plan.entry_point
        name = f"{report.name} {task.metadata['id']}"
        verdict, said = await solved(reference, task)
        report.accepted += verdict is Verdict.SOLVED
        if verdict is not Verdict.SOLVED:
            report.exceptions.append(f"{name}: the reference is not accepted: {verdict.value} {said}")
        for kind, text in (("changed", CHANGED), ("nothing", NOTHING)):
            verdict, said = await solved(reference + text.replace("NAME", target), task)
            report.rejected[kind] += verdict is Verdict.FAILED
            if verdict is not Verdict.FAILED:
                report.exceptions.append(f"{name}: the mutant {kind!r} is not rejected: {verdict.value} {said}")

    began = time.perf_counter()
    await asyncio.gather(*map(one, tasks))
    report.seconds = time.perf_counter() - began
    report.num_tasks = len(tasks)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    for name in ("humaneval", "mbpp", "sanitized"):
        parser.add_argument(f"--{name}", help="path of its JSON lines")
    parser.add_argument("--workers", type=int, default=None, help="programs at one time; default one a core")
    parser.add_argument("--tasks", default=":", help="a part of each data set, such as 0:250")
    parser.add_argument("--json", help="also written here")
    arguments = parser.parse_args()
    code = Code(num_workers=arguments.workers)
    reports = []
    part = slice(*(int(end) if end else None for end in arguments.tasks.split(":")))
    for name, domain in (("humaneval", HumanEval), ("mbpp", MBPP), ("sanitized", MBPP)):
        if path := getattr(arguments, name):
            report = Report(name)
            tasks = [task for split in domain(path=path).splits.values() for task in split]
            await check(report, tasks[part], code, concurrent=64)
            reports.append(report)
    await code.close()
    print(
        "| data | tasks | tests | outside | test sandbox | references accepted | changed rejected | None rejected | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for r in reports:
        print(
            f"| {r.name} | {r.num_tasks} | {r.num_tests} | {r.ways['outside']} | {r.ways['test sandbox']} | "
            f"{r.accepted} | {r.rejected['changed']} | {r.rejected['nothing']} | {r.seconds:.1f} |"
        )
    for r in reports:
        print("\n".join(r.exceptions))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump([vars(report) for report in reports], file, indent=2)


if __name__ == "__main__":
    asyncio.run(main())
