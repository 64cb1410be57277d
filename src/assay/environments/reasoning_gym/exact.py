"""Exact checks of answers to reasoning-gym, for the families whose own scorer also gives 1.0 to wrong answers.

The library's scorers allow for small errors of form, and some of them for other answers too: by tolerances, caps, sums
of floats, a number found somewhere in the text, or what they leave unread. A response is solved where both the family's
own scorer and the check here say so. What is read here is hostile text: the patterns are linear, numbers are bounded.

Each check takes an entry of the library (question, answer, metadata) and a response without white space around it.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from assay.environments.reasoning_gym.numbers import (
    MAX_NUMBER,
    arithmetic,
    exact_value,
    is_rounding,
    last_digit,
    number,
)

Entry = Mapping[str, Any]
Check = Callable[[Entry, str], bool]

NOT_EXACTLY_SCORED = {
    "propositional_logic": (
        "any conclusion that follows is paid, and the premises joined by ∧ always follow: a copy of the prompt solves "
        "every task"
    ),
}
"""Families whose tasks no check can make exact, with the reason: nothing is solved in them."""

_UNSIGNED = r"(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?"
_COMPLEX = re.compile(rf"(?P<real>[+-]?{_UNSIGNED}(?![\d.ei]))?(?:(?P<imaginary>[+-]?(?:{_UNSIGNED})?)i)?", re.ASCII)


def solves_exactly(family: str, entry: Entry, response: str) -> bool:
    """Return True where a response to which the family's own scorer gives 1.0 is right, and always where that scorer is
    exact."""
    check = _CHECKS.get(family)
    try:
        return check is None or check(entry, response.strip())
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError):
        # What the check could not read, such as JSON of another shape or depth.
        return False


def is_checked(family: str) -> bool:
    """Return True where there is a check here beside the family's own scorer."""
    return family in _CHECKS


def is_readable(family: str, response: str) -> bool:
    """Return True where it is safe to ask the family's scorer: two of them repeat a move as often as the response
    says."""
    return family not in ("rubiks_cube", "rush_hour") or re.search(r"\d{3}", response) is None


def _json(text: str) -> Any:
    """JSON with exact numbers, each object as the list of its pairs in order of their names: an object that names one
    thing twice is not the one that names it once."""
    return json.loads(text, parse_float=_bounded, parse_int=_bounded, object_pairs_hook=_pairs)


def _bounded(text: str) -> Fraction:
    value = number(text)
    if value is None:
        raise ValueError("a number too long to read")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
    return "object", sorted(pairs, key=operator.itemgetter(0))


def _same_json(left: Any, right: Any) -> bool:
    """Equal, where true is not 1 and "1" is not 1."""
    if isinstance(left, list | tuple) and type(left) is type(right):
        return len(left) == len(right) and all(_same_json(*pair) for pair in zip(left, right, strict=True))
    return type(left) is type(right) and left == right


def _gold(entry: Entry) -> str:
    return str(entry["answer"]).strip()


def _words(text: str) -> list[str]:
    return text.lower().split()


def _same_text(entry: Entry, response: str) -> bool:
    """Case and white space aside."""
    return _words(response) == _words(_gold(entry))


def _same_letters(entry: Entry, response: str) -> bool:
    """Case and blanks aside: for words that are shown with their letters apart."""
    return "".join(_words(response)) == "".join(_words(_gold(entry)))


def _same_number(entry: Entry, response: str) -> bool:
    """The number: chain_sum and products read over all commas, so that a list of digits is the number they make."""
    return number(response) == number(_gold(entry)) is not None


def _same_value_in_json(entry: Entry, response: str) -> bool:
    return _same_json(_json(response), _json(_gold(entry)))


def _same_numbers(entry: Entry, response: str) -> bool:
    """Numbers with commas between them, in any order, and nothing else: polynomial_equations reads over what is no
    number."""
    found, wanted = ([number(part) for part in text.split(",")] for text in (response, _gold(entry)))
    return None not in found and Counter(found) == Counter(wanted)


def _uses_its_numbers(entry: Entry, response: str) -> bool:
    """Arithmetic with the task's own numbers, each once, and exactly its result.

    The scorers of both families give a free symbol full marks where it cancels, and take what sympy can parse, powers
    included; puzzle24's cuts off what follows the point, and takes any four numbers.
    """
    numbers, target = entry["metadata"]["numbers"], entry["metadata"].get("target", 24)
    return sorted(map(int, re.findall(r"[0-9]+", response))) == sorted(numbers) and exact_value(response) == target


