from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from assay.environments.data_files import read_rows
from assay.environments.rows import Rows
from assay.errors import DataError


def json_texts(texts: list[str | None]) -> Any:
    """A column as datasets 5 writes it where values are mixed."""
    return pyarrow.array(texts, pyarrow.json_())


def write(path: Path, columns: dict[str, Any]) -> str:
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def rows_of(source: str, notes: list[str] | None = None) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(source, notes)]


def answers(path: str, **options: Any) -> list[str]:
    """By prompt, in the order of the prompts."""
    domain = Rows(path=path, **options)
    tasks = [task for tasks in domain.splits.values() for task in tasks]
    return [task.answer for task in sorted(tasks, key=lambda task: task.prompt[-1].content)]


def test_columns_of_json_texts_are_decoded(tmp_path: Path) -> None:
    texts = ['"Paris"', "3", "2.5", "true", '"a \\"quoted\\" word"', '"\\u00e9"', '"1\\/2"', None, '{"x": [1]}', "[1]"]
    source = write(tmp_path / "a.parquet", {"answer": json_texts(texts)})
    expected = ["Paris", 3, 2.5, True, 'a "quoted" word', "é", "1/2", None, {"x": [1]}, [1]]
    assert [row["answer"] for row in rows_of(source)] == expected
    prompts = [f"q{i}" for i in range(7)]
    source = write(tmp_path / "b.parquet", {"prompt": prompts, "answer": json_texts(texts[:7])})
    assert answers(source) == ["Paris", "3", "2.5", "true", 'a "quoted" word', "é", "1/2"]


def test_text_that_is_no_json_stands_for_itself(tmp_path: Path) -> None:
    # datasets 5.2 writes a text that looks like a number to it as it stands.
    texts = ["007", "-0042", "00.5", "Paris", '"unclosed', ""]
    assert [row["a"] for row in rows_of(write(tmp_path / "a.parquet", {"a": json_texts(texts)}))] == texts


@pytest.mark.parametrize("storage", [pyarrow.string(), pyarrow.large_string()])
def test_json_texts_inside_of_other_columns(tmp_path: Path, storage: Any) -> None:
    kind = pyarrow.json_(storage)
    inside = pyarrow.array(['"7"', '{"a": 1}'], kind)
    columns = {
        "list": pyarrow.ListArray.from_arrays([0, 2, 2], inside),
        "large": pyarrow.LargeListArray.from_arrays([0, 1, 2], inside),
        "struct": pyarrow.StructArray.from_arrays([inside, [1.5, None]], ["truth", "n"]),
        "map": pyarrow.MapArray.from_arrays([0, 1, 2], ["k", "l"], inside),
    }
    assert rows_of(write(tmp_path / "a.parquet", columns)) == [
        {"list": ["7", {"a": 1}], "large": ["7"], "struct": {"truth": "7", "n": 1.5}, "map": {"k": "7"}},
        {"list": [], "large": [{"a": 1}], "struct": {"truth": {"a": 1}, "n": None}, "map": {"l": {"a": 1}}},
    ]


def test_a_reader_that_does_not_know_the_type_leaves_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = pyarrow.field("a", pyarrow.string(), metadata={b"ARROW:extension:name": b"arrow.json"})
    table = pyarrow.table([['"Paris"', "3"]], schema=pyarrow.schema([field]))

    class OldFile:
        schema_arrow = table.schema

        def __init__(self, path: object) -> None: ...

        def iter_batches(self, batch_size: int) -> list[Any]:
            return table.to_batches()

    monkeypatch.setattr(parquet, "ParquetFile", OldFile)
    (tmp_path / "a.parquet").write_text("")
    assert [row["a"] for row in rows_of(str(tmp_path / "a.parquet"))] == ["Paris", 3]


def test_text_that_looks_like_json_is_text(tmp_path: Path) -> None:
    texts = ['"Paris"', "3", "[1]"]
    assert [row["a"] for row in rows_of(write(tmp_path / "a.parquet", {"a": texts}))] == texts


@pytest.mark.parametrize("kind", [pyarrow.float32(), pyarrow.float16()])
def test_short_floats_have_their_shortest_text(tmp_path: Path, kind: Any) -> None:
    numbers = [0.1, -2.7, 0.5, 3.0, 1000.0, None, float("nan")]
    column = pyarrow.array(numbers, pyarrow.float64()).cast(kind)
    columns = {"n": column, "list": pyarrow.ListArray.from_arrays(list(range(8)), column)}
    found = rows_of(write(tmp_path / "a.parquet", columns))
    expected = [0.1, -2.7, 0.5, 3.0, 1000.0, None, None]
    assert [row["n"] for row in found] == expected
    assert [row["list"] for row in found] == [[number] for number in expected]
    source = write(tmp_path / "b.parquet", {"prompt": list("abcde"), "answer": column[:5]})
    assert answers(source) == ["0.1", "-2.7", "0.5", "3", "1000"]


def test_large_and_infinite_short_floats(tmp_path: Path) -> None:
    columns = {
        "half": pyarrow.array([65504.0, float("inf")]).cast(pyarrow.float16()),
        "single": pyarrow.array([3.4e38, float("-inf")]).cast(pyarrow.float32()),
    }
    assert rows_of(write(tmp_path / "a.parquet", columns)) == [
        {"half": 65500.0, "single": 3.4e38},
        {"half": float("inf"), "single": float("-inf")},
    ]


@pytest.mark.parametrize(
    ("texts", "cautioned"),
    [
        (['"Paris"', "7"], True),
        (["007", "7"], True),
        (["0.3333333333", '"x"'], True),
        (["7", "true"], True),
        (["7", "8.5", None], False),
        (['"a"', '"b"'], False),
        (['{"a": 1}', '{"b": 2}'], False),
    ],
)
def test_numbers_that_may_have_been_text_are_cautioned_of(
    tmp_path: Path, texts: list[str | None], cautioned: bool
) -> None:
    notes: list[str] = []
    struct = pyarrow.StructArray.from_arrays([json_texts(texts)], ["truth"])
    source = write(tmp_path / "a.parquet", {"answer": json_texts(texts), "model": struct})
    rows_of(source, notes)
    assert [note.split(" mixes ")[0].rpartition(" ")[2] for note in notes] == ["'answer'", "'model.truth'"] * cautioned
    assert all('"007" into 7' in note for note in notes)
    columns = {"prompt": [f"q{i}" for i in range(len(texts))], "answer": ["1"] * len(texts), "other": json_texts(texts)}
    domain = Rows(path=write(tmp_path / "b.parquet", columns))
    assert len(domain.notes) == 1 + cautioned


def test_json_texts_that_are_nested_too_deeply(tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet", {"a": json_texts(["[" * 100_000 + "]" * 100_000])})
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        rows_of(source)
