# ruff: noqa: E501
from __future__ import annotations

import json
import time
from fractions import Fraction
from typing import Any

import pytest

from assay.environments.reasoning_gym.exact import is_readable, solves_exactly
from assay.environments.reasoning_gym.numbers import exact_value, is_rounding, number


def entry(answer: str, question: str = "", **metadata: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "metadata": metadata}


COIN = entry("0.0390625", rational={"numerator": 5, "denominator": 128})
RARE = entry("3.051757812e-05", rational={"numerator": 1, "denominator": 2**15})
FORMAT = entry(
    "1234.567",
    candidates=[1234.567, 1234.563, 1230.1],
    formatted_candidates=["1.234567000000000e+03", "1,234.563", "1230.100000"],
    solution=1234.567,
)
SORTED = entry("['-2.5', '1.25', '1.5']", sorted_numbers=["-2.5", "1.25", "1.5"])
POOL = entry("3.33 1.0", matrix=[[5, 4, 1], [1, 3, 1]], pool_size=2, pool_type="average")
COMPLEX = entry("4.0 - 2.0i", num1=(1.0, 1.0), num2=(3.0, -3.0), result=(4, -2), operation="+")
LARGE = entry("", num1=(1e8, 3.0), num2=(1e8, 5.0), result=(10**16, 800000000), operation="*")
ANGLE = entry("41.78°", task_type="angle_measure", angle_ABC_degrees=41.7842)
CENTRE = entry("(0.333, -2.000)", task_type="orthocenter", ortho=("1/3", "-2"))
POWER = entry("1755.34185024", base=41.8968, exponent=2)
DECIMAL = entry(
    "0.6666666667", "Please solve this problem to a maximum of 10 significant digits, rounding up.\n2.0/3.0 = ?"
)
KNIGHTS = entry("Zoey is a knight, and Riley is a knave.")
BOX = entry("", initial_state={"0.5_0.5": ["box_red"], "0.5_1.5": ["target_red"]})
MINUTES = entry(
    "01:30", start_time="2024-05-01 10:00:00", end_time="2024-05-01 11:30:00", expected_format="HH:MM", task_type="time"
)
MILLISECONDS = entry(
    "00:00:01.500",
    start_time="2024-05-01 10:00:00.250000",
    end_time="2024-05-01 10:00:01.750000",
    expected_format="HH:MM:SS.mmm",
)
DAYS = entry("5 days", start_time="2024-05-01 00:00:00", end_time="2024-05-06 00:00:00", expected_format="D days")
DAY = entry("1 days", start_time="2024-02-28 00:00:00", end_time="2024-02-29 00:00:00", expected_format="D days")
BOTH = entry(
    "5 days, 02:30",
    start_time="2024-05-01 00:00:00+02:00",
    end_time="2024-05-06 00:30:20+00:00",
    expected_format="D days, HH:MM",
)
PUZZLE = entry("", numbers=[2, 3, 4], target=24)
JSON = entry('{"a": 1, "b": [true, "2"]}')
FRACTION = entry("$\\frac{3}{4}$", simplified_numerator=3, simplified_denominator=4)