def _advanced_geometry(entry: Entry, response: str) -> bool:
    """Angles to two places or more, coordinates to three or more; radii are compared as texts by the family itself."""
    metadata = entry["metadata"]
    if metadata["task_type"] == "angle_measure":
        return is_rounding(
            response.removesuffix("°"), Fraction(metadata["angle_ABC_degrees"]), Fraction(1, 100), finer=True
        )
    if metadata["task_type"] != "orthocenter":
        return response == _gold(entry)
    if response.startswith("(") != response.endswith(")"):
        return False
    inside = response.removeprefix("(").removesuffix(")").split(",")
    return len(inside) == 2 and all(
        is_rounding(text.strip(), Fraction(exact), Fraction(1, 1000), finer=True)
        for text, exact in zip(inside, metadata["ortho"], strict=True)
    )


def _boxnet(entry: Entry, response: str) -> bool:
    """Every action of the plan can be done, and no box is left: the family skips what cannot be, so that one plan that
    tries everything everywhere would solve every task."""
    state = {place: list(items) for place, items in entry["metadata"]["initial_state"].items()}
    for step in json.loads(response):
        acted: set[str] = set()
        for agent, action in step.items():
            found = re.fullmatch(r"Agent\[(\d+\.\d), ?(\d+\.\d)\]", agent, re.ASCII)
            done = re.fullmatch(
                r"move\(box_(\w+), ?(?:target_(\w+)|square\[(\d+\.\d), ?(\d+\.\d)\])\)", action, re.ASCII
            )
            if found is None or done is None:
                return False
            place = "_".join(found.groups())
            colour, target, *square = done.groups()
            if place in acted:
                return False
            acted.add(place)
            state[place].remove(f"box_{colour}")
            if target is not None:
                if target != colour:
                    return False
                state[place].remove(f"target_{target}")
                continue
            if (
                sum(abs(Fraction(here) - Fraction(there)) for here, there in zip(found.groups(), square, strict=True))
                != 1
            ):
                return False
            state["_".join(square)].append(f"box_{colour}")
    return not any(item.startswith("box_") for items in state.values() for item in items)


def _coin_flip(entry: Entry, response: str) -> bool:
    """The probability itself, as a fraction or a number, or rounded to ten digits or more as the gold answer is."""
    rational = entry["metadata"]["rational"]
    exact = Fraction(rational["numerator"], rational["denominator"])
    if re.fullmatch(r"\d{1,20}/\d{1,20}", response, re.ASCII):
        return Fraction(response) == exact
    return is_rounding(response, exact, last_digit(exact, 10), finer=True)


def _complex_arithmetic(entry: Entry, response: str) -> bool:
    """Both parts exactly. The family's distance is that of floats, and NaN is nearest to everything."""
    metadata = entry["metadata"]
    (a, b), (c, d) = ([int(part) for part in metadata[name]] for name in ("num1", "num2"))
    exact = {
        "+": (a + c, b + d),
        "-": (a - c, b - d),
        "*": (a * c - b * d, a * d + b * c),
        # The quotient came first.
        "/": tuple(metadata["result"]),
    }[metadata["operation"]]
    return _complex(response) == exact


def _complex(text: str) -> tuple[Fraction, Fraction] | None:
    if len(text) > MAX_NUMBER:
        return None
    text = text.replace(" ", "").lower().replace("j", "i")
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    found = _COMPLEX.fullmatch(text)
    if found is None or not text:
        return None
    real, imaginary = found["real"], found["imaginary"]
    if real and imaginary is not None and imaginary[:1] not in ("+", "-"):
        return None
    if imaginary in ("", "+", "-"):
        imaginary += "1"
    return Fraction(Decimal(real or 0)), Fraction(Decimal(imaginary or 0))


def _cryptarithm(entry: Entry, response: str) -> bool:
    """Each letter once: of two digits for a letter the family takes the last."""
    pairs = [part.strip() for part in response.split(",")]
    letters = {pair[0] for pair in pairs if re.fullmatch(r"[A-Z]\s*=\s*\d", pair, re.ASCII)}
    return len(letters) == len(pairs)


def _decimal_arithmetic(entry: Entry, response: str) -> bool:
    """The value of the expression, rounded once: the gold answer is rounded after every operation."""
    question = str(entry["question"])
    exact = arithmetic(question.splitlines()[-1].removesuffix("= ?"))
    digits = re.search(r"maximum of (\d+) significant", question)
    assert exact is not None
    assert digits is not None
    return is_rounding(response, exact, last_digit(exact, int(digits[1])))


