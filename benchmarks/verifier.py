"""Our math verifier beside math-verify's own loop: rows a second, on plain numbers and on expressions.

    python benchmarks/verifier.py [--numbers 2000] [--expressions 300] [--repeats 3] [--json FILE]

The peer is parse() and verify() one row after the other, as its documentation shows; ours is the `math` verifier under
asyncio with one worker a core. Both start warm, in turn, in the same process; the verdicts of both are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from assay.types import Message, Task
from assay.verifiers import Math, as_rollout

Row = tuple[str, str, bool]
"""(gold, response, whether it is right)"""


def number_rows(count: int) -> list[Row]:
    rng = random.Random(0)
    rows = []
    for i in range(count):
        gold = rng.randint(-(10**6), 10**6)
        right = i % 2 == 0
        shown = gold if right else gold + rng.randint(1, 9)
        text = f"{shown:,}" if i % 3 == 0 else f"{shown}.0" if i % 3 == 1 else str(shown)
        rows.append((str(gold), f"First we add, then we carry. The answer is $\\boxed{{{text}}}$.", right))
    return rows


def expression_rows(count: int, seed: int = 1) -> list[Row]:
    """Equal and unequal pairs, every one different: nothing to cache."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        right = i % 2 == 0
        wrong = 0 if right else 1
        gold, response = [
            (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b + wrong})"),
            (f"\\sqrt{{{a * a * b}}}", f"{a}\\sqrt{{{b + wrong}}}"),
            (f"\\frac{{{a}\\pi}}{{{b}}}", f"\\frac{{{2 * a + wrong}\\pi}}{{{2 * b}}}"),
            (f"\\{{{a}, {b}x\\}}", f"\\{{{b + wrong}x, {a}\\}}"),
        ][i % 4]
        rows.append((gold, f"Thus $\\boxed{{{response}}}$.", right))
    return rows


BOMBS = (
    *("9**9**9", "9^{9^{9}}", "((9^9)^9)^9", "10^{10^{10}}", "2^{2^{2^{2^{2}}}}", "999999999!", "(1+x)^{3000}"),
    *("\\sum_{i=1}^{10^9} i^i", "\\prod_{i=1}^{99999999} i", "\\binom{10^9}{5\\cdot 10^8}", "\\zeta(1/2+10^6i)"),
    *("\\int_0^1 x^x \\ln(\\sin(x^{7})) dx", "\\lim_{x\\to 0} \\frac{\\sin^{50}(x)-x^{50}}{x^{60}}"),
    *("\\frac{d}{dx}(x^{x^{x^{x^x}}})", "\\sin(\\sin(\\sin(\\sin(\\sin(x^{99})))))", "\\sqrt{" * 200 + "2" + "}" * 200),
    *("x^{999}+" * 200 + "1", "\\det" + "(" * 30 + "x" + ")" * 30),
    "\\begin{pmatrix}" + "\\\\".join(["1"] * 1000) + "\\end{pmatrix}",
    "\\begin{pmatrix}" + "\\\\".join(["&".join(["x"] * 30)] * 60) + "\\end{pmatrix}",
)
"""What would run for ever, or nearly: the peer is not shown these."""


def bomb_rows() -> list[Row]:
    """2,000 right numbers and 100 right expressions, with the bombs strewn among them."""
    rows: list[Row] = [(str(i), f"\\boxed{{{i}}}", True) for i in range(2000)]
    rows += [(f"x^2+{2 * i}x+{i * i}", f"\\boxed{{(x+{i})^2}}", True) for i in range(100)]
    for i, bomb in enumerate(BOMBS):
        rows.insert(90 * i, ("42", f"\\boxed{{{bomb}}}", False))
    return rows


def by_math_verify(rows: list[Row]) -> Callable[[], list[bool]]:
    from math_verify import parse, verify

    return lambda: [verify(parse(f"$\\boxed{{{gold}}}$"), parse(response)) for gold, response, _ in rows]


def by_ours(rows: list[Row], timeout_seconds: float = 5.0) -> Callable[[], list[bool]]:
    score = score_all(Math(timeout_seconds=timeout_seconds), rows)
    return lambda: asyncio.run(score)


def score_all(verifier: Math, rows: list[Row]) -> Coroutine[None, None, list[bool]]:
    """Whether each is solved; begun when awaited."""
    tasks = [Task("bench", (Message("user", str(i)),), gold) for i, (gold, _, _) in enumerate(rows)]
    # In training the rollouts are there already.
    rollouts = [as_rollout(response, task) for task, (_, response, _) in zip(tasks, rows, strict=True)]

    async def score() -> list[bool]:
        scores = await asyncio.gather(*(verifier(r, t) for r, t in zip(rollouts, tasks, strict=True)))
        return [score.verdict.value == "solved" for score in scores]

    return score()


def timed(judge: Callable[[], list[bool]], rows: list[Row]) -> tuple[float, int]:
    """(seconds, wrong verdicts)"""
    began = time.perf_counter()
    verdicts = judge()
    seconds = time.perf_counter() - began
    return seconds, sum(verdict != right for verdict, (_, _, right) in zip(verdicts, rows, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=2000, help="rows of plain numbers")
    parser.add_argument("--expressions", type=int, default=300, help="rows of expressions")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    by_ours(expression_rows(8))()
    by_math_verify(expression_rows(8))()
    for name, rows in (
        ("numbers", number_rows(arguments.numbers)),
        ("expressions", expression_rows(arguments.expressions)),
    ):
        ours, theirs, ratios, wrong = [], [], [], (0, 0)
        for _ in range(arguments.repeats):
            their_seconds, their_wrong = timed(by_math_verify(rows), rows)
            our_seconds, our_wrong = timed(by_ours(rows), rows)
            ours.append(len(rows) / our_seconds)
            theirs.append(len(rows) / their_seconds)
            ratios.append(their_seconds / our_seconds)
            wrong = (our_wrong, their_wrong)
        results[name] = {
            "rows": len(rows),
            "ours_per_second": statistics.median(ours),
            "math_verify_per_second": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            "wrong_ours": wrong[0],
            "wrong_math_verify": wrong[1],
        }
        print(
            f"{name}: ours {statistics.median(ours):,.0f} rows/s, math-verify {statistics.median(theirs):,.0f}, "
            f"ratio {statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]; "
            f"wrong verdicts {wrong[0]} and {wrong[1]} of {len(rows)}"
        )
    rows = bomb_rows()
    seconds, wrong = timed(by_ours(rows, timeout_seconds=1.0), rows)
    results["bombs"] = {"rows": len(rows), "bombs": len(BOMBS), "seconds": seconds, "wrong_ours": wrong}
    print(f"{len(BOMBS)} bombs among {len(rows)} rows: {seconds:.1f} s, wrong verdicts {wrong}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
