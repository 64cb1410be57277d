from __future__ import annotations

import asyncio
import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest

from assay.environments import check_environment, make_environment
from assay.environments.cruxeval import CRUXEval
from assay.environments.data_files import read_rows
from assay.environments.gsm8k import GSM8K
from assay.environments.math import MATH
from assay.environments.rows import Rows
from assay.errors import DataError
from assay.types import Message
from assay.verifiers import Math, Numeric, as_rollout, make_verifier


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows_of(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {i} + 1?", "answer": i + 1, "level": f"Level {1 + i % 3}", "steps": 1}
        for i in range(start, start + count)
    ]


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write(tmp_path / "data.jsonl", rows_of(300))


def test_a_file_is_a_domain(data: str) -> None:
    domain = Rows(
        path=data, prompt="{question} Reply with a number.", system="Be brief.", complexity="level", horizon="steps"
    )
    asyncio.run(check_environment(domain, verifier=Numeric()))
    assert domain.levels() == ((1, 1), (2, 1), (3, 1))
    counts = {split: len(list(domain.tasks(split))) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 300
    assert 200 < counts["train"] < 270
    assert min(counts.values()) > 15
    task = next(domain.tasks("train", complexity=2))
    assert task.prompt[0] == Message("system", "Be brief.")
    assert task.prompt[1].content.endswith("? Reply with a number.")
    assert task.complexity == 2
    assert list(domain.tasks("train", seed=1)) != list(domain.tasks("train", seed=2))
    with pytest.raises(
        DataError, match=r"empty at complexity 7; .* are complexity 1, horizon 1; complexity 2, horizon"
    ):
        domain.tasks("train", complexity=7)


def test_a_test_file_of_its_own(data: str, tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", rows_of(40, start=1000))
    domain = Rows(path=data, test_path=test, prompt="{question}")
    assert len(list(domain.tasks("test"))) == 40
    assert len(list(domain.tasks("train"))) + len(list(domain.tasks("validation"))) == 300


def test_rows_in_both_files_are_an_error_or_left_out(data: str, tmp_path: Path) -> None:
    both = [{**row, "question": row["question"].replace(" ", "  ") + "\u200b"} for row in rows_of(20)]
    test = write(tmp_path / "test.jsonl", both)
    domain = Rows(path=data, test_path=test, prompt="{question}")
    with pytest.raises(DataError, match="20 of 300 rows"):
        domain.tasks("train")
    left = domain.model_copy(update={"overlap": "leave_out"})
    assert len(list(left.tasks("train"))) + len(list(left.tasks("validation"))) == 280
    with pytest.raises(pydantic.ValidationError, match="every test task would be trained on"):
        Rows(path=data, test_path=data)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('\ufeffq,a\n"one, two?",2\n"a ""quote""\nover lines",3\n', encoding="utf-8")
    rows = [row for _, row in read_rows(str(path))]
    assert rows == [{"q": "one, two?", "a": "2"}, {"q": 'a "quote"\nover lines', "a": "3"}]
    for text, message in (
        ("q,a\n1,2,3\n", "line 2 has not the 2 fields of the header but 3"),
        ("q,a\n1\n", "line 2 has not the 2 fields of the header but 1"),
        ('q,a\n1,2\n"x"y,3\n', "the row that begins on line 3, cannot be read as CSV"),
        ('q,a\n1,2\n"never,closed\n3,4\n', "the row that begins on line 3, cannot be read as CSV"),
        ("q,a,q\n1,2,3\n", "line 1: the header names 'q' twice"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            list(read_rows(str(path)))
    path.write_bytes("q,a\né,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        list(read_rows(str(path)))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv_as_spreadsheets_of_any_country_write_it(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "data.csv"
    text = 'q| a\r\n"one| two; three, four\tfive"|2\r\n'.replace("|", mark)
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    said = "one| two; three, four\tfive".replace("|", mark)
    assert [row for _, row in read_rows(str(path))] == [{"q": said, "a": "2"}]


def test_json_that_is_one_array(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"q": "a"}, {"q": "b", "n": float("nan")}], indent=1))
    (_, first), (place, second) = read_rows(str(path))
    assert (first, second) == ({"q": "a"}, {"q": "b", "n": None})
    assert place.endswith("data.json, element 2")
    path.write_text('\n {"q": "a"}\n{"q": "b"}\n')
    assert [row for _, row in read_rows(str(path))] == [{"q": "a"}, {"q": "b"}], "JSON lines under that name"
    for text, message in (
        ('[{"q": "a"}, 7]', "element 2 holds int, not an object"),
        ('[{"q": "a"},\n{"q": }]', "data.json is not JSON that can be read: .*line 2"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            list(read_rows(str(path)))


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"q": "a"}\n{"q": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(DataError, match="line 2 is not JSON that can be read: nested too deeply"):
        list(read_rows(str(path)))


def test_several_files_as_one(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"part-{name}.jsonl", [{"prompt": name, "answer": "1"}])
    places = [place for place, _ in read_rows(str(tmp_path / "part-*.jsonl"))]
    assert [place.rpartition("/")[2] for place in places] == [f"part-{name}.jsonl, line 1" for name in "abc"]
    with pytest.raises(DataError, match="no data file"):
        list(read_rows(str(tmp_path / "none-*.jsonl")))


def test_conversations(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    path = write(tmp_path / "a.jsonl", [{"prompt": messages, "answer": "1"}])
    (task,) = [task for split in ("train", "validation", "test") for task in _tasks(Rows(path=path), split)]
    assert task.prompt == (Message("system", "s"), Message("user", "u"))
    for bad, message in (
        ([{"role": "user"}], "not of messages"),
        ([*messages, {"role": "assistant", "content": "x"}], "must end with the user"),
    ):
        with pytest.raises(DataError, match=message):
            _tasks(Rows(path=write(tmp_path / f"{len(bad)}.jsonl", [{"prompt": bad, "answer": "1"}])), "train")


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (
            {"prompt": [{"role": "user", "content": "u"}], "answer": "1"},
            {"prompt": "{prompt}\nBox it."},
            r"line 1: column 'prompt', which prompt names, holds a list, not text; give \{prompt\} alone",
        ),
        ({"prompt": {"text": "u"}, "answer": "1"}, {}, "column 'prompt', which prompt names, holds an object"),
        ({"prompt": "u", "answer": ["1", "2"]}, {}, "column 'answer', which answer names, holds a list, not text"),
        (
            {"prompt": "u", "answer": "1", "completion": [{"role": "user", "content": "x"}]},
            {"demonstration": "{completion}"},
            "completion is a list, but not of one message of the assistant",
        ),
    ],
)
def test_a_list_is_never_read_as_text(tmp_path: Path, row: dict, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Rows(path=write(tmp_path / "a.jsonl", [row]), **options).tasks("train")


def test_no_prompt_column_and_no_chat_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "1 + 1?", "label": "2"}])
    with pytest.raises(DataError, match=r"line 1 has no column 'prompt', which prompt names; it has: text, label; set"):
        Rows(path=path).tasks("train")
    with pytest.raises(DataError, match=r"has no column 'answer', which answer names; .* where there are no answers"):
        Rows(path=path, prompt="{text}").tasks("train")


def test_a_column_without_its_braces_is_no_template(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "1 + 1?", "label": "2"}])
    with pytest.raises(DataError, match=r'set prompt to one that it has, such as prompt = "\{text\}"'):
        Rows(path=path).tasks("train")
    with pytest.raises(DataError, match=r"prompt 'text' is the same text for every row.*prompt = \"\{text\}\""):
        Rows(path=path, prompt="text", answer="{label}").tasks("train")
    with pytest.raises(DataError, match=r"answer 'label' is the same text .*answer = \"\{label\}\""):
        Rows(path=path, prompt="{text}", answer="label").tasks("train")


