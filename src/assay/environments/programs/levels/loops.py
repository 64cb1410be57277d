"""Level 4: loops with accumulators."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, lines, parameters
from assay.environments.programs.phrases import maybe_map, number_map, number_test
from assay.environments.programs.value_kinds import NUMBERS, TEXT, Integer


def make(rng: Random) -> Function:
    return rng.choice(
        (_range_total, _range_total, _digits, _rounds, _until, _list_total, _list_stop, _characters, _run)
    )(rng)


def _range_total(rng: Random) -> Function:
    """Over the integers from a start to n."""
    start, step = rng.randint(0, 3), rng.choice((1, 1, 1, 2, 3))
    test, formula = number_test(rng, "i"), maybe_map(rng, "i")
    span = (
        f"the integers i from {start} to n (both included)"
        if step == 1
        else (
            f"the integers {start}, {start + step}, {start + 2 * step} and so on, up to and including n "
            "where it is hit, each called i"
        )
    )
    loop = f"for i in range({start}, n + 1):" if step == 1 else f"for i in range({start}, n + 1, {step}):"
    kind = rng.choice(("sum", "sum", "either", "count_sum", "last"))
    if kind == "sum":
        words = f"returns the sum of `{formula}` over {span} for which i {test.words}; 0 if there are none."
        inner, first, result = [f"    if {test.code}:", f"        total += {formula}"], ["total = 0"], "total"
    elif kind == "either":
        other = maybe_map(rng, "i")
        words = (
            f"goes through {span}, with a total that begins at 0. It adds `{formula}` to the total if i "
            f"{test.words}, and subtracts `{other}` from it otherwise. It returns the total."
        )
        inner = [f"    if {test.code}:", f"        total += {formula}", "    else:", f"        total -= {other}"]
        first, result = ["total = 0"], "total"
    elif kind == "count_sum":
        k = rng.randint(2, 9)
        words = (
            f"goes through {span}. It counts those for which i {test.words}, and sums `{formula}` over "
            f"all. It returns the sum plus {k} times the count."
        )
        inner = [f"    if {test.code}:", "        count += 1", f"    total += {formula}"]
        first, result = ["count = 0", "total = 0"], f"total + {k} * count"
    else:
        k, m = rng.randint(2, 5), rng.randint(7, 40)
        words = (
            f"begins with the value {k} and goes through {span}. Each time, the value becomes `(value * "
            f"{k} + {formula}) % {m}` if i {test.words}, and `value + 1` otherwise. It returns the last "
            "value."
        )
        inner = [
            f"    if {test.code}:",
            f"        value = (value * {k} + {formula}) % {m}",
            "    else:",
            "        value += 1",
        ]
        first, result = [f"value = {k}"], "value"
    return Function(
        name=rng.choice(("total_up_to", "accumulate", "count_up", "sum_range")),
        parameters=parameters(n=Integer(0, 30)),
        returns="int",
        description=words,
        body=lines(*first, loop, *inner, f"return {result}"),
    )


def _digits(rng: Random) -> Function:
    """Over the decimal digits."""
    formula, (test_words, test_code) = maybe_map(rng, "digit"), _digit_test(rng)
    kind = rng.choice(("sum", "product", "largest", "alternate", "rebuild"))
    first, result, update = "total = 0", "total", [f"    if {test_code}:", f"        total += {formula}"]
    k, d = rng.randint(1, 9), rng.randint(1, 3)
    if kind == "sum":
        words = (
            f"returns the sum of `{formula}` over the decimal digits of n for which digit {test_words}; 0 "
            "if there are none."
        )
    elif kind == "product":
        words = (
            f"returns the product of `digit + {k}` over the decimal digits of n for which digit "
            f"{test_words}; 1 if there are none."
        )
        first, update = "total = 1", [f"    if {test_code}:", f"        total *= digit + {k}"]
    elif kind == "largest":
        words = (
            f"returns the largest value of `{formula}` over the decimal digits of n for which digit "
            f"{test_words}, and -1 if there are none or all these values are less than -1."
        )
        first, update = "total = -1", [f"    if {test_code} and {formula} > total:", f"        total = {formula}"]
    elif kind == "alternate":
        words = (
            "goes through the decimal digits of n (each called digit) from the last (the ones) to the "
            f"first. It adds `{formula}` for the first of these, subtracts `{formula}` for the next, adds "
            f"for the next, and so on, and returns the total plus {k}."
        )
        first, result = "total, sign = 0, 1", f"total + {k}"
        update = [f"    total += sign * ({formula})", "    sign = -sign"]
    else:
        words = (
            "goes through the decimal digits of n (each called digit) from the last (the ones) to the "
            f"first and writes those for which digit {test_words} one after the other, so that they form "
            f"a new number. It returns that number plus {d}, where no digits form 0."
        )
        update, result = [f"    if {test_code}:", "        total = 10 * total + digit"], f"total + {d}"
    words += " The integer 0 has no digits here."
    return Function(
        name=rng.choice(("digit_total", "digits", "from_digits", "digit_score")),
        parameters=parameters(n=Integer(0, 99999)),
        returns="int",
        description=words.replace("over the decimal digits of n", "over the decimal digits of n (each called digit)"),
        body=lines(first, "while n > 0:", "    digit = n % 10", *update, "    n //= 10", f"return {result}"),
    )


def _digit_test(rng: Random) -> tuple[str, str]:
    k = rng.randint(2, 8)
    return rng.choice(
        (
            ("is even", "digit % 2 == 0"),
            ("is odd", "digit % 2 == 1"),
            (f"is greater than {k}", f"digit > {k}"),
            (f"is less than {k}", f"digit < {k}"),
            (f"is not {k}", f"digit != {k}"),
            ("is divisible by 3", "digit % 3 == 0"),
        )
    )


def _rounds(rng: Random) -> Function:
    """A value changed n times."""
    test = number_test(rng, "value", compound=0)
    yes, no = number_map(rng, "value", square=False), number_map(rng, "value", square=False)
    while no == yes:
        no = number_map(rng, "value", square=False)
    collect = rng.random() < 0.4
    ending = "It returns the sum of all values, without the first." if collect else "It returns the last value."
    return Function(
        name=rng.choice(("repeat", "iterate", "evolve", "simulate")),
        parameters=parameters(start=Integer(-20, 50), n=Integer(0, 10)),
        returns="int",
        description=(
            f"begins with the value start and does this n times: if value {test.words}, it becomes `{yes}`, otherwise "
            f"`{no}`. {ending}"
        ),
        body=lines(
            "value = start",
            "total = 0" if collect else None,
            "for _ in range(n):",
            f"    if {test.code}:",
            f"        value = {yes}",
            "    else:",
            f"        value = {no}",
            "    total += value" if collect else None,
            "return total" if collect else "return value",
        ),
    )


def _until(rng: Random) -> Function:
    """A number that shrinks until it is small; the steps are counted or weighed."""
    limit, less, divisor = rng.randint(0, 9), rng.randint(1, 7), rng.randint(2, 4)
    weight, modulus = rng.randint(2, 6), rng.randint(2, 4)
    remainder = rng.randrange(modulus)
    formula = rng.choice(("1", str(weight), "n", f"n % {weight + 3}"))
    words = (
        f"repeats the following while n is greater than {limit + divisor}, with a total that begins at 0: "
        f"if n has remainder {remainder} modulo {modulus}, it adds {weight} to the total and n becomes `n "
        f"// {divisor}`; otherwise it adds `{formula}` to the total and n becomes `n - {less}`. It "
        "returns {result}."
    )
    result = rng.choice(("total", "total + n", "total - n"))
    return Function(
        name=rng.choice(("shrink", "countdown", "reduce_number", "steps_down")),
        parameters=parameters(n=Integer(0, 200)),
        returns="int",
        description=words.replace("{result}", "the total" if result == "total" else f"`{result}`"),
        body=lines(
            "total = 0",
            f"while n > {limit + divisor}:",
            f"    if n % {modulus} == {remainder}:",
            f"        total += {weight}",
            f"        n = n // {divisor}",
            "    else:",
            f"        total += {formula}",
            f"        n = n - {less}",
            f"return {result}",
        ),
    )


def _list_total(rng: Random) -> Function:
    """Two conditions, two updates."""
    first, second = number_test(rng), number_test(rng, compound=0)
    add, other = maybe_map(rng), maybe_map(rng)
    start = rng.choice((0, 0, 10, 100))
    sign = rng.choice(("+", "-"))
    verb = "adds" if sign == "+" else "subtracts"
    return Function(
        name=rng.choice(("score", "balance", "tally", "settle")),
        parameters=parameters(numbers=NUMBERS),
        returns="int",
        description=(
            f"goes through `numbers`, with a total that begins at {start}. If a number x "
            f"{first.words}, it adds `{add}` to "
            f"the total; otherwise, if x {second.words}, it {verb} `{other}` "
            f"{'to' if sign == '+' else 'from'} the total. "
            "It returns the total."
        ),
        body=lines(
            f"total = {start}",
            "for x in numbers:",
            f"    if {first.code}:",
            f"        total += {add}",
            f"    elif {second.code}:",
            f"        total {sign}= {other}",
            "return total",
        ),
    )


def _list_stop(rng: Random) -> Function:
    """A loop that ends early."""
    formula, limit, test = maybe_map(rng, square=False), rng.randint(5, 40), number_test(rng, compound=0)
    by_total = rng.random() < 0.5
    counted = rng.random() < 0.5
    stop = f"if the total is greater than {limit}" if by_total else f"if x {test.words}"
    stop_code = f"total > {limit}" if by_total else test.code
    when = rng.choice(("before", "after"))
    inner = [f"    if {stop_code}:", "        break"]
    update = [f"    total += {formula}", "    count += 1"]
    return Function(
        name=rng.choice(("take_until", "stop_early", "collect", "total_before")),
        parameters=parameters(numbers=NUMBERS),
        returns="int",
        description=(
            f"goes through `numbers` in order and adds `{formula}` for each number x to a total that begins at 0. "
            f"{'Before' if when == 'before' else 'After'} each addition, {stop}, it stops. "
            + ("It returns how many additions it made plus the total." if counted else "It returns the total.")
        ),
        body=lines(
            "total = 0",
            "count = 0" if counted else None,
            "for x in numbers:",
            *(inner if when == "before" else []),
            *(update if counted else update[:1]),
            *(inner if when == "after" else []),
            "return total + count" if counted else "return total",
        ),
    )


def _characters(rng: Random) -> Function:
    """A score over the characters of a text."""
    a, b, c = rng.randint(1, 9), rng.randint(1, 5), rng.randint(0, 9)
    letters = "".join(sorted(rng.sample("abcdeiost", rng.randint(2, 4))))
    char = rng.choice("abcdeiost")
    while char in letters:
        char = rng.choice("abcdeiost")
    repeated = rng.random() < 0.5
    words = (
        f"goes through the characters of `text`, with a score that begins at {c}. A character of "
        f"{letters!r} adds {a} to the score, a {char!r} subtracts {b} from it, others leave it as it is."
    )
    if repeated:
        words += " A character that is the same as the one just before it also doubles the score, after that."
    words += rng.choice(
        (" It returns the score.", " It returns the largest score that there was, the one at the beginning included.")
    )
    largest = "largest" in words
    return Function(
        name=rng.choice(("text_score", "points", "rate")),
        parameters=parameters(text=TEXT),
        returns="int",
        description=words,
        body=lines(
            f"score = {c}",
            f"best = {c}" if largest else None,
            "previous = ''" if repeated else None,
            "for char in text:",
            f"    if char in {letters!r}:",
            f"        score += {a}",
            f"    elif char == {char!r}:",
            f"        score -= {b}",
            "    if char == previous:" if repeated else None,
            "        score *= 2" if repeated else None,
            "    previous = char" if repeated else None,
            "    best = max(best, score)" if largest else None,
            "return best" if largest else "return score",
        ),
    )


def _run(rng: Random) -> Function:
    """The longest or best stretch of neighbours."""
    test, formula = number_test(rng), maybe_map(rng, square=False)
    counted = rng.random() < 0.5
    what = "the length" if counted else f"the largest sum of `{formula}`"
    update = "1" if counted else formula
    k = rng.randint(1, 9)
    scaled = rng.random() < 0.5
    return Function(
        name=rng.choice(("longest_run", "best_streak", "stretch")),
        parameters=parameters(numbers=NUMBERS),
        returns="int",
        description=(
            (
                (
                    f"returns {what} of the longest stretch of consecutive numbers x of `numbers` that "
                    f"are all such that x {test.words}"
                )
                if counted
                else (
                    "goes through `numbers` with a current sum that begins at 0. A number x adds "
                    f"`{formula}` to the current sum if x {test.words}, and otherwise sets it back to 0. "
                    "It returns the largest current sum that there was, the 0 at the beginning included"
                )
            )
            + (f", plus {k}" if scaled else "")
            + ("; the length is 0 if there is none." if counted else ".")
        ),
        body=lines(
            "best = 0",
            "current = 0",
            "for x in numbers:",
            f"    if {test.code}:",
            f"        current += {update}",
            "    else:",
            "        current = 0",
            "    if current > best:",
            "        best = current",
            f"return best + {k}" if scaled else "return best",
        ),
    )
