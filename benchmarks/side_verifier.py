"""Both sides of scoring mathematics: our `math` verifier, or math-verify's own loop. Usage: side_verifier.py SIDE"""

from __future__ import annotations

import sys
import time

from side import serve
from verifier import by_math_verify, by_ours, expression_rows, number_rows

KINDS = {"numbers": number_rows, "expressions": expression_rows}


def score(kind: str, count: int) -> dict[str, float]:
    """Rows are what the table counts here."""
    rows = KINDS[kind](count)
    judge = (by_ours if sys.argv[1] == "assay" else by_math_verify)(rows)
    start = time.perf_counter()
    verdicts = judge()
    seconds = time.perf_counter() - start
    wrong = sum(verdict != right for verdict, (_, _, right) in zip(verdicts, rows, strict=True))
    return {"seconds": seconds, "tokens": len(rows), "wrong": wrong}


if __name__ == "__main__":
    serve({"score": score}, {})
