"""Logs as inspect-ai 0.3.285 and lm-evaluation-harness 0.4.13 write them (tests/foreign/logs), and tables."""

from __future__ import annotations

import builtins
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.errors import DataError
from assay.evaluation.logs import TableColumns, compare_logs, log_rows, open_log
from assay.evaluation.logs.inspect import VERSIONS
from assay.evaluation.logs.zipped import ZSTANDARD

LOGS = Path(__file__).parents[2] / "foreign" / "logs"
BEFORE, AFTER = LOGS / "sums_before.eval", LOGS / "sums_after.eval"


@pytest.fixture
def zstandard() -> None:
    pytest.importorskip("zstandard")


def test_members_are_zstandard():
    """What the other tests are about: a file that Python 3.11 cannot read by itself."""
    with zipfile.ZipFile(BEFORE) as archive:
        assert {member.compress_type for member in archive.infolist()} >= {ZSTANDARD}


def test_without_zstandard_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "zstandard":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"compressed with Zstandard; to read it: pip install 'assay\[logs\]'"):
        open_log(str(BEFORE))


def shares(log: Any, measure: str) -> dict[str, list[float | None]]:
    (benchmark,) = log.benchmarks
    return {task.split(":")[0]: values for task, values in log.values(benchmark, measure).items()}


@pytest.mark.parametrize("name", ["sums_before.json", "sums_before.eval"])
def test_samples_of_inspect(name: str):
    if name.endswith(".eval"):
        pytest.importorskip("zstandard")
    log = open_log(str(LOGS / name))
    assert log.benchmarks == ("sums",)
    assert log.measures("sums") == ("match", "marks.form", "marks.content")
    assert shares(log, "match") == {"one": [1.0] * 3, "two": [1.0, 0.0, 0.0], "three": [None] * 3}
    assert shares(log, "marks.content")["two"] == [0.5, 0.0, 0.0]
    ((why, count),) = log.why_not("sums", "match").items()
    assert "the sandbox died" in why
    assert count == 3


def test_a_task_whose_repeats_all_failed_is_counted():
    """inspect-ai says 0.667, of the tasks that are left."""
    log = open_log(str(LOGS / "sums_before.json"))
    (match, *_), _ = compare_logs(log, log)
    assert match.before.mean.value == pytest.approx((1 + 1 / 3) / 2)
    assert match.before.num_not_measured == 1
    assert match.before.num_samples_not_measured == 3
    assert match.before.as_failed == pytest.approx(0.444, abs=0.001)
    assert match.before.as_solved == pytest.approx(0.778, abs=0.001)


def test_pairs_are_made_by_the_task(zstandard: None):
    """After, the tasks come in another order; only two were measured on both sides: 1 to 1, and 1/3 to 2/3."""
    found, said = compare_logs(open_log(str(BEFORE)), open_log(str(AFTER)), ["match"])
    (match,) = found
    assert match.difference.num_tasks == 2
    assert match.difference.value == pytest.approx(1 / 6)
    assert (match.difference.num_improved, match.difference.num_worsened) == (1, 0)
    assert match.after.as_failed == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert not said


def test_a_run_in_which_all_failed_is_not_measured(zstandard: None):
    """Its status is "success", its results null."""
    broken = open_log(str(LOGS / "broken.eval"))
    assert not broken.notes
    with pytest.raises(DataError, match=r"sums: no sample of .*broken\.eval was measured \(9 samples, .*sandbox died"):
        compare_logs(open_log(str(BEFORE)), broken)
    with pytest.raises(DataError, match=r"no sample of .*broken\.eval was measured; of 9, 9: .*sandbox died"):
        log_rows(str(LOGS / "broken.eval"))
    assert all(not sample.scores and "the sandbox died" in sample.why for sample in broken.samples)


def test_a_log_is_a_table():
    rows = log_rows(str(LOGS / "sums_before.json"))
    assert len(rows) == 9
    _, row = rows[0]
    assert row["benchmark"] == "sums"
    assert row["metadata"]["minutes"] == 8.0
    assert row["match"] == 1.0
    assert row["model"] == "mockllm/model"