def test_data_without_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": f"q{i}", "style": "haiku"} for i in range(60)])
    domain = Rows(path=path, answer="")
    assert {task.answer for tasks in domain.splits.values() for task in tasks} == {""}
    trl = tmp_path / "rewards.py"
    trl.write_text("def style(completions, style, **kwargs):\n    return [1.0] * len(completions)\n")
    asyncio.run(check_environment(domain, verifier=make_verifier("trl", {"function": f"{trl}:style"})))
    asyncio.run(check_environment(domain, verifier=make_verifier("format")))
    for name in ("exact", "numeric", "math", "choice", "code", "judge"):
        options = {"model": "m", "base_url": "http://127.0.0.1:1"} if name == "judge" else {}
        with pytest.raises(DataError, match=rf"has no gold answer, and verifier '{name}' compares with one; name its"):
            asyncio.run(check_environment(domain, verifier=make_verifier(name, options)))
    with pytest.raises(pydantic.ValidationError, match="answer_after has no effect"):
        Rows(path=path, answer="", answer_after="####")


def test_splits_that_a_small_file_leaves_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"prompt": "q", "answer": "1"}])
    with pytest.raises(
        DataError, match=r"\(1 train, 0 validation, 0 test\).*add rows, or give the test a file of its own"
    ):
        Rows(path=path).tasks("validation")
    example = write(tmp_path / "c.jsonl", [{"code": "def f(x):\n    return x", "input": "1", "output": "1"}])
    with pytest.raises(DataError, match="unless test_only=false"):
        CRUXEval(path=example).tasks("train")


def _tasks(domain: Rows, split: Any) -> list:
    try:
        return list(domain.tasks(split))
    except DataError as error:
        if "is empty" in str(error):
            return []
        raise


