from __future__ import annotations

import asyncio
import json
import pickle
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from assay.errors import DataError, VerifierError
from assay.host import Host
from assay.sandbox import Sandbox
from assay.types import Score, Task, Verdict
from assay.verifiers import Part, Weighted, as_rollout, close_verifiers, make_verifier, verifier_metrics
from assay.verifiers.code import Code, Judgement, read_suite
from assay.verifiers.score import score_rollout

ADD = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add(2, 2) == 4", "assert add(5, 5) == 10"]
CASES = [{"input": "1 2\n", "output": "3"}, {"input": "4 5\n", "output": "9"}]
RIGHT = "def add(a, b):\n    return a + b\n"
SUM = "print(sum(map(int, input().split())))"


@pytest.fixture(scope="module", autouse=True)
def _sandboxes() -> Iterator[None]:
    yield
    asyncio.run(close_verifiers([Code(), Code(backend="unsafe")]))


def judge(response: str, code: Code | None = None, **tests: Any) -> Judgement:
    task = Task("d", (), "", suite=read_suite(tests, "row"))
    return asyncio.run((code or Code(seconds=2.0)).judge(as_rollout(response, task), task))


def verdicts(response: str, code: Code | None = None, **tests: Any) -> list[str]:
    return [result.verdict.value for result in judge(response, code, **tests).results]


def test_every_assert_must_hold() -> None:
    good = judge(RIGHT, tests=ADD)
    assert (good.score, [r.verdict.value for r in good.results]) == (Score.solved(), ["accepted"] * 4)
    bad = judge("def add(a, b):\n    return abs(a) + b\n", tests=ADD).score
    assert (bad.verdict, bad.value, bad.reason) == (Verdict.FAILED, 0.0, "wrong answer")
    assert bad.evidence == "test 2 of 4: add(-1, 1) == 0: got 2"


def test_it_stops_at_the_first_failure_unless_the_share_is_asked_for() -> None:
    response = "def add(a, b):\n    if a == 2:\n        raise KeyError('two')\n    return a + b if a else 0\n"
    assert verdicts(response, tests=ADD) == ["accepted", "accepted", "runtime error"]
    shared = judge(response, Code(score="share"), tests=ADD)
    assert [r.verdict.value for r in shared.results] == ["accepted", "accepted", "runtime error", "accepted"]
    assert (shared.score.verdict, shared.score.value) == (Verdict.FAILED, 0.75)
    assert shared.results[2].detail == "KeyError: 'two'"


def test_a_program_that_ends_is_started_again_for_the_share() -> None:
    response = "import os\ndef add(a, b):\n    if a == -1: os._exit(0)\n    return a + b\n"
    assert verdicts(response, Code(score="share"), tests=ADD) == [
        *("accepted", "runtime error", "accepted", "accepted"),
    ]
    assert verdicts("def add(a, b)", Code(score="share"), tests=ADD) == ["compile error"] * 4


def test_all_tests_together_have_a_limit_too() -> None:
    code = Code(score="share", seconds=0.3, response_seconds=0.5)
    results = judge("import time\ndef add(a, b): time.sleep(9)\n", code, tests=ADD).results
    assert [r.verdict.value for r in results] == ["time limit"] * 4
    assert results[-1].detail == "the tests before it used up the time of the response"


def test_values_that_are_not_plain_fail_and_are_counted() -> None:
    code = Code(memory_mb=300)
    liar = "class L(int):\n    def __eq__(self, o): return True\n    __hash__ = None\ndef add(a, b): return L(0)\n"
    found = judge(liar, code, tests=ADD)
    assert found.results[0].forged_type
    assert found.results[0].detail == "an object of L, whose == is its own"
    assert (
        judge(
            "import collections\ndef count(x): return collections.Counter(x)\n",
            code,
            tests=["assert count('aa') == {'a': 2}"],
        ).score.value
        == 1.0
    )
    assert (
        judge(
            "import re\ndef f(x): return re.match('a', x)\n", code, tests=["assert f('a')", "assert not f('b')"]
        ).score.value
        == 1.0
    )
    metrics = verifier_metrics(code)
    assert metrics["code/forged_types"] == 1
    assert metrics["code/programs"] == 3


