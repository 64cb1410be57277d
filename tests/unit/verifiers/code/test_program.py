from __future__ import annotations

import time

import pytest

from assay.types import Task
from assay.verifiers.code import Suite, find_program
from assay.verifiers.code.program import MAX_PROGRAM_BYTES, defines
from assay.verifiers.verifier import as_rollout

PROMPT = 'import math\n\ndef area(r):\n    """Of a circle."""\n'
ASSERTS = Suite(tests=("assert area(1) > 3",))
CONTINUES = Suite(prompt=PROMPT, entry_point="area", test="def check(candidate):\n    assert candidate(1) > 3\n")
WHOLE = "def area(r):\n    return 3.14 * r * r\n"


def program(response: str, suite: Suite = ASSERTS, *, finish: str = "stop", language: str = "python") -> str:
    """The program, or why there is none between angle brackets."""
    rollout = as_rollout(response, Task("d", (), "x"), finish_reason=finish)  # type: ignore[arg-type]
    found = find_program(rollout, suite, language, "area" if not suite.cases else "")  # type: ignore[arg-type]
    return found.source or f"<{found.reason}>"


@pytest.mark.parametrize(
    "response",
    [
        WHOLE,
        f"```python\n{WHOLE}```",
        f"Here:\n```py\n{WHOLE}```\nIt works.",
        f"```\n{WHOLE}\n```",
        f"~~~python\n{WHOLE}~~~",
        f"````python\n{WHOLE}````",
        f"``` Python\n{WHOLE}```",
        f"```python\n{WHOLE}",
        f"```python\r\n{WHOLE}```".replace("\n", "\r\n"),
        "1. First:\n   ```python\n" + "".join(f"   {line}\n" for line in WHOLE.splitlines()) + "   ```",
        f"```python\ndef area(r):\n    return 0\n```\nNo:\n```python\n{WHOLE}```",
        f"```python\n{WHOLE}```\n```python\nprint(area(2))\n```",
        f"```python\n{WHOLE}```\n```\n3.14\n```",
        f"```bash\npip install x\n```\n```python\n{WHOLE}```\n```text\n3.14\n```",
        f"Here it is: ```python\n{WHOLE}```",
        f"```python\n{WHOLE.rstrip()}```\nIt works.",
        f"```python\n{WHOLE.rstrip()}```\nIt prints\n```\n3.14\n```",
        f"```python\n{WHOLE.rstrip()}```\nRun\n```bash\npython x.py\n```",
        f"```python3.12\n{WHOLE}```",
        f"```python:solution.py\n{WHOLE}```",
        f"```{{.python .numbered}}\n{WHOLE}```",
        "- ```python\n" + "".join(f"  {line}\n" for line in WHOLE.splitlines()) + "  ```",
        "2. ```python\n" + "".join(f"   {line}\n" for line in WHOLE.splitlines()) + "   ```",
        "> ```python\n" + "".join(f"> {line}\n" for line in WHOLE.splitlines()) + "> ```",
        f"<think>\n```python\ndef area(r): pass\n```\n</think>\n```python\n{WHOLE}```",
    ],
)
def test_the_program_is_found(response: str) -> None:
    assert program(response).strip() == WHOLE.strip()


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "no program"),
        (" \n\t", "no program"),
        ("<think>\n```python\n" + WHOLE + "```", "no program"),
        (f"```json\n{WHOLE}```", "no program"),
        ("```python\n\n```", "no program"),
        (WHOLE + "#" * MAX_PROGRAM_BYTES, "too long"),
        ("x" * (1 << 20) + "y", "too long"),
        (WHOLE + "# \ud800", "unreadable"),
    ],
)
def test_there_is_none(response: str, reason: str) -> None:
    assert program(response) == f"<{reason}>"


@pytest.mark.parametrize(
    "line",
    ["~" * 200_000 + "`", "```" + "a" * 200_000 + "`", ">" * 200_000 + "```", "a```" * 50_000, " " * 200_000 + "```"],
)
def test_a_long_line_is_read_in_linear_time(line: str) -> None:
    began = time.process_time()
    program(line)
    program("\n" * 1000 + "# x\n" * 50_000 + line, CONTINUES)
    program(f"```python\n{line}\n```")
    assert time.process_time() - began < 1


def test_backticks_within_the_code_do_not_end_it() -> None:
    source = 'def area(r):\n    """As in ```\n    ```"""\n    return "```"\n'
    assert program(f"````python\n{source}````") == source
    assert program("```python\n# so: ```\ndef area(r): pass\n```").startswith("# so: ```\n")
    assert program("Use ```area``` so.\n```python\ndef area(r): pass\n```") == "def area(r): pass\n"


@pytest.mark.parametrize("run", ["```", "~~~", "````"])
@pytest.mark.parametrize("tag", ["", "python", "text"])
@pytest.mark.parametrize("indent", ["  ", "    ", "\t", "        "])
def test_an_indented_fence_in_a_docstring_closes_nothing(run: str, tag: str, indent: str) -> None:
    source = (
        f'def area(r):\n{indent}"""Of a circle.\n\n{indent}{run}{tag}\n{indent}area(1)\n{indent}{run}\n{indent}"""\n'
        f"{indent}return 3.14 * r * r\n"
    )
    assert program(f"{run}python\n{source}{run}\nThat is it.") == source
    assert program(f"{run}python\n{source}{run}\nUse it so:\n{run}\narea(2)\n{run}") == source
    in_list = "".join(f"   {line}\n" for line in f"{run}python\n{source}{run}".splitlines())
    assert program(f"1. So:\n\n{in_list}").expandtabs(8).split() == source.split()
    quoted = "".join(f"> {line}\n" for line in f"{run}python\n{source}{run}".splitlines())
    assert program(quoted) == source


