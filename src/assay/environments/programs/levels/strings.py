"""Level 3: strings and slices."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, lines, parameters, steps_list
from assay.environments.programs.phrases import count_test
from assay.environments.programs.steps import Step, pipeline, pipeline_code, pipeline_words, text_step
from assay.environments.programs.value_kinds import LETTERS, TEXT, Integer


def make(rng: Random) -> Function:
    return rng.choice((_steps, _steps, _steps, _counted, _two_texts, _by_length))(rng)


def _steps(rng: Random) -> Function:
    steps = pipeline(rng, "str", rng.choice((2, 2, 3)), ends=0.35)
    return _stepped(steps, rng.choice(("transform", "rewrite", "process_text")))


def _stepped(steps: list[Step], name: str) -> Function:
    return Function(
        name=name,
        parameters=parameters(text=TEXT),
        returns=steps[-1].returns,
        description="takes `text` through these steps:\n" + steps_list(pipeline_words(steps)),
        body=lines(*pipeline_code(steps, "text")),
    )


def _counted(rng: Random) -> Function:
    """A number of characters as a second argument."""
    words, code = rng.choice(
        (
            ("Keep only the first n characters, or all where there are fewer", "{v}[:n]"),
            ("Remove the first n characters", "{v}[n:]"),
            ("Repeat it n times", "{v} * n"),
            ("Move the first n characters to its end", "{v}[n:] + {v}[:n]"),
            ("Put n times '*' before it", "'*' * n + {v}"),
            (
                "Keep only the characters at indices that are at least n, each followed by a '.'",
                "'.'.join({v}[n:]) + '.'",
            ),
            ("Fill it with '-' on the left to a length of at least n", "{v}.rjust(n, '-')"),
            ("Fill it with '-' on the right to a length of at least n", "{v}.ljust(n, '-')"),
        )
    )
    steps = [Step(words, code, "str")]
    steps.insert(rng.randint(0, 1), text_step(rng))
    if rng.random() < 0.4:
        steps.append(text_step(rng))
    return Function(
        name=rng.choice(("transform", "shape_text", "edit")),
        parameters=parameters(text=TEXT, n=Integer(0, 8)),
        returns="str",
        description="takes `text` through these steps:\n" + steps_list(pipeline_words(steps)),
        body=lines(*pipeline_code(steps, "text")),
    )


def _two_texts(rng: Random) -> Function:
    """Two strings, each changed, then put together or compared."""
    first, second = text_step(rng), text_step(rng)
    sep = rng.choice(("", "-", " ", "+", "/"))
    words, code, returns = rng.choice(
        (
            (f"Return the first result, {sep!r} and the second result joined", f"left + {sep!r} + right", "str"),
            (f"Return the second result, {sep!r} and the first result joined", f"right + {sep!r} + left", "str"),
            (
                "Return the longer of the two results, the first in case of a tie",
                "left if len(left) >= len(right) else right",
                "str",
            ),
            (
                "Return the shorter of the two results, the second in case of a tie",
                "left if len(left) < len(right) else right",
                "str",
            ),
            ("Return whether the second result occurs in the first", "right in left", "bool"),
            ("Return the length of the first result minus the length of the second", "len(left) - len(right)", "int"),
            (
                "Return how many characters of the first result occur in the second",
                "sum(char in right for char in left)",
                "int",
            ),
            ("Return the result that is first in ascending order", "min(left, right)", "str"),
        )
    )
    if sep == "" and "joined" in words:
        words = (
            "Return the first result followed by the second"
            if "left +" in code
            else "Return the second result followed by the first"
        )
        code = "left + right" if "left +" in code else "right + left"
    return Function(
        name=rng.choice(("combine", "merge_texts", "pair_up")),
        parameters=parameters(first=LETTERS, second=LETTERS),
        returns=returns,
        description="does the following:\n"
        + steps_list(
            [
                f"With `first`: {_lowered(first.words)}. This is the first result.",
                f"With `second`: {_lowered(second.words)}. This is the second result.",
                f"{words}.",
            ]
        ),
        body=lines(
            f"left = {first.code.replace('{v}', 'first')}",
            f"right = {second.code.replace('{v}', 'second')}",
            f"return {code}",
        ),
    )


def _by_length(rng: Random) -> Function:
    """One of two changes, as a condition on the text says."""
    yes, no = text_step(rng), text_step(rng)
    char, size = rng.choice("abcdeiost"), count_test(rng, "len(text)", 2, 7)
    test_words, test = rng.choice(
        (
            (f"the length of `text` {size.words}", size.code),
            (f"`text` contains {char!r}", f"{char!r} in text"),
            (f"`text` starts with {char!r}", f"text.startswith({char!r})"),
            (f"`text` ends with {char!r}", f"text.endswith({char!r})"),
            (f"{char!r} occurs more than once in `text`", f"text.count({char!r}) > 1"),
            ("`text` has a capital letter", "text != text.lower()"),
        )
    )
    return Function(
        name=rng.choice(("adapt", "adjust_text", "rewrite")),
        parameters=parameters(text=TEXT),
        returns="str",
        description=(
            f"changes `text` in one of two ways and returns the result. If {test_words}: {_lowered(yes.words)}. "
            f"Otherwise: {_lowered(no.words)}."
        ),
        body=lines(
            f"if {test}:",
            f"    return {yes.code.replace('{v}', 'text')}",
            f"return {no.code.replace('{v}', 'text')}",
        ),
    )


def _lowered(words: str) -> str:
    return words[0].lower() + words[1:]