RIGHT = [
    ("coin_flip", COIN, ["0.0390625", "5/128", "10/256", ".03906250", "3.90625e-2"]),
    ("coin_flip", RARE, ["3.051757812e-05", "3.051757813e-05", "0.000030517578125", "1/32768"]),
    ("number_format", FORMAT, ["1234.567", "1,234.567", "1.234567000000000e+03", "1234.567000"]),
    ("number_sorting", SORTED, ["['-2.5', '1.25', '1.5']", "[-2.5, 1.25, 1.5]", '["-2.50", 1.25, "1.500"]']),
    ("word_sorting", entry("a, b", sorted_words=["a", "b"]), ["a, b", "a,b", "a ,  b"]),
    ("gsm_symbolic", entry("120"), ["120", "$120", "120.", "120.00", "+120"]),
    ("gsm_symbolic", entry("1200"), ["1200", "1,200", "$1,200.00"]),
    ("chain_sum", entry("-1234567"), ["-1234567", "-1,234,567", "-1234567.0"]),
    ("pool_matrix", entry("3.25 1.0", **POOL["metadata"]), ["3.25 1.0", "3.25 1", " 3.250  1.00 "]),
    ("complex_arithmetic", COMPLEX, ["4 - 2i", "4.0 - 2.0i", "(4-2j)", "4.00-2.00i"]),
    ("complex_arithmetic", LARGE, ["9999999999999985 + 800000000i"]),
    ("complex_arithmetic", entry("", num1=(1, 0), num2=(0, 1), result=(0, 0), operation="-"), ["1 - i", "1-1i"]),
    ("complex_arithmetic", entry("", num1=(0, 1), num2=(0, 1), result=(0, 0), operation="+"), ["2i", "0+2i", "+2.0i"]),
    ("advanced_geometry", ANGLE, ["41.78°", "41.78", "41.784°", "41.7842"]),
    ("advanced_geometry", CENTRE, ["(0.333, -2.000)", "0.333,-2", "(0.33333, -2.0)"]),
    ("power_function", POWER, ["1.76e+3", "1760", "1755.34185024", "1.76E3"]),
    ("decimal_arithmetic", DECIMAL, ["0.6666666667", "6.666666667e-1"]),
    ("knights_knaves", KNIGHTS, ["Riley is a knave and Zoey is a knight", "zoey is knight, riley is knave"]),
    ("letter_jumble", entry("the tall tree"), ["the tall tree", "The  tall\ntree"]),
    ("spell_backward", entry("ecneics"), ["ecneics", "Ecneics"]),
    ("figlet_font", entry("CATASTROPHE"), ["CATASTROPHE", "c a t a s t r o p h e"]),
    ("game_of_life", entry("[[0,1],[1,0]]"), ["[[0, 1], [1, 0]]", "[[0,1],\n[1,0]]"]),
    ("game_of_life_halting", entry("False"), ["False", "false"]),
    ("codeio", JSON, ['{"b": [true, "2"], "a": 1}', '{"a": 1.0, "b": [true, "2"]}']),
    ("fraction_simplification", FRACTION, ["$\\frac{3}{4}$", "3/4", "\\dfrac{3}{4}", "$3 / 4$"]),
    ("polynomial_equations", entry("-1.5, 2.25"), ["-1.5, 2.25", "2.25,-1.50"]),
    ("time_intervals", MINUTES, ["01:30", "1:30"]),
    ("time_intervals", MILLISECONDS, ["00:00:01.500", "0:00:01.500"]),
    ("time_intervals", DAYS, ["5 days"]),
    ("time_intervals", DAY, ["1 days", "1 day"]),
    ("time_intervals", BOTH, ["5 days, 02:30"]),
    ("kakurasu", entry("0 1\n1 0"), ["0 1\n1 0", "[0, 1]\n[1, 0]"]),
    ("quantum_lock", entry("A → B"), ["A → B", "a b", "A->B", "AB"]),
    ("rubiks_cube", entry(""), ["R U' F2", "Rw X2"]),
    ("sokoban", entry("LLURD"), ["LLURD", "L L U R D"]),
    ("survo", entry("1 2\n3 4"), ["1 2\n3 4"]),
    ("jugs", entry('["fill A"]'), ['["fill A", "pour A->B", "empty B"]']),
    ("cryptarithm", entry("A=1,B=2"), ["A=1,B=2", "A = 1, B = 2"]),
    ("palindrome_partitioning", entry('[["a"]]'), ['[["a"]]']),
    (
        "boxnet",
        BOX,
        ['[{"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}, {"Agent[0.5, 1.5]": "move(box_red, target_red)"}]'],
    ),
    ("countdown", PUZZLE, ["2*3*4", "4*(3*2)"]),
    ("dice", entry("1/6"), ["1/6"]),
    # No check: the scorers of these are exact.
    ("base_conversion", entry("ff"), ["ff", "whatever it has accepted"]),
]
WRONG = [
    ("coin_flip", COIN, ["0", "0.03", "0.039", "0.0391", "0.03906", "0.03906251", "-0.0390625", "5", "0.0390625 or not"]),
    ("coin_flip", RARE, ["0", "0.0", "3e-05", "0.0001", "3.0517e-05", "1/32769", "1/32768/1"]),
    ("number_format", FORMAT, ["1234.563", "1,234.563", "1234.57", "1234.56", "1235", "1,2,3,4.567", "nan"]),
    ("number_sorting", SORTED, ["[-2, 1, 1]", "[-2.5, 1.25, 1.49]", "[-3.5, 0.25, 0.5]", "[-2.5, 1.25]", "[-2.5, true, 1.5]"]),
    ("number_sorting", entry("", sorted_numbers=["1.0"]), ["[true]", "[1.01]", "[null]", '["one"]', "[[1.0]]"]),
    ("word_sorting", entry("a, b", sorted_words=["a", "b"]), ["a, b, c", "a, b, a, b", "b, a", "a", "a, b or not", "a b"]),
    ("gsm_symbolic", entry("120"), ["-120", "120 or 7", "120 7", "12", "1,20", "120%", "120 + 1", "120/2", "7 120"]),
    ("chain_sum", entry("-1234567"), ["1234567", "-1,2,3,4,5,6,7", "-12,34,567", "-1234567,", ",-1234567", "-1234567.5"]),
    ("products", entry("12"), ["1,2", "1 2", "12,", "0012,0", "-12"]),
    ("products", entry("125"), ["0,125", "00,125", "000,125", "1,25"]),
    ("pool_matrix", POOL, ["3.22 1.0", "3.3 1.0", "3.25 1.01", "3.25\n1.0", "3.25 1.0 # or not", "3.2475 1.0"]),
    ("complex_arithmetic", COMPLEX, ["nan", "NaN", "inf", "4 + 2i", "4", "-2i", "4-2i+0", "4.0000000000000001 - 2i", "42i"]),
    ("complex_arithmetic", LARGE, ["10000000000000000 + 800000000i", "9999999999999984 + 800000000i"]),
    ("advanced_geometry", ANGLE, ["41.77°", "41.783", "41.8", "42", "-41.78", "41.78°°", "41.785"]),
    ("advanced_geometry", CENTRE, ["(0.333, -2.000, 7)", "(0.33, -2)", "(0.333, 2)", "(0.333, -2.000", "(0.3334, -2)", "(1/3, -2)"]),
    ("power_function", POWER, ["1.75e+3", "1.759e3", "1.762e3", "-1.76e3", "1.8e3", "1755", "17600"]),
    ("decimal_arithmetic", DECIMAL, ["0.6666666666", "0.667", "0.6666666668", "0.66666666", "0.666666666667", "2/3"]),
    ("knights_knaves", KNIGHTS, ["Zoey is a knight, and Riley is a knave, or the other way", "Zoey is a knight", "It is not so that Zoey is a knight, and Riley is a knave", "Zoey is a knight, and Riley is a knave, and Zoey is a knave"]),
    ("letter_jumble", entry("the tall tree"), ["the tall tree and more", "the tall", "the tall trees", "tall the tree"]),
    ("spell_backward", entry("yllaciteroeht"), ["yllaciterooht", "yllaciteroehts", "yllaciteroeht or not", "yllaciteroeh"]),
    ("figlet_font", entry("CATASTROPHE"), ["CATASTROPH", "CATASTROPHES", "CATASTROPHE OR NOT", "CATASTROPXE"]),
    ("game_of_life", entry("[[0,1],[1,0]]"), ["[[0,1,1],[1,0]]", "[[0,1],[1,0],[7]]", "[[false,true],[true,false]]", '[["0","1"],["1","0"]]', "[[0,1],[1,1]]"]),
    ("game_of_life_halting", entry("False"), ["True", "F", "anything", "False or True", "0"]),
    ("codeio", JSON, ['{"a": true, "b": [true, "2"]}', '{"a": "1", "b": [true, "2"]}', '{"a": 1, "b": [1, 2]}', '{"a": 2, "a": 1, "b": [true, "2"]}', '{"a": 1}']),
    ("codeio", entry('{"x": 0.123456789012345}'), ['{"x": 0.123456789012346}', '{"x": -0.123456789012345}']),
    ("fraction_simplification", FRACTION, ["\\frac{3}{4} + 1", "\\frac{3}{4} or not", "6/8", "$3/4", "-3/4", "3/4/1", "0.75"]),
    ("polynomial_equations", entry("-1.5, 2.25"), ["-1.5, 2.25, or not", "2.25", "1.5, 2.25", "-1.5, 2.26", "-1.5, 2.25, 2.25", "nan"]),
    ("time_intervals", MINUTES, ["01:30:00", "1.5", "90", "-01:30", "00:90", "01:30 or not", "01:30:99:99"]),
    ("time_intervals", MILLISECONDS, ["00:00:01.5", "00:00:01.501", "00:00:01", "00:00:01.50", "00:00:01.500:7"]),
    ("time_intervals", DAYS, ["5", "5 day", "5 weeks", "5 hours", "5 7", "-5 days", "5 days, 00:00", "5.5 days"]),
    ("time_intervals", BOTH, ["5 days, 02:30, or not", "5 days", "02:30", "5 days, 02:31", "6 days, 02:30", "5 days, 150"]),
    # Past midnight the family's difference is negative: its gold answer is nobody's.
    ("time_intervals", entry("-24:20", start_time="2024-05-01 23:50:00", end_time="2024-05-01 00:10:00", expected_format="HH:MM"), ["-24:20", "00:20"]),
    ("kakurasu", entry("0 1\n1 0"), ["0 1\n1 0 7", "0 1 (2)\n1 0", "0 2 1\n1 0"]),
    ("quantum_lock", entry("A → B"), ["A, then B", "press A → B", "A → B 7", "A → B or not", "because"]),
    ("rubiks_cube", entry(""), ["R U' please", "R 7", "R U' 2F2", "R2000", "R U' F2 or not"]),
    ("sokoban", entry("LLURD"), ["LLURD or not", "The answer is LLURD", "LLURD7", "llurd"]),
    ("survo", entry("1 2\n3 4"), ["1 2\n3 4 or not", "1 2 | 3\n3 4", "1 x 2\n3 4"]),
    ("jugs", entry('["fill A"]'), ['{"fill A": 1}', '["fill A and drink"]', '"fill A"', '["fill A", 7]', '["drink A"]']),
    ("cryptarithm", entry("A=1,B=2"), ["A=7,A=1,B=2", "A=1,B=2,B=2", "A=1,B=22", "A=1,B=2,"]),
    ("palindrome_partitioning", entry('[["a"]]'), ['["a"]', '"a"', '{"a": 1}']),
    ("boxnet", BOX, [
        "[]",
        '[{"Agent[0.5, 1.5]": "move(box_red, target_red)"}]',
        '[{"Agent[0.5, 0.5]": "move(box_red, target_red)"}, {"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}, {"Agent[0.5, 1.5]": "move(box_red, target_red)"}]',
        '[{"Agent[0.5, 0.5]": "move(box_red, square[0.5, -1.5])"}, {"Agent[0.5, 1.5]": "move(box_red, target_red)"}]',
        '[{"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}, {"Agent[0.5, 1.5]": "move(box_red, target_red) or not"}]',
        '[{"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}, {"robot 0.5 1.5": "move(box_red, target_red)"}]',
        "7",
    ]),
    ("countdown", PUZZLE, ["24", "2*3*4*1", "x-x+24", "4*3*2.0", "2**3*4"]),
    ("dice", entry("11/36"), ["1\n1/36", "12/36", "11/36 or not"]),
]  # fmt: skip