def _fraction_simplification(entry: Entry, response: str) -> bool:
    metadata = entry["metadata"]
    if response.startswith("$") != response.endswith("$"):
        return False
    text = response.removeprefix("$").removesuffix("$").strip()
    found = re.fullmatch(r"\\d?frac\s*{\s*(\d+)\s*}\s*{\s*(\d+)\s*}", text, re.ASCII | re.IGNORECASE) or re.fullmatch(
        r"(\d+)\s*/\s*(\d+)", text, re.ASCII
    )
    wanted = metadata["simplified_numerator"], metadata["simplified_denominator"]
    return found is not None and tuple(map(int, found.groups())) == wanted


def _gsm_symbolic(entry: Entry, response: str) -> bool:
    """One number and nothing beside it but a currency sign: the family takes the first in the text, less its sign."""
    return _same_number(entry, response.removeprefix("$").removesuffix("."))


def _jugs(entry: Entry, response: str) -> bool:
    moves = json.loads(response)
    return isinstance(moves, list) and all(
        re.fullmatch(r"(?:fill|empty) [A-Z]|pour [A-Z] ?-> ?[A-Z]", move) for move in moves
    )


def _kakurasu(entry: Entry, response: str) -> bool:
    """Ones and noughts only: the family skips every other character, digits included."""
    return re.fullmatch(r"[01\s,\[\]]+", response) is not None


def _knights_knaves(entry: Entry, response: str) -> bool:
    """Each name once, with its role, and no other word: the family reads over words that no role follows."""
    found, wanted = (_roles(text) for text in (response, _gold(entry)))
    return found == wanted


def _roles(text: str) -> list[tuple[str, str]]:
    words = [word for word in re.sub(r"[.,()]", " ", text.lower()).split() if word not in ("is", "a", "an", "and")]
    return sorted(zip(words[::2], words[1::2], strict=True))


def _number_format(entry: Entry, response: str) -> bool:
    """The number, as it is or as the prompt writes it."""
    metadata = entry["metadata"]
    shown = [
        number(text)
        for value, text in zip(metadata["candidates"], metadata["formatted_candidates"], strict=True)
        if value == metadata["solution"]
    ]
    return number(response) in [number(str(metadata["solution"])), *shown] and number(response) is not None


def _number_sorting(entry: Entry, response: str) -> bool:
    """The task's own numbers, in order: the family allows an error of 1 in each."""
    found = json.loads(response.replace("'", '"'), parse_float=str, parse_int=str)
    values = [number(text) for text in found] if isinstance(found, list) else [None]
    return None not in values and values == [number(text) for text in entry["metadata"]["sorted_numbers"]]


def _palindrome_partitioning(entry: Entry, response: str) -> bool:
    return all(isinstance(part, list) for part in json.loads(response))


def _pool_matrix(entry: Entry, response: str) -> bool:
    """Each element exactly or to two places: the family allows 1 % in each."""
    metadata = entry["metadata"]
    size, matrix = metadata["pool_size"], metadata["matrix"]
    rows = [line.split() for line in response.splitlines() if line.strip()]
    wanted = [
        [
            _pooled([cell for row in matrix[i : i + size] for cell in row[j : j + size]], metadata["pool_type"])
            for j in range(0, len(matrix[0]), size)
        ]
        for i in range(0, len(matrix), size)
    ]
    return [len(row) for row in rows] == [len(row) for row in wanted] and all(
        is_rounding(text, exact, Fraction(1, 100))
        for row, exacts in zip(rows, wanted, strict=True)
        for text, exact in zip(row, exacts, strict=True)
    )


def _pooled(cells: list[int], kind: str) -> Fraction:
    return Fraction(max(cells)) if kind == "max" else Fraction(sum(cells), len(cells))


def _power_function(entry: Entry, response: str) -> bool:
    """The power to three digits, as is asked for, or exactly, or the gold answer with the digits of a float: the family
    rounds the response first."""
    metadata = entry["metadata"]
    exact = Fraction(str(metadata["base"])) ** metadata["exponent"]
    return is_rounding(response, exact, last_digit(exact, 3)) or _same_number(entry, response)


def _quantum_lock(entry: Entry, response: str) -> bool:
    """Buttons only: the family takes every a, b and c of a text for one."""
    return re.fullmatch(r"[ABCabc](?:(?:\s|,|→|->)*[ABCabc])*", response) is not None


def _rubiks_cube(entry: Entry, response: str) -> bool:
    """Moves only: the family drops what it cannot read."""
    return all(re.fullmatch(r"(?:[LRDUBF]w?|[XYZMES])'?\d{0,2}", move, re.ASCII) for move in response.split())