def test_demonstrations(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{i}", "answer": "#### 7", "solution": f"because {i}"} for i in range(30)]
    domain = Rows(path=write(tmp_path / "a.jsonl", rows), answer_after="####", demonstration="{solution}\n{answer}")
    task = next(domain.tasks("train"))
    assert task.answer == "7"
    assert task.metadata["demonstration"].startswith("because ")


def test_a_conversational_completion_is_what_its_assistant_says(tmp_path: Path) -> None:
    rows = [
        {"prompt": [{"role": "user", "content": f"q{i}"}], "completion": [{"role": "assistant", "content": f"a{i}"}]}
        for i in range(30)
    ]
    domain = Rows(path=write(tmp_path / "a.jsonl", rows), answer="", demonstration="{completion}")
    task = next(domain.tasks("train"))
    assert task.metadata["demonstration"] == task.prompt[0].content.replace("q", "a")


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ("{", {}, "line 2 is not JSON"),
        ("[1]", {}, "line 2 holds list"),
        (
            '{"question": "q", "anser": "1"}',
            {},
            "line 2 has no column 'answer', which answer names; did you mean 'anser'",
        ),
        ('{"question": "q", "answer": null}', {}, "line 2 has nothing in column 'answer'"),
        ('{"question": "q", "answer": " "}', {}, "line 2 has an empty answer"),
        ('{"question": "q", "answer": "1"}', {"answer_after": "####"}, "its answer has no '####'"),
        ('{"question": "What is 0 + 1?", "answer": "5"}', {}, "has another answer"),
        ('{"question": "q", "answer": "1", "level": "hard"}', {"complexity": "level"}, "is no number"),
        ('{"question": "q", "answer": "1"}', {"prompt": "{question!r}"}, "columns are named plainly"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, options: dict, message: str) -> None:
    path = tmp_path / "data.jsonl"
    first = {"question": "What is 0 + 1?", "answer": "#### 1" if "answer_after" in options else "1", "level": 1}
    path.write_text(json.dumps(first) + "\n" + line + "\n")
    with pytest.raises(DataError, match=message):
        Rows(path=str(path), **{"prompt": "{question}", **options}).tasks("train")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "data.xls").write_text("x")
    for name, message in (
        ("none.jsonl", "no data file"),
        ("empty.jsonl", "has no rows"),
        ("data.xls", "no kind of data"),
    ):
        with pytest.raises(DataError, match=message):
            Rows(path=str(tmp_path / name)).tasks("train")
    with pytest.raises(DataError, match="expected hub:owner/dataset"):
        Rows(path="hub:openai").tasks("train")


GSM8K_ROW = {"question": "Ann has {0} apples and eats one. How many are left?", "answer": "She has {0} - 1.\n#### {1}"}


def test_known_data_sets(tmp_path: Path) -> None:
    def rows(start: int) -> list[dict[str, str]]:
        return [
            {"question": GSM8K_ROW["question"].format(i), "answer": GSM8K_ROW["answer"].format(i, f"{i - 1:,}")}
            for i in range(start, start + 40)
        ]

    grade_school = GSM8K(
        path=write(tmp_path / "train.jsonl", rows(1000)), test_path=write(tmp_path / "test.jsonl", rows(2000))
    )
    asyncio.run(check_environment(grade_school, verifier=Math()))
    task = next(grade_school.tasks("test"))
    assert task.prompt[0].content.endswith("\nPut the final number in \\boxed{}.")
    assert task.answer.startswith(("1,", "2,"))
    for reading in grade_school.rewards.values():
        said = asyncio.run(reading(as_rollout(f"So 7 - 1 is it: \\boxed{{{task.answer}}}", task), task))
        assert said.verdict.value == "solved", "what the prompt asks for is read"

    problems = [
        {
            "problem": f"Half of {i}?",
            "level": f"Level {1 + i % 5}",
            "solution": f"It is $\\boxed{{\\frac{{{i}}}{{2}}}}$.",
        }
        for i in range(60)
    ]
    competition = make_environment("math", {"path": write(tmp_path / "math.jsonl", problems)})
    assert isinstance(competition, MATH)
    reading = competition.rewards["strict"]
    asyncio.run(check_environment(competition, verifier=reading, levels=[(None, None)]))
    assert competition.levels() == tuple((float(level), None) for level in range(1, 6))
    problems.append({"problem": "And this?", "level": "Level ?", "solution": "\\boxed{7}"})
    unknown = make_environment("math", {"path": write(tmp_path / "unknown.jsonl", problems)})
    assert unknown.levels() == competition.levels()