def inspect_json(tmp_path: Path, samples: list[Mapping[str, Any]], **changes: Any) -> Path:
    log = {
        "version": VERSIONS[-1],
        "status": "success",
        "eval": {"task": "t", "model": "m", "config": {}},
        "samples": samples,
    }
    path = tmp_path / "log.json"
    path.write_text(json.dumps({**log, **changes}))
    return path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), (0.25, 0.25), ("0.5", 0.5), ("yes", 1.0),
        (None, None), (float("nan"), None), ("B", None),
    ],
)  # fmt: skip
def test_values_of_inspect(tmp_path: Path, value: Any, expected: float | None):
    path = inspect_json(tmp_path, [{"id": 1, "epoch": 1, "input": "?", "scores": {"s": {"value": value}}}])
    (sample,) = open_log(str(path)).samples
    assert sample.scores == {"s": expected}
    if value == "B":
        assert "'B' is no number" in sample.why


def test_ids_that_are_places_are_told_apart_by_their_input(tmp_path: Path):
    """Another data set under the same numbers is no pair."""
    (tmp_path / "a").mkdir()
    one = open_log(
        str(inspect_json(tmp_path, [{"id": 1, "epoch": 1, "input": "1 + 1?", "scores": {"s": {"value": 1}}}]))
    )
    other = open_log(
        str(inspect_json(tmp_path / "a", [{"id": 1, "epoch": 1, "input": "2 + 2?", "scores": {"s": {"value": 1}}}]))
    )
    with pytest.raises(DataError, match="no task is in both"):
        compare_logs(one, other)
    messages = [[{"id": name, "role": "user", "content": "hi"}] for name in ("aaa", "bbb")]
    logs = [
        open_log(str(inspect_json(tmp_path, [{"id": 1, "epoch": 1, "input": said, "scores": {"s": {"value": 1}}}])))
        for said in messages
    ]
    assert logs[0].samples[0].task == logs[1].samples[0].task


