"""Error rates of the math judge on answers that others wrote: MATH and GSM8K, with near misses of their gold answers.

    python benchmarks/math_judge.py MATH500.jsonl GSM8K.jsonl [--cases MATH_VERIFY_SOURCE] [--json FILE]

MATH500.jsonl has problem, solution and answer; GSM8K.jsonl question and answer (with "####"). False rejects: solutions
against their gold answer, and gold answers in other spellings. False accepts: near misses of the gold answer, which are
another value by construction. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Literal

from assay.errors import DataError
from assay.statistics import wilson
from assay.types import Message, Task
from assay.verifiers import Math, as_rollout

Pair = tuple[str, str]
"""(gold, response)"""
_INTEGER = re.compile(r"-?\d+")


def boxed(answer: str) -> str:
    return f"The answer is $\\boxed{{{answer}}}$."


SPELLINGS: dict[str, Callable[[str], str | None]] = {
    "fractions as \\dfrac": lambda a: a.replace("\\frac", "\\dfrac") if "\\frac" in a else None,
    "fractions without braces": lambda a: re.sub(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2", a),
    "spaces": lambda a: None if re.search(r"\d,(?:\\!)? ?\d{3}", a) else a.replace(",", " , ").replace("+", " + "),
    "fences": lambda a: a.replace("(", "\\left(").replace(")", "\\right)"),
    "bold": lambda a: f"\\mathbf{{{a}}}",
    "display style": lambda a: f"\\displaystyle {a}",
    "integers with a point": lambda a: f"{a}.0" if _INTEGER.fullmatch(a) else None,
    "a name before it": lambda a: f"x = {a}" if _INTEGER.fullmatch(a) or a.startswith("\\frac") else None,
    "a period behind it": lambda a: f"{a}.",
    "thousands": lambda a: f"{int(a):,}" if _INTEGER.fullmatch(a) and len(a) > 4 else None,
}
"""Ways in which others write the same answer; None where one does not apply."""


def near_misses(answer: str) -> list[str]:
    """Answers that are nearly the gold one, and another value."""
    found = []
    numbers = list(re.finditer(r"(?<![\d.^_])\d+(?![\d.])", answer))
    if numbers:
        last = numbers[-1]
        found.append(f"{answer[: last.start()]}{int(last.group()) + 1}{answer[last.end() :]}")
    if _INTEGER.fullmatch(answer):
        value = int(answer)
        found += [f"{value}.5", f"{value}, {value + 1}", f"{value} \\text{{ or }} {value + 1}"]
        found += [f"{value}x"] if value else []
        found += [f"\\frac{{1}}{{{value}}}"] if abs(value) > 1 else []
        found += [f"-{value}" if value > 0 else str(-value)] if value else []
        found += [str(Fraction(value * 101, 100))] if value else []
    ordered = re.fullmatch(r"\((-?\d+), ?(-?\d+)\)", answer)
    if ordered and ordered[1] != ordered[2]:
        found.append(f"({ordered[2]}, {ordered[1]})")
    fraction = re.fullmatch(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", answer)
    if fraction and fraction[1] != fraction[2]:
        found += [f"\\frac{{{fraction[2]}}}{{{fraction[1]}}}", f"-{answer}"]
        decimal = f"{int(fraction[1]) / int(fraction[2]):.3f}"
        found += [decimal] if Fraction(decimal) != Fraction(int(fraction[1]), int(fraction[2])) else []
    if "+" in answer:
        found.append(answer.replace("+", "-", 1))
    return found


def judged(
    pairs: list[Pair], form: Literal["box", "prose", "bare"] = "box", *, can_be_unmeasured: bool = False
) -> list[bool]:
    """Whether each response is solved; a gold answer that is none is an error, unless it may be."""
    verifier = Math(answer_form=form, timeout_seconds=5.0)

    async def one(number: int, gold: str, response: str) -> bool:
        task = Task("judge", (Message("user", str(number)),), gold)
        try:
            return (await verifier(as_rollout(response, task), task)).verdict.value == "solved"
        except DataError:
            if can_be_unmeasured:
                return False
            raise

    async def every() -> list[bool]:
        return list(await asyncio.gather(*(one(i, gold, response) for i, (gold, response) in enumerate(pairs))))

    return asyncio.run(every())


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def math_verify_cases(folder: Path) -> list[tuple[Pair, bool]]:
    """The pairs of math-verify's own tests, from the folder of its source release, and which its authors accept."""
    sys.path.insert(0, str(folder))
    found = []
    for name in ("all", "boxed", "numina_cases", "open_thoughts", "strict", "yujianll"):
        for test in vars(importlib.import_module(f"tests.test_{name}")).values():
            for mark in getattr(test, "pytestmark", ()):
                if mark.name != "parametrize":
                    continue
                names = mark.args[0]
                names = [one.strip() for one in names.split(",")] if isinstance(names, str) else names
                for values in mark.args[1]:
                    row = dict(zip(names, values, strict=False))
                    if "gold" in row and row.get("strict") is not False:
                        accepted = row.get("expected", row.get("result"))
                        found.append(((row["gold"], row["pred"]), bool(accepted)))
    return found