def test_metrics_count_what_may_be_a_hole() -> None:
    code = Code(seconds=0.5, memory_mb=64)
    for response in (RIGHT, "", "def add(a, b):\n    while True: pass\n", "raise SystemExit(0)", "def"):
        judge(response, code, tests=ADD)
    assert verifier_metrics(Weighted(parts={"x": Part(verifier=code)}, solved_by="x")) == {
        "code/programs": 4,
        "code/no_program": 1,
        "code/ended_by_limits": 1,
        "code/runtime_errors": 1,
        "code/compile_errors": 1,
        "code/forged_types": 0,
        "code/cannot_cross": 0,
    }


def test_a_test_file_runs_apart_from_the_program() -> None:
    tests: dict[str, Any] = {
        "prompt": "def helper(x):\n    return x + 1\n\ndef f(x):\n",
        "entry_point": "f",
        "test": "import random\n\ndef check(candidate):\n    for _ in range(20):\n        x = random.randint(0, 99)\n"
        "        assert candidate(x) == helper(x), x\n    try:\n        candidate(-1)\n    except ValueError as e:\n"
        "        assert 'negative' in str(e)\n    else:\n        assert False, 'no error'\n",
    }
    right = "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x + 1\n"
    assert judge(right, **tests).score == Score.solved()
    assert judge("def f(x):\n    return x + 1\n", **tests).results[0].detail == "assertion failed no error"
    assert judge("def f(x):\n    return None\n", **tests).score.reason == "wrong answer"
    assert judge("def f(x):\n    raise KeyError(x)\n", **tests).score.reason == "runtime error"
    assert judge("import os\ndef f(x):\n    os._exit(0)\n", **tests).score.reason == "runtime error"
    assert (
        judge(
            "def f(x):\n    import sys\n    sys.modules['random'].randint = None\n    return 7\n", **tests
        ).score.value
        == 0.0
    )


def test_a_test_file_of_unittest_classes() -> None:
    test = (
        "import unittest\nstate = []\ndef setUpModule():\n    state.append(1)\n"
        "class T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        cls.x = state[0] + 1\n"
        "    def test_it(self):\n        self.assertEqual(f(self.x), 3)\n"
        "        self.assertEqual(len(f(self.x + 1)), 3)\n"
    )
    right = "def f(x):\n    return 3 if x == 2 else 'abc'\n"
    assert judge(right, entry_point="f", test=test).score == Score.solved()
    assert judge("def f(x):\n    return 4\n", entry_point="f", test=test).results[0].detail.startswith("assertion")
    assert "TypeError" in judge("def f(x):\n    return 3\n", entry_point="f", test=test).results[0].detail
    assert judge("def f(x):\n    raise KeyError\n", entry_point="f", test=test).score.reason == "runtime error"
    for broken in ("state[5]", "1 / 0"):
        with pytest.raises(VerifierError, match="itself raises"):
            judge(right, entry_point="f", test=test.replace("state[0] + 1", broken))


def test_a_value_too_deep_for_the_test_is_the_programs_failure() -> None:
    deep = "def f(x):\n    value = []\n    for _ in range(98):\n        value = [value]\n    return value\n"
    test = "def check(candidate):\n    for x in (1,):\n        assert candidate(x) == 1\n"
    assert judge(deep, entry_point="f", test=test).score.verdict is Verdict.FAILED