def _rush_hour(entry: Entry, response: str) -> bool:
    """Every move can be made, until the red car is out: the family stops cars where they cannot go on."""
    from reasoning_gym.games.rush_hour import Board

    board = Board(entry["metadata"]["board_config"])
    pieces = vars(board)["_pieces"]
    moves = [re.fullmatch(r"([A-Z])([+-])(\d{1,2})", move, re.ASCII) for move in response.replace(",", " ").split()]
    steps = [(move[1], int(f"{move[2]}1")) for move in moves if move is not None for _ in range(int(move[3]))]
    for car, step in steps if None not in moves else ():
        piece = pieces[ord(car) - ord("A")]
        before = piece.position
        board.move(car, step)
        if board.solved:
            return True
        if piece.position == before:
            return False
    return False


def _sokoban(entry: Entry, response: str) -> bool:
    """Moves only: the family takes the capitals of a text for some."""
    return re.fullmatch(r"[LRUD\s,]+", response) is not None


def _survo(entry: Entry, response: str) -> bool:
    """Numbers only: the family reads over everything else."""
    return re.fullmatch(r"[\d\s]+", response, re.ASCII) is not None


def _time_intervals(entry: Entry, response: str) -> bool:
    """The duration in the form that was asked for.

    The family takes the first number of "5 weeks" for days, reads ".5" as 5 milliseconds, and leaves unread what
    follows a time. Its gold answers lose a millisecond here and there, and are negative past midnight.
    """
    metadata = entry["metadata"]
    start, end = (datetime.fromisoformat(metadata[name]) for name in ("start_time", "end_time"))
    exact, form = end - start, metadata["expected_format"]
    if exact < timedelta(0):
        return False
    days = r"(\d{1,9}) days" if form.startswith("D") else r"()"
    seconds = r":([0-5]\d)\.(\d{3})" if form.endswith(".mmm") else r":([0-5]\d)()" if form.endswith("SS") else r"()()"
    clock = rf"(\d{{1,9}}):([0-5]\d){seconds}" if ":" in form else r"()()()()"
    between = ", " if days != "()" and ":" in form else ""
    found = re.fullmatch(days + between + clock, re.sub(r"^1 day\b", "1 days", response), re.ASCII)
    if found is None:
        return False
    numbers = [int(part or 0) for part in found.groups()]
    value = timedelta(
        days=numbers[0], hours=numbers[1], minutes=numbers[2], seconds=numbers[3], milliseconds=numbers[4]
    )
    unit = timedelta(milliseconds=1) if form.endswith(("SS", "mmm")) else timedelta(minutes=1)
    return value == exact - exact % (unit if ":" in form else timedelta(days=1))


def _word_sorting(entry: Entry, response: str) -> bool:
    """All the words and no others: the family counts those in their place, whatever follows them."""
    return [word.strip() for word in response.split(",")] == entry["metadata"]["sorted_words"]


_CHECKS: dict[str, Check] = {
    "advanced_geometry": _advanced_geometry,
    "boxnet": _boxnet,
    "chain_sum": _same_number,
    "codeio": _same_value_in_json,
    "coin_flip": _coin_flip,
    "complex_arithmetic": _complex_arithmetic,
    "countdown": _uses_its_numbers,
    "cryptarithm": _cryptarithm,
    "decimal_arithmetic": _decimal_arithmetic,
    "dice": _same_text,
    "figlet_font": _same_letters,
    "fraction_simplification": _fraction_simplification,
    "game_of_life": _same_value_in_json,
    "game_of_life_halting": _same_text,
    "gsm_symbolic": _gsm_symbolic,
    "jugs": _jugs,
    "kakurasu": _kakurasu,
    "knights_knaves": _knights_knaves,
    "letter_jumble": _same_text,
    "number_format": _number_format,
    "number_sorting": _number_sorting,
    "palindrome_partitioning": _palindrome_partitioning,
    "polynomial_equations": _same_numbers,
    "pool_matrix": _pool_matrix,
    "power_function": _power_function,
    "products": _same_number,
    "puzzle24": _uses_its_numbers,
    "quantum_lock": _quantum_lock,
    "rubiks_cube": _rubiks_cube,
    "rush_hour": _rush_hour,
    "sokoban": _sokoban,
    "spell_backward": _same_text,
    "survo": _survo,
    "time_intervals": _time_intervals,
    "word_sorting": _word_sorting,
    "zebra_puzzles": _same_text,
}
