from __future__ import annotations

import asyncio
import threading

import pytest

from assay.verifiers import Choice, Code, Exact, Format, Numeric, PythonReward, Verifier, check_verifier

VERIFIERS = [Exact(), Numeric(), Numeric(reading="any"), Choice(), Format(), Format(shape="reasoning")]
EQUAL_TEXT = PythonReward(function="operator:eq")


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_every_builtin_case(verifier: Verifier) -> None:
    asyncio.run(check_verifier(verifier, strict=True))


def test_every_builtin_case_of_code() -> None:
    # Attacks that hang end at the limit of CPU time, on the clock at twice that.
    asyncio.run(check_verifier(Code(seconds=0.5), strict=True, slow_seconds=30))


def test_a_function_that_compares_text_errs_where_it_must() -> None:
    report = asyncio.run(check_verifier(EQUAL_TEXT))
    assert {(result.error, result.case.category) for result in report.errors} == {
        ("false reject", "gold"),  # white space around the answer
        ("false reject", "spelling"),
        ("false accept", "cut off"),  # a plain function is not told how the response ended
    }


def test_from_another_thread() -> None:
    reports = []
    thread = threading.Thread(target=lambda: reports.append(asyncio.run(check_verifier(Numeric()))))
    thread.start()
    thread.join()
    assert not reports[0].errors