def test_a_test_file_sees_changes_made_in_place() -> None:
    test = "def check(candidate):\n    x = [3, 1, 2]\n    candidate(x)\n    assert x == [1, 2, 3]\n"
    assert judge("def f(x):\n    x.sort()\n", entry_point="f", test=test).score == Score.solved()
    assert judge("def f(x):\n    return sorted(x)\n", entry_point="f", test=test).score.value == 0.0


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            "import nonexistent\ndef check(candidate):\n    for x in (1,):\n        assert candidate(x)\n",
            "itself raises Mod",
        ),
        ("def check(candidate):\n    for x in (1,): assert x == 2\n", "fails before it called"),
        ("def check(candidate):\n    while True: pass\n", "test file ended: time_limit"),
        ("def check(candidate):\n    import os\n    os._exit(0)\n", "test file ended"),
        ("def check(candidate):\n    for x in (): candidate(x)\n", "never called the candidate"),
        ("def check(candidate):\n    object().x\n    for x in (1,): candidate(x)\n", "itself raises AttributeError"),
    ],
)
def test_a_test_file_that_fails_measures_nothing(test: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.sandbox import Limits
    from assay.verifiers.code import file

    monkeypatch.setattr(file, "TEST_LIMITS", Limits(cpu_seconds=0.5, wall_seconds=8.0))
    with pytest.raises(VerifierError, match=message):
        judge("def f(x):\n    return 1\n", entry_point="f", test=test)


def test_an_answer_that_keeps_the_test_busy_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.sandbox import Limits
    from assay.verifiers.code import file

    monkeypatch.setattr(file, "TEST_LIMITS", Limits(cpu_seconds=0.5, wall_seconds=8.0))
    test = "def check(candidate):\n    n = candidate(3)\n    for _ in range(n): pass\n    assert n == 9\n"
    right, busy = "def f(x): return x * x\n", "def f(x): return 10**12\n"
    tests: dict[str, Any] = {"entry_point": "f", "test": test, "reference": right}
    assert judge(right, **tests).score == Score.solved()
    assert judge(busy, **tests).score.reason == "wrong answer"
    assert judge(busy, entry_point="f", test=test).score.reason == "wrong answer"
    endless = test + "    while True: pass\n"
    with pytest.raises(VerifierError, match="with the reference too"):
        judge(right, **{**tests, "test": endless})


SNOOP = """
import gc, os

def add(a, b):
    wanted = "".join(map(str, [777, 123]))
    seen = repr([each for each in gc.get_objects() if isinstance(each, (list, dict, tuple))])
    for path in ("/proc/self/cmdline", "/proc/self/environ", "main.py"):
        try:
            seen += open(path).read()
        except OSError:
            pass
    return int(wanted) if wanted in seen else 0
"""


def test_tests_are_never_inside_the_programs_space() -> None:
    assert judge(SNOOP, tests=["assert add(1, 2) == 777123"]).score.value == 0.0
    assert judge(SNOOP, tests=["assert add(777123, 2) == 777123"]).score.value == 1.0, "it would see it"


def test_from_stdin_to_stdout() -> None:
    assert judge(SUM, cases=CASES).score == Score.solved()
    assert judge("print(3)", cases=CASES).score.evidence == "test 2 of 2: input '4 5\\n': got '3\\n', expected '9'"
    assert verdicts("print(3)", Code(score="share"), cases=CASES) == ["accepted", "wrong answer"]
    assert verdicts("1 / 0", cases=CASES) == ["runtime error"]
    assert verdicts("def", Code(score="share"), cases=CASES) == ["compile error"] * 2
    assert verdicts("while True: pass", Code(seconds=0.5), cases=CASES) == ["time limit"]
    assert verdicts("x = bytearray(1 << 29)\nprint(len(x))", Code(memory_mb=64), cases=CASES)[0] in (
        "memory limit",
        "runtime error",
    )
    assert verdicts("while True: print('x' * 1000)", cases=CASES) == ["output limit"]
    assert verdicts("import os\nos.write(1, b'\\xff\\x003')", cases=CASES) == ["wrong answer"]


def test_how_outputs_are_compared_is_the_tasks_or_the_verifiers() -> None:
    case = [{"input": "", "output": "0.5 x\n"}]
    near = "print('0.50001  x')"
    assert judge(near, cases=case).score.value == 0.0
    assert judge("print('0.50000001  x')", cases=case).score.value == 1.0
    assert judge(near, Code(comparison="floats", tolerance=1e-3), cases=case).score.value == 1.0
    assert judge(near, cases=case, comparison="floats", tolerance=1e-12).score.value == 0.0
    assert judge("print('0.5  x')", cases=case).score.value == 1.0
    assert judge("print('0.5  x')", cases=case, comparison="exact").score.value == 0.0


CHECKER = "import sys\ngiven, output, expected = (open(p).read().split() for p in sys.argv[1:])\n"


def test_a_checker_says_what_is_right() -> None:
    any_order = {"source": CHECKER + "sys.exit(0 if sorted(output) == sorted(expected) else 1)"}
    case = [{"input": "", "output": "1 2 3"}]
    assert judge("print(3, 1, 2)", cases=case, checker=any_order).score == Score.solved()
    assert judge("print(3, 1)", cases=case, checker=any_order).score.reason == "wrong answer"
    partly = {"source": CHECKER + "print('points', len(output) / 3, file=sys.stderr)\nsys.exit(7)"}
    assert judge("print(1)", Code(score="share"), cases=case, checker=partly).score.value == pytest.approx(1 / 3)
    assert judge("print(1)", cases=case, checker=partly).score.value == 0.0
    assert judge("print(1, 2, 3)", cases=case, checker=partly).score == Score.solved()


@pytest.mark.parametrize(
    "source",
    ["1 / 0", "def", "import sys\nsys.exit(3)", "import sys\nsys.exit(7)", "import os\nos.kill(os.getpid(), 9)"],
)
def test_a_checker_that_fails_measures_nothing(source: str) -> None:
    with pytest.raises(VerifierError, match="checker failed"):
        judge("print(1)", cases=[{"output": "1"}], checker={"source": source})


@pytest.mark.parametrize(
    "rest",
    [
        "sys.exit(0 if int(output[0]) == 1 else 1)",
        "while output != expected: pass",
        "print('points', 10 ** len(output[0]) / 10, file=sys.stderr)\nsys.exit(7)",
    ],
)
def test_an_output_that_breaks_the_checker_is_wrong(rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.sandbox import Limits
    from assay.verifiers.code import cases

    monkeypatch.setattr(cases, "REFEREE_LIMITS", Limits(cpu_seconds=0.5, wall_seconds=1.0))
    tests: dict[str, Any] = {"cases": [{"input": "", "output": "1"}], "checker": {"source": CHECKER + rest}}
    assert judge("print('abc')", **tests).score.reason == "wrong answer"
    assert judge("print(1)", **tests).score == Score.solved()


def test_a_checker_without_expected_outputs_is_tried_on_the_reference() -> None:
    tests: dict[str, Any] = {
        "cases": [{"input": "3"}],
        "checker": {"source": CHECKER + "sys.exit(int(output[0]) != 3)"},
    }
    assert judge("print('abc')", **tests, reference="print(input())").score.reason == "wrong answer"
    with pytest.raises(VerifierError, match="checker failed"):
        judge("print('abc')", **tests)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
@pytest.mark.parametrize("head", ["int main(int argc, char** argv)", "int main(int, char* argv[])"])
def test_a_checker_in_cpp(head: str) -> None:
    source = (
        f"#include <fstream>\n#include <cstdlib>\n{head} {{\n    int a = 0, b = 1;\n"
        "    std::ifstream(argv[2]) >> a;\n    std::ifstream(argv[3]) >> b;\n    if (a != b) std::exit(1);\n}\n"
    )
    tests: dict[str, Any] = {"cases": [{"input": "", "output": "3"}], "checker": {"source": source, "language": "cpp"}}
    assert judge("print(3)", **tests).score == Score.solved()
    assert judge("print(4)", **tests).score.reason == "wrong answer"


GUESS = (
    "import sys\nsecret = int(open(sys.argv[1]).read())\nfor _ in range(8):\n    guess = int(input())\n"
    "    print('=' if guess == secret else '<' if secret < guess else '>', flush=True)\n"
    "    if guess == secret: sys.exit(0)\nsys.exit(1)\n"
)
BISECT = (
    "low, high = 1, 100\nwhile True:\n    middle = (low + high) // 2\n    print(middle, flush=True)\n"
    "    said = input()\n"
    "    if said == '=': break\n    if said == '<': high = middle - 1\n    else: low = middle + 1\n"
)


def test_an_interactor_talks_to_the_program() -> None:
    cases = [{"input": "37"}, {"input": "100"}]
    assert judge(BISECT, cases=cases, interactor={"source": GUESS}).score == Score.solved()
    linear = "for n in range(1, 101):\n    print(n, flush=True)\n    if input() == '=': break\n"
    assert verdicts(linear, cases=cases, interactor={"source": GUESS}) == ["wrong answer"]
    assert verdicts("while True: pass", Code(seconds=0.5), cases=cases, interactor={"source": GUESS}) == ["time limit"]


@pytest.mark.parametrize("response", ["pass", "print(50)", "print('abc')\ninput()", "import os\nos._exit(1)"])
def test_a_program_that_breaks_the_interactor_has_failed(response: str) -> None:
    cases = [{"input": "37"}]
    assert judge(response, cases=cases, interactor={"source": GUESS}).score.verdict is Verdict.FAILED
    assert judge(response, cases=cases, interactor={"source": GUESS}, reference=BISECT).score.verdict is Verdict.FAILED
    with pytest.raises(VerifierError, match="interactor failed"):
        judge(response, cases=cases, interactor={"source": "1 / 0"}, reference=BISECT)
    with pytest.raises(VerifierError, match="interactor failed"):
        judge("input()", cases=cases, interactor={"source": "1 / 0"})


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
def test_programs_in_cpp() -> None:
    source = "#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }\n"
    assert judge(f"```cpp\n{source}```", cases=CASES, language="cpp").score == Score.solved()
    assert verdicts(source.replace(";", ""), Code(language="cpp"), cases=CASES) == ["compile error"]


def test_methods_of_a_class_solution() -> None:
    solution = "class Solution:\n    def add(self, a, b):\n        return (a, b)\n"
    assert judge(solution, entry_point="add", calls=[{"arguments": [1, [2]], "expected": [1, [2]]}]).score.value == 1.0
    assert judge(solution, entry_point="add", calls=[{"arguments": [1, 2], "expected": [2, 1]}]).score.value == 0.0
    wrapped = [{"arguments": [1, 2], "expected": [3], "wrapped": True}]
    assert judge(RIGHT, entry_point="add", calls=wrapped).score.value == 1.0


def test_calls_know_the_imports_of_leetcode() -> None:
    calls = [{"arguments": [[1, 2]], "expected": 3}]
    solution = "class Solution:\n    def f(self, nums: List[int]) -> Optional[int]:\n        return sum(deque(nums))\n"
    assert judge(solution, entry_point="f", calls=calls).score == Score.solved()
    future = "from __future__ import annotations\n" + solution
    assert judge(future, entry_point="f", calls=calls).score == Score.solved()
    for used in ("comb(3, 1)", "isqrt(9)", "int(log2(8))", "reduce(xor, nums)", "partial(max, 3)(1)", "perm(3, 1)"):
        program = f"class Solution:\n    def f(self, nums):\n        return {used}\n"
        assert judge(program, entry_point="f", calls=calls).score == Score.solved(), used
    for used in ("itemgetter(1)((0, 3))", "lcm(1, 3)", "prod([3])", "next(accumulate([3]))", "date(2024, 1, 3).day"):
        program = f"class Solution:\n    def f(self, nums):\n        return {used}\n"
        assert judge(program, entry_point="f", calls=calls).score == Score.solved(), used
    for used in ("datetime.datetime(2024, 1, 3).day", "pow(3, 1, 5)", "abs(-3)", "deepcopy([3])[0]", "len(nums) + 1"):
        program = f"class Solution:\n    def f(self, nums):\n        return {used}\n"
        assert judge(program, entry_point="f", calls=calls).score == Score.solved(), used
    for used in ("datetime(2024, 1, 3).day", "datetime.strptime('3', '%d').day", "bisect(nums, 3) + 1", "copy([3])[0]"):
        program = f"class Solution:\n    def f(self, nums):\n        return {used}\n"
        assert judge(program, entry_point="f", calls=calls).score == Score.solved(), used
    for used in ("int(isinstance(datetime(1, 1, 1), datetime)) + 2", "int(Decimal('3'))", "Fraction(3, 1).numerator"):
        program = f"class Solution:\n    def f(self, nums):\n        return {used}\n"
        assert judge(program, entry_point="f", calls=calls).score == Score.solved(), used
    shadow = "pow = max\ndef f(nums):\n    return pow(nums) + 1\n"
    assert judge(shadow, entry_point="f", calls=calls).score == Score.solved()
    hidden = "class Solution:\n    def reduce(self, nums):\n        return sum(nums)\n"
    assert judge(hidden, entry_point="reduce", calls=calls).score == Score.solved()
    assert judge(hidden, entry_point="Solution().reduce", calls=calls).score == Score.solved()
    assert judge("x = 1\n", entry_point="gcd", calls=[{"arguments": [4, 6], "expected": 2}]).score.value == 0.0


def test_a_response_that_repeats_the_signature_knows_the_prompts_imports() -> None:
    tests: dict[str, Any] = {
        "prompt": "from typing import List\nimport missing_module\n\ndef f(x: List[int]) -> int:\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
    }
    assert judge("def f(x: List[int]) -> int:\n    return sum(x)\n", **tests).score == Score.solved()


@pytest.mark.parametrize("value", ["{1: 0, 2: 0}.keys()", "range(1, 3)", "map(int, '12')", "(x for x in [2, 1])"])
def test_iterables_whose_items_alone_matter(value: str) -> None:
    source = f"def f():\n    return {value}\n"
    items = ["assert sorted(f()) == [1, 2]", "assert set(f()) == {1, 2}", "assert sum(f()) == 3"]
    assert judge(source, tests=items, entry_point="f").score == Score.solved()
    assert judge(source, tests=["assert f() == [1, 2]"]).score.reason == "wrong answer"
    assert judge("def f(): return 3", tests=items, entry_point="f").score.reason == "wrong answer"


def test_the_interpreter_runs_the_tests_too() -> None:
    code = Code(interpreter="/usr/bin/python3")
    assert code._sandbox_key("tests")[3] == "/usr/bin/python3"


def test_inputs_that_the_program_makes() -> None:
    tree = (
        "class Node:\n    def __init__(self, v):\n        self.v, self.left = v, None\n"
        "def depth(n):\n    return 0 if n is None else 1 + depth(n.left)\n"
    )
    tests: dict[str, Any] = {
        "setup": "root = Node(1)\nroot.left = Node(2)",
        "tests": ["assert depth(root) == 2", "assert depth(Node(1)) == 1"],
    }
    assert judge(tree, **tests, reference=tree).score == Score.solved()
    assert judge(tree.replace("1 +", "2 +"), **tests, reference=tree).score.value == 0.0


@pytest.mark.parametrize(
    ("inputs", "outputs", "name", "response", "value"),
    [
        (["1 2\n", "4 5\n"], ["3", "9\n"], None, SUM, 1.0),
        (["1 2\n", "4 5\n"], ["3", "8\n"], None, SUM, 0.0),
        ([["1", "2"]], [["1", "2"]], None, "print(input())\nprint(input())", 1.0),
        ([[1, 2], [3, 4]], [3, 7], "add", RIGHT, 1.0),
        ([[1, 2], [3, 4]], [[3], [7]], "add", RIGHT, 1.0),
        (["1\n2", "[3]\n[4]"], ["3", "[3, 4]"], "add", RIGHT, 1.0),
        (["1\n2"], ["4"], "add", RIGHT, 0.0),
    ],
)
def test_two_lists_of_inputs_and_outputs(
    inputs: list[Any], outputs: list[Any], name: str | None, response: str, value: float
) -> None:
    named = {"fn_name": name} if name else {}
    assert judge(response, inputs=inputs, outputs=outputs, **named).score.value == value
    packed = Task("d", (), json.dumps({"inputs": inputs, "outputs": outputs, **named}))
    assert asyncio.run(Code()(as_rollout(response, packed), packed)).value == value


@pytest.mark.parametrize("outputs", [["3"], "3", None])
def test_lists_of_different_lengths_are_no_tests(outputs: Any) -> None:
    with pytest.raises(DataError, match="two lists of one length"):
        read_suite({"inputs": ["1", "2"], "outputs": outputs}, "row 1")


def test_predictions() -> None:
    prediction = {"code": "def f(x):\n    return [x, x]\n", "input": "1", "output": "[1, 1]"}
    of_output = {"entry_point": "f", "prediction": {**prediction, "of": "output"}}
    of_input = {"entry_point": "f", "prediction": {**prediction, "of": "input"}}
    assert judge("[ANSWER][1, 1][/ANSWER]", **of_output).score == Score.solved()
    assert judge("[ANSWER]f(1)[/ANSWER]", **of_output).score.value == 0.0
    assert judge("[ANSWER]True[/ANSWER]", **of_input).score == Score.solved()
    assert judge("[ANSWER]2[/ANSWER]", **of_input).score.reason == "wrong answer"
    assert judge("", **of_output).score.reason == "no answer"
    for no_value in ("...", "f(...)", "[" * 95 + "]" * 95, "f(1, x=[...])", "{...: 1}"):
        assert judge(f"[ANSWER]{no_value}[/ANSWER]", **of_output).score.verdict is Verdict.FAILED
        assert judge(f"[ANSWER]{no_value}[/ANSWER]", **of_input).score.reason == "wrong answer"


def test_the_reference_in_a_fence_is_the_gold_response() -> None:
    code = Code()
    task = Task("d", (), "", suite=read_suite({"tests": ADD, "reference": f'"""\n```\n"""\n{RIGHT}'}, "row"))
    gold = code.gold_response(task)
    assert gold is not None
    assert gold.startswith("````python\n")
    assert asyncio.run(code(as_rollout(gold, task), task)) == Score.solved()
    assert code.gold_response(Task("d", (), json.dumps({"tests": ADD}))) is None


def test_without_a_sandbox_every_result_says_so() -> None:
    code = Code(backend="unsafe")
    assert judge(RIGHT, code, tests=ADD).score == Score.solved(reason="no sandbox")
    assert judge("def add(a, b): return 0", code, tests=ADD).score.reason == "wrong answer (no sandbox)"


def test_a_sandbox_that_fails_leaves_the_response_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.sandbox import ProgramRun, RunStatus

    async def broken(*_: Any, **__: Any) -> ProgramRun:
        return ProgramRun(RunStatus.SANDBOX_FAILURE, None, None, b"", b"", 0.0, 0.0, None, "disk full", "bubblewrap")

    monkeypatch.setattr(Sandbox, "run", broken)
    task = Task("d", (), "", suite=read_suite({"cases": CASES}, "row"))
    score = asyncio.run(score_rollout(Code(), as_rollout(SUM, task), task))
    assert score.verdict is Verdict.NOT_MEASURED
    assert "disk full" in score.reason


def test_a_task_without_tests_stops_the_run() -> None:
    task = Task("d", (), "42")
    with pytest.raises(DataError, match="has no tests"):
        asyncio.run(score_rollout(Code(), as_rollout(RIGHT, task), task))


def test_its_settings_are_plain() -> None:
    code = make_verifier("code", {"score": "share", "seconds": 1})
    assert isinstance(make_verifier("code"), Code)
    assert isinstance(code, Code)
    judge("", code, tests=ADD)
    copy = pickle.loads(pickle.dumps(code))
    assert (copy, hash(copy)) == (code, hash(code))
    assert code != Code()


def test_it_starts_nothing_before_the_first_score_and_ends_with_the_host() -> None:
    async def score() -> tuple[list[int], Score]:
        task = Task("d", (), "", suite=read_suite({"tests": ADD}, "row"))
        code, open_then = Code(num_workers=7), []
        async with Host() as host:
            open_then.append(len(host))
            await code.judge(as_rollout(RIGHT, task), task)
            open_then.append(len(host))
            await close_verifiers([code])
            open_then.append(len(host))
            again = (await code.judge(as_rollout(RIGHT, task), task)).score
            open_then.append(len(host))
        return [*open_then, len(host)], again

    open_then, again = asyncio.run(score())
    assert open_then[0] == open_then[2] == open_then[4] == 0
    assert open_then[1] == open_then[3] > 0
    assert again.value == 1.0


def test_many_responses_at_once_share_few_workers() -> None:
    code = Code(num_workers=1)
    task = Task(
        "d",
        (),
        json.dumps(
            {
                "entry_point": "f",
                "test": "def check(candidate):\n    for x in range(3):\n        assert candidate(x) == x\n",
            }
        ),
    )

    async def all_of_them() -> list[Score]:
        rollouts = [as_rollout(f"def f(x):\n    return x + {n % 2}\n", task) for n in range(12)]
        scores = await asyncio.wait_for(asyncio.gather(*(code(rollout, task) for rollout in rollouts)), 60)
        await close_verifiers([code])
        return scores

    assert [score.value for score in asyncio.run(all_of_them())] == [1.0, 0.0] * 6