def test_a_file_in_place_of_a_published_split_does_not_call_for_the_hub(tmp_path: Path) -> None:
    for name in ("gsm8k", "math"):
        published = make_environment(name)
        assert isinstance(published, Rows)
        assert published.path.startswith("hub:")
        assert published.test_path is not None
        local = make_environment(name, {"path": "train.jsonl"})
        assert isinstance(local, Rows)
        assert local.test_path is None
        both = make_environment(name, {"path": "train.jsonl", "test_path": "test.jsonl"})
        assert isinstance(both, Rows)
        assert both.test_path == "test.jsonl"


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        "q": ["a", "b"],
        "n": [1.0, math.nan],
        "day": [datetime.date(2025, 1, 2)] * 2,
        "raw": [b"x", b"\xff"],
        "list": [[1], [2, 3]],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "data.parquet")
    rows = list(read_rows(str(tmp_path / "data.parquet")))
    assert [row for _, row in rows] == [
        {"q": "a", "n": 1.0, "day": "2025-01-02", "raw": "x", "list": [1]},
        {"q": "b", "n": None, "day": "2025-01-02", "raw": "\\xff", "list": [2, 3]},
    ]
    assert rows[1][0].endswith("row 2")
    (tmp_path / "bad.parquet").write_text("x")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(read_rows(str(tmp_path / "bad.parquet")))


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.parquet").write_text("x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'assay\[data\]'"):
        list(read_rows(str(tmp_path / "data.parquet")))


VERL_ROW = {
    "data_source": "math",
    "prompt": [{"role": "user", "content": "1 + 1?"}],
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"index": 3, "level": "Level 4", "steps": [1, 2], "source": None},
    "flat.name": "whole",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{reward_model.ground_truth}", "2"),
        ("{extra_info.index}", "3"),
        ("{reward_model.style}: {reward_model.ground_truth}", "rule: 2"),
        ("{extra_info.steps.1}", "2"),
        ("{flat.name}", "whole"),
        ("{prompt.0.content}", "1 + 1?"),
    ],
)
def test_fields_inside_of_columns(tmp_path: Path, template: str, expected: str) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([VERL_ROW]), tmp_path / "a.parquet")
    for path in (str(tmp_path / "a.parquet"), write(tmp_path / "a.jsonl", [VERL_ROW])):
        (task,) = [
            t for ts in Rows(path=path, answer=template, complexity="extra_info.level").splits.values() for t in ts
        ]
        assert (task.answer, task.complexity) == (expected, 4)
        assert task.prompt == (Message("user", "1 + 1?"),)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{answer}",
            r"no column 'answer', .* it has: data_source, prompt, reward_model.style, reward_model.ground_truth",
        ),
        ("{reward_model.ground_truht}", "did you mean 'reward_model.ground_truth'"),
        ("{ground_truth.x}", "has no column 'ground_truth.x'"),
        ("{extra_info.steps.2}", "has no column 'extra_info.steps.2'"),
        ("{data_source.name}", "has no column 'data_source.name'"),
        ("{extra_info.source}", "has nothing in column 'extra_info.source'"),
        ("{reward_model}", "holds an object, not text"),
    ],
)
def test_fields_that_are_not_there(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Rows(path=write(tmp_path / "a.jsonl", [VERL_ROW]), answer=template).tasks("train")


def test_a_file_that_is_measured_alone_is_all_test_tasks(data: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", rows_of(10, start=1000))
    named = Rows(path=data, prompt="{question}").to_measure()
    assert isinstance(named, Rows)
    assert {split: len(tasks) for split, tasks in named.splits.items()} == {"train": 0, "validation": 0, "test": 300}
    assert named.notes[0] == f"rows: 300 test tasks from {data} (test_only)"
    for own in (
        Rows(path=data, prompt="{question}", test_only=False),
        Rows(path=data, prompt="{question}", test_path=other),
        GSM8K(),
        make_environment("mbpp", {"path": data}),
    ):
        assert own.to_measure() is own
    assert GSM8K(path=data).to_measure() == GSM8K(path=data, test_path=None, test_only=True)
    with pytest.raises(pydantic.ValidationError, match="test_only has no effect with test_path"):
        Rows(path=data, test_path=other, test_only=True)
    with pytest.raises(DataError, match="all are test tasks unless test_only=false"):
        named.tasks("train")


def test_the_sizes_of_splits_are_told(data: str, tmp_path: Path) -> None:
    environment = Rows(path=data, prompt="{question}")
    sizes = {split: len(tasks) for split, tasks in environment.splits.items()}
    told = ", ".join(f"{count} {split}" for split, count in sizes.items())
    assert environment.notes == (f"rows: {told} tasks from {data}",)
    other = write(tmp_path / "other.jsonl", rows_of(10, start=1000))
    (told,) = Rows(path=data, prompt="{question}", test_path=other).notes
    assert told.endswith(f", 10 test tasks from {data}, the test from {other}")
    assert make_environment("arithmetic").notes == ()