def test_an_unknown_version_and_what_is_no_log(tmp_path: Path):
    with pytest.raises(DataError, match=r"a log of version 99 of inspect-ai; versions 1 and 2 are known"):
        open_log(str(inspect_json(tmp_path, [], version=99)))
    (tmp_path / "not.eval").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not JSON that can be read"):
        open_log(str(tmp_path / "not.eval"))
    with zipfile.ZipFile(tmp_path / "other.eval", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"neither header\.json nor"):
        open_log(str(tmp_path / "other.eval"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no evaluation"):
        open_log(str(tmp_path / "empty"))


def test_an_unfinished_run_is_told(tmp_path: Path):
    path = inspect_json(tmp_path, [{"id": 1, "epoch": 1, "input": "?", "scores": {}}], status="cancelled")
    assert "did not end well (cancelled)" in open_log(str(path)).notes[0]


def test_a_bomb_is_not_unpacked(tmp_path: Path, zstandard: None):
    """A member that says it has 10 bytes, and would have a hundred million."""
    import zstandard as package  # pyright: ignore[reportMissingImports]

    content = package.ZstdCompressor().compress(b"0" * 100_000_000)
    plain = tmp_path / "log.eval"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("header.json", content)
    data = bytearray(plain.read_bytes())
    for signature, method, size in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        place = data.index(signature)
        data[place + method : place + method + 2] = ZSTANDARD.to_bytes(2, "little")
        data[place + size : place + size + 4] = (10).to_bytes(4, "little")
    plain.write_bytes(bytes(data))
    with pytest.raises(DataError, match="is damaged"):
        open_log(str(plain))


def lm_eval_row(**changes: Any) -> dict[str, Any]:
    row = {"doc_id": 0, "doc": {}, "target": "1", "resps": [["-1.5", "False"]], "filtered_resps": [["-1.5", "False"]]}
    return {**row, "filter": "none", "metrics": ["acc"], "doc_hash": "abcdefgh", "acc": 1.0, **changes}


def write(path: Path, *rows: Mapping[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_log_likelihoods_as_text_are_no_scores(tmp_path: Path):
    log = open_log(write(tmp_path / "s.jsonl", lm_eval_row()))
    assert log.samples[0].scores == {"acc,none": 1.0}
    parts = lm_eval_row(metrics=["acc", "word_perplexity"], word_perplexity=[-3.2, 5])
    log = open_log(write(tmp_path / "p.jsonl", parts))
    assert log.samples[0].scores == {"acc,none": 1.0}
    assert log.notes == ("word_perplexity,none is no score of a single document, and left out",)


def test_a_row_for_each_document_and_filter_is_one_sample(tmp_path: Path):
    """Two documents under two filters, as --log_samples writes them: four rows are two samples in two measures."""
    values = {"strict-match": (0.0, 1.0), "flexible-extract": (1.0, 1.0)}
    rows = [
        lm_eval_row(doc_id=doc, doc_hash=f"hash{doc}", filter=name, metrics=["exact_match"], exact_match=value)
        for name, of_docs in values.items()
        for doc, value in enumerate(of_docs)
    ]
    log = open_log(write(tmp_path / "samples_gsm8k_2026-11-30T10-00-00.123456.jsonl", *rows))
    assert log.benchmarks == ("gsm8k",)
    assert [sample.scores for sample in log.samples] == [
        {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 1.0},
        {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 1.0},
    ]
    found, _ = compare_logs(log, log, ["exact_match,strict-match"])
    assert [(each.measure, each.difference.num_tasks) for each in found] == [("exact_match,strict-match", 2)]


def test_documents_that_changed_under_their_number_are_no_pair(tmp_path: Path):
    one = open_log(write(tmp_path / "s.jsonl", lm_eval_row()))
    (tmp_path / "b").mkdir()
    other = open_log(write(tmp_path / "b" / "s.jsonl", lm_eval_row(doc_hash="12345678")))
    with pytest.raises(DataError, match="no task is in both"):
        compare_logs(one, other)


def test_two_runs_in_one_place_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="twice; are there two runs in it"):
        open_log(write(tmp_path / "s.jsonl", lm_eval_row(), lm_eval_row()))
    for date in ("2026-01-01T00-00-00.0", "2026-01-02T00-00-00.0"):
        write(tmp_path / f"samples_words_{date}.jsonl", lm_eval_row())
    with pytest.raises(DataError, match="has two runs of words"):
        open_log(str(tmp_path))


def test_tables(tmp_path: Path):
    """Task a: 1/2 to 1; b is only before, c only after; d is not measured before."""
    before = write(
        tmp_path / "b.jsonl",
        {"q": "a", "ok": 1},
        {"q": "a", "ok": 0},
        {"q": "b", "ok": 1},
        {"q": "d", "ok": None},
        {"q": 7, "ok": 1},
    )
    after = write(
        tmp_path / "a.jsonl", {"q": "7", "ok": True}, {"q": "d", "ok": 1}, {"q": "c", "ok": 0}, {"q": "a", "ok": 1}
    )
    columns = TableColumns("q", ("ok",))
    ((one,), _) = compare_logs(open_log(before, columns), open_log(after, columns))
    assert one.difference.num_tasks == 2, "a and 7, whether written as a number or as text"
    assert one.difference.value == pytest.approx(0.25)
    assert (one.before.only_here, one.after.only_here) == (1, 1)
    assert one.before.num_not_measured == 1


def test_tables_that_cannot_be_read(tmp_path: Path):
    path = write(tmp_path / "t.jsonl", {"q": "a", "ok": "maybe"}, {"ok": 1})
    with pytest.raises(DataError, match=r"is no log of inspect-ai .*--task COLUMN --score COLUMN.*'q', 'ok'"):
        open_log(path)
    with pytest.raises(DataError, match=r"line 1: 'ok' is 'maybe'; expected a number"):
        open_log(path, TableColumns("q", ("ok",)))
    with pytest.raises(DataError, match=r"no value in a column 'id'; it has 'q', 'ok'"):
        open_log(path, TableColumns("id", ("ok",)))
    path = write(tmp_path / "u.jsonl", {"q": "a", "ok": 1}, {"ok": 1})
    with pytest.raises(DataError, match="line 2 names no task in 'q'"):
        open_log(path, TableColumns("q", ("ok",)))


def test_scores_beyond_one_have_students_interval(tmp_path: Path):
    before = open_log(
        write(tmp_path / "b.jsonl", *({"q": n, "elo": 1000 + n} for n in range(5))), TableColumns("q", ("elo",))
    )
    after = open_log(
        write(tmp_path / "a.jsonl", *({"q": n, "elo": 1010 + 2 * n} for n in range(5))), TableColumns("q", ("elo",))
    )
    ((one,), _) = compare_logs(before, after)
    assert one.difference.value == pytest.approx(12.0)
    assert one.difference.low > 9


def test_the_noise_floor_beside_a_small_gain(tmp_path: Path):
    """Twenty tasks with one of two samples solved on both sides: nothing changed, and the floor is wide."""
    rows = [{"q": n, "ok": sample} for n in range(20) for sample in (0, 1)]
    logs = [open_log(write(tmp_path / f"{name}.jsonl", *rows), TableColumns("q", ("ok",))) for name in "ab"]
    ((one,), _) = compare_logs(*logs)
    assert one.noise_floor == pytest.approx(1.959964 * (20 * 0.5) ** 0.5 / 20)