@pytest.mark.parametrize(("family", "data", "responses"), RIGHT)
def test_right_answers(family: str, data: dict[str, Any], responses: list[str]) -> None:
    assert [response for response in responses if not solves_exactly(family, data, response)] == []


@pytest.mark.parametrize(("family", "data", "responses"), WRONG)
def test_wrong_answers(family: str, data: dict[str, Any], responses: list[str]) -> None:
    assert [response for response in responses if solves_exactly(family, data, response)] == []


@pytest.mark.parametrize("family", sorted({family for family, *_ in WRONG}))
@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "\x00",
        "\ud800",
        "[" * 5000,
        "9" * 5000,
        "1e999999999",
        "(" * 5000 + ")" * 5000,
        "0." + "9" * 5000,
        "{}" * 999,
        "1," * 3000,
        "+-" * 3000,
        "A=" * 3000,
        "\u0663",
        "i" * 5000,
        "1e" * 3000,
        "x\n" + "\n" * 5000 + "R",
        "[[" + "0," * 3000,
        '["1e999999999", 1e999999999]',
    ],
)
def test_hostile_text_is_answered_at_once(family: str, hostile: str) -> None:
    data = next(data for name, data, _ in WRONG if name == family)
    began = time.process_time()
    # What the check alone would let through is no solution to the family's own scorer.
    assert not solves_exactly(family, data, hostile) or family in ("kakurasu", "survo", "rubiks_cube")
    assert time.process_time() - began < 1.0