def test_a_closing_fence_may_be_a_little_deeper() -> None:
    assert program(f"```python\n{WHOLE}   ```\nThat is it.").strip() == WHOLE.strip()
    assert "def area" in program(f"```python\n{WHOLE}    ```\n")


@pytest.mark.parametrize(
    "source",
    [
        "import re\ndef area(r):\n    return re.sub(r'<think>.*?</think>', '', r)\n",
        "def area(r):\n    # after the <think> block\n    return r\n",
        "def area(r):\n    return '</think>'\n",
        'def area(r):\n    """\n    </think>\n    """\n    return r\n',
        "def area(r):\n    return '[THINK]' + r + '[/THINK]'\n",
    ],
)
def test_tags_of_reasoning_in_a_program_are_text(source: str) -> None:
    for response in (source, f"```python\n{source}```", f"<think>Hm.</think>\n```python\n{source}```"):
        assert program(response) == source
    assert program(f"I need no `<think>` here.\n```python\n{source}```\nNor a </think> tag.") == source


def test_a_program_that_was_cut_off_is_none() -> None:
    assert program(f"```python\n{WHOLE}", finish="length") == "<cut off>"
    assert program(WHOLE, finish="length") == "<cut off>"
    assert program(f"```python\n{WHOLE}```\nThis is", finish="length").strip() == WHOLE.strip()


@pytest.mark.parametrize(
    ("response", "body"),
    [
        ("    return r\n", "    return r"),
        ("return r", "    return r"),
        ("```python\n    return r\n```", "    return r"),
        ("```python\nreturn r\n```", "    return r"),
        ("  x = r\n  return x\n", "    x = r\n    return x"),
        ("\tx = r\n\treturn x\n", "    x = r\n    return x"),
        ("        x = r\n        return x\n", "    x = r\n    return x"),
        ("if r:\n        return r\n    return 0", "    if r:\n        return r\n    return 0"),
        ("if r:\n    return r\nreturn 0", "    if r:\n        return r\n    return 0"),
        ("    return r\n\nprint(area(1))\nThat is all.", "    return r"),
        ("    return r\n\n\nThis works.", "    return r"),
        ("    return f(r)\n\ndef f(r):\n    return r\n", "    return f(r)\n\ndef f(r):\n    return r"),
        ("# first\n  return r\n", "    return r"),
        ("    area = r\n    return area\n", "    area = r\n    return area"),
    ],
)
def test_a_continuation_gets_the_indentation_it_needs(response: str, body: str) -> None:
    found = program(response, CONTINUES)
    assert found.rstrip() == f"{PROMPT}{body}"
    compile(found, "program", "exec")


def test_a_response_that_defines_the_entry_point_stands_alone() -> None:
    assert program(WHOLE, CONTINUES) == WHOLE
    assert program(f"```python\n{WHOLE}```", CONTINUES).strip() == WHOLE.strip()


def test_a_continuation_that_was_cut_off_counts_as_far_as_it_is_whole() -> None:
    assert program("    return r", CONTINUES, finish="length") == "<cut off>"
    assert (
        program("    return r\n\nprint(ar", CONTINUES, finish="length") == f"{PROMPT}    return r\n\n".rstrip() + "\n"
    )
    cut = program("    return f(r)\n\ndef f(r):\n    retu", CONTINUES, finish="length")
    assert "def f" not in cut


def test_whole_programs_are_the_last_block() -> None:
    cases = Suite.model_validate({"cases": [{"input": "", "output": "1"}]}, strict=False)
    assert program("```python\nprint(0)\n```\nor\n```python\nprint(1)\n```", cases) == "print(1)\n"
    assert program("```cpp\nint main() {}\n```\n```python\nprint(1)\n```", cases, language="cpp") == "int main() {}\n"


@pytest.mark.parametrize(
    ("source", "yes"),
    [
        ("def f(x): pass", True),
        ("async  def f(x): pass", True),
        ("x = 1\nf = lambda x: x", True),
        ("f: int = 3", True),
        ("class f: pass", True),
        ("class Solution:\n    def f(self): pass", True),
        ("  def f(x): pass", True),
        ("class Other:\n    def f(self): pass", False),
        ("def g():\n    f = 1", False),
        ("  f = 1\n  return f", False),
        ("f == 1", False),
        ("# def f", False),
        ("def ff(x): pass", False),
    ],
)
def test_what_looks_like_a_definition(source: str, yes: bool) -> None:
    assert defines(source, "f") is yes


@pytest.mark.parametrize("prompt", ["def area(r):", 'def area(r):\n    """Of a circle."""', PROMPT + "    # so:"])
@pytest.mark.parametrize("response", ["    return r\n", "return r", "```python\n    return r\n```"])
def test_a_prompt_may_lack_its_last_line_end(prompt: str, response: str) -> None:
    suite = Suite(prompt=prompt, entry_point="area", test="def check(candidate): pass")
    assert program(response, suite) == f"{prompt}\n    return r\n"


def test_a_prompt_may_end_within_a_line() -> None:
    suite = Suite(prompt="def area(r):\n    return ", entry_point="area", test="def check(candidate): pass")
    compile(program("3 * r", suite), "program", "exec")
