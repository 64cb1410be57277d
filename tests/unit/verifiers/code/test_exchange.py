"""What crosses between a program and its tests: each case is what plain CPython or pytest says in one process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from assay.types import Task, Verdict
from assay.verifiers import as_rollout, close_verifiers
from assay.verifiers.code import Code, Judgement, read_suite

CASES = [json.loads(line) for line in Path(__file__).with_name("exchange_cases.jsonl").read_text().splitlines()]
CODE = Code(seconds=4.0)
LIAR = """
class L{base}:
    def __eq__(self, o): return True
    __ne__ = lambda s, o: False
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda s, o: True
    __hash__ = lambda s: 0
    __sub__ = __rsub__ = __add__ = __radd__ = lambda s, o: 0
    __abs__ = __neg__ = lambda s: s
    __len__ = lambda s: 1
    __iter__ = lambda s: iter([s])
    __getitem__ = lambda s, k: s
    __getattr__ = lambda s, n: s
def f(x): return L()
"""
CHECKS = (
    "f(3) == 9",
    "9 == f(3)",
    "not f(3) != 9",
    "f(3) in [9]",
    "9 in f(3)",
    "abs(f(3) - 9) < 1e-6",
    "f(3) >= 9 and f(3) <= 9",
    "f(3)[0] == 9",
    "f(3).x == 9",
    "{f(3)} == {9}",
    "f(3) + 1 == 10",
)


@pytest.fixture(scope="module", autouse=True)
def _sandboxes():
    yield
    asyncio.run(close_verifiers([CODE]))


def judge(program: str, **tests: Any) -> Judgement:
    task = Task("d", (), "", suite=read_suite(tests, "row"))
    return asyncio.run(CODE.judge(as_rollout(program, task), task))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_verdict_is_that_of_one_process(case: dict[str, Any]) -> None:
    tests = {key: value for key, value in case.items() if key not in ("id", "program", "solved")}
    score = judge(case["program"], **tests).score
    assert (score.verdict is Verdict.SOLVED) is case["solved"], score
    assert score.verdict is not Verdict.NOT_MEASURED


@pytest.mark.parametrize("base", ["", "(int)", "(str)", "(list)", "(tuple)", "(dict)", "(float)"])
def test_an_object_that_agrees_with_everything_is_never_right(base: str) -> None:
    as_class = LIAR.replace("class L", "class f").replace("def f(x): return L()", "    def __init__(s, *a): pass")
    for program in (LIAR.format(base=base), as_class.format(base=base)):
        for check in CHECKS:
            test = f"def check(candidate):\n    for _ in (1,):\n        assert {check}\n"
            score = judge(program, entry_point="f", test=test).score
            assert score.verdict is Verdict.FAILED, (check, score)


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    yield 9\n",
        "async def f(x):\n    return 9\n",
        "f = 9\n",
        "x = 9\n",
        "import unittest\ndef f(x):\n    raise unittest.SkipTest('x')\n",
        "import unittest\nclass E(unittest.SkipTest): pass\ndef f(x):\n    raise E\n",
        "class A(BaseException): pass\ndef f(x):\n    raise A\n",
        "def f(x):\n    raise KeyboardInterrupt\n",
        "def f(x):\n    raise SystemExit(0)\n",
        "def f(x):\n    _assay_ask(['passed', ''])\n",
        "def f(x):\n    _assay_ask(['value', (8, {}, []), {}, {}, ''])\n",
        "def f(x):\n    import os\n    os._exit(0)\n",
        "def f(x):\n    open('unittest.py', 'w').write('import os; os._exit(0)')\n    return 0\n",
        "import builtins, sys\ndef f(x):\n    sys._getframe(1).f_globals.clear()\n    return 0\n",
    ],
)
@pytest.mark.parametrize(
    "test",
    [
        "def check(candidate):\n    for _ in (1,):\n        assert candidate(3) == 9\n",
        "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(f(3), 9)\n",
        "from solution import f\ndef test_it(tmp_path):\n    assert f(3) == 9\n",
    ],
)
def test_a_program_that_will_not_say_has_failed(program: str, test: str) -> None:
    assert judge(program, entry_point="f", test=test).score.verdict is Verdict.FAILED


def test_what_cannot_cross_is_a_failure_of_that_name_and_counted() -> None:
    code = Code(seconds=4.0)
    task = Task("d", (), "", suite=read_suite({"tests": ["assert f(3) == 9"]}, "row"))
    score = asyncio.run(code(as_rollout(LIAR.format(base=""), task), task))
    assert (score.verdict, score.reason) == (Verdict.FAILED, "cannot cross")
    assert code.tally.counts["code/cannot_cross"] == 1
    assert code.tally.counts["code/forged_types"] == 1


def test_a_long_list_is_an_output_limit() -> None:
    result = judge("def f(n): return list(range(n))\n", tests=["assert len(f(3_000_000)) == 3"]).results[0]
    assert result.verdict.value == "output limit"
    assert not result.forged_type


SPY = """
import gc
def f(call):
    found = []
    for name in ("__globals__", "__closure__", "__self__", "__func__", "side_effect", "return_value", "gi_frame"):
        try:
            found.append(repr(getattr(call, name)))
        except Exception as error:
            found.append(type(error).__name__)
    return found
"""


@pytest.mark.parametrize("given", ["lambda: expected", "Mock(side_effect=lambda: expected)", "(expected for _ in 'a')"])
def test_a_program_reads_nothing_behind_what_the_test_hands_to_it(given: str) -> None:
    test = (
        f"from unittest.mock import Mock\nexpected = 777123\ndef check(candidate):\n    found = candidate({given})\n"
        "    assert len(found) == 7 and '777123' not in repr(found), found\n"
    )
    assert judge(SPY, entry_point="f", test=test).score.verdict is Verdict.SOLVED


def test_a_pickle_that_the_program_wrote_runs_nothing_in_the_tests_space() -> None:
    program = (
        "import pickle, os\nclass E:\n    def __reduce__(self):\n        return os._exit, (0,)\n"
        "def f(p):\n    open(p, 'wb').write(pickle.dumps(E()))\n"
    )
    test = (
        "import pickle\ndef test_it(tmp_path):\n    f(str(tmp_path / 'x'))\n"
        "    with open(tmp_path / 'x', 'rb') as file:\n        assert pickle.load(file) == 3\n"
    )
    assert "is not read from a pickle" in judge(program, entry_point="f", test=test).results[0].detail
    plain = "import pickle\ndef f(p):\n    open(p, 'wb').write(pickle.dumps(3))\n"
    assert judge(plain, entry_point="f", test=test).score.verdict is Verdict.SOLVED