def test_moves_that_are_repeated_without_end_are_not_read() -> None:
    assert is_readable("rubiks_cube", "R U2 F'")
    assert not is_readable("rubiks_cube", "R99999999999")
    assert not is_readable("rush_hour", "A+1000000000")
    assert is_readable("chain_sum", "99999999999")


@pytest.mark.parametrize(
    ("text", "value"),
    [("4*6 + 1/2", Fraction(49, 2)), (" -(3 - 5)*+7\n", 14), ("8/(3 - 8/3)", 24), ("7", 7)],
)
def test_arithmetic_is_exact(text: str, value: Fraction) -> None:
    assert exact_value(text) == value


@pytest.mark.parametrize(
    "text",
    ["x - x + 24", "2**3", "49//2", "4.0*6", "4(6)", "", "1/0", "24, 1", "(" * 9000, "-" * 9000 + "1", "\u0662\u0664"],
)
def test_what_is_no_arithmetic(text: str) -> None:
    assert exact_value(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-.5", Fraction(-1, 2)),
        ("1,234.5", Fraction(2469, 2)),
        ("1.2e3", 1200),
        ("-1,234,567", -1234567),
        ("12,34", None),
        ("1,2", None),
        ("0,125", None),
        ("-0,125", None),
        ("012,345", None),
        ("000,125.5", None),
        ("1_000", None),
        ("1/2", None),
        ("nan", None),
        ("0x10", None),
        ("", None),
        ("1e9999", None),
        ("7" * 401, None),
    ],
)
def test_numbers(text: str, value: Fraction | None) -> None:
    assert number(text) == value


def test_roundings() -> None:
    exact, step = Fraction(2, 3), Fraction(1, 100)
    assert [
        text for text in ("0.67", "0.66", "0.667", "0.7", "0.670", "2/3", "0.68") if is_rounding(text, exact, step)
    ] == [
        "0.67",
        "0.670",
    ]
    assert is_rounding("0.667", exact, step, finer=True)
    assert not is_rounding("0.666", exact, step, finer=True)
    # A tie goes either way.
    assert is_rounding("0.12", Fraction(1, 8), step)
    assert is_rounding("0.13", Fraction(1, 8), step)


def test_json_is_the_same_by_value_not_by_python() -> None:
    data = entry(json.dumps({"done": False, "n": 0}))
    assert solves_exactly("codeio", data, '{"n": 0, "done": false}')
    assert not solves_exactly("codeio", data, '{"n": false, "done": 0}')