def sets_of(math: list[dict[str, str]], gsm: list[dict[str, str]]) -> list[tuple[str, str, list[Pair], str]]:
    """(what it is, the error that is counted, pairs, form)"""
    competition = [(row["answer"], row["solution"]) for row in math]
    school = [(row["answer"].rpartition("####")[2].strip(), row["answer"]) for row in gsm]
    sets = [
        ("MATH-500, each solution", "false reject", competition, "box"),
        ("GSM8K test, each solution, in prose", "false reject", school, "prose"),
        (
            "GSM8K test, raw gold answer, its number boxed",
            "false reject",
            [(raw, boxed(n)) for n, raw in school],
            "box",
        ),
    ]
    without = [(number, solution.rpartition("####")[0]) for number, solution in school]
    sets.append(("GSM8K test, the solution without its last line, in prose", "false reject", without, "prose"))
    for name, spell in SPELLINGS.items():
        pairs = [(gold, boxed(other)) for gold, _ in competition if (other := spell(gold)) not in (None, gold)]
        sets.append((f"MATH-500, {name}", "false reject", pairs, "box"))
    others = [(school[(i + 1) % len(school)][0], response) for i, (_, response) in enumerate(school)]
    others = [pair for pair, (gold, _) in zip(others, school, strict=True) if pair[0] != gold]
    sets.append(("GSM8K test, another problem's solution, in prose", "false accept", others, "prose"))
    for name, golds in (("MATH-500", competition), ("GSM8K test", school)):
        pairs = [(gold, boxed(miss)) for gold, _ in golds for miss in near_misses(gold)]
        sets.append((f"{name}, near misses in a box", "false accept", pairs, "box"))
        prose = [(gold, f"The answer is ${miss}$.") for gold, _ in golds for miss in near_misses(gold)]
        sets.append((f"{name}, near misses in prose", "false accept", prose, "prose"))
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("math", type=Path)
    parser.add_argument("gsm8k", type=Path)
    parser.add_argument("--json", type=Path, help="also write the counts here")
    parser.add_argument("--show", type=int, default=0, help="errors of each set that are printed")
    parser.add_argument("--cases", type=Path, help="the folder of math-verify's source release: its own test cases")
    arguments = parser.parse_args()
    counts = []
    print("| answers | error | errors | of | rate, % [95 %] |\n|---|---|---|---|---|")
    for name, error, pairs, form in sets_of(rows_of(arguments.math), rows_of(arguments.gsm8k)):
        verdicts = judged(pairs, "prose" if form == "prose" else "box")
        wrong = [pair for pair, solved in zip(pairs, verdicts, strict=True) if solved == (error == "false accept")]
        interval = wilson(len(wrong), len(pairs))
        low, high = interval.low, interval.high
        rate = f"{100 * len(wrong) / len(pairs):.2f} [{100 * low:.2f}, {100 * high:.2f}]"
        print(f"| {name} | {error} | {len(wrong)} | {len(pairs):,} | {rate} |", flush=True)
        for gold, response in wrong[: arguments.show]:
            print(f"    {gold!r} <- {response[-90:]!r}")
        counts.append({"answers": name, "error": error, "errors": len(wrong), "of": len(pairs)})
    if arguments.cases:
        cases = math_verify_cases(arguments.cases)
        for form in ("prose", "bare"):
            verdicts = judged([pair for pair, _ in cases], form, can_be_unmeasured=True)
            right = sum(solved == accepted for solved, (_, accepted) in zip(verdicts, cases, strict=True))
            print(f"math-verify's own cases, {form}: {right} of {len(cases)} as its authors want")
            counts.append(
                {
                    "answers": f"math-verify's own cases, {form}",
                    "error": "other verdict",
                    "errors": len(cases) - right,
                    "of": len(cases),
                }
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()
