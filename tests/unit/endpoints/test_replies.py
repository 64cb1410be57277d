from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from assay.endpoints import Replies, Reply
from assay.errors import RunFolderError

URL = "http://localhost/v1"
BODY = {"model": "m", "messages": [{"role": "user", "content": "2 + 5?"}], "max_tokens": 20}
REPLY = Reply("7 \ud800\x00", "length", "refusal", 3, 4)


def test_keeps_what_it_is_given(tmp_path: Path):
    path = tmp_path / "new" / "replies.sqlite"
    kept = Replies(path)
    kept.put("a", {"x": "\ud800"}, REPLY, URL)
    kept.put("b", BODY, Reply("8"), URL)
    kept.close()
    again = Replies(path)
    assert (again.get("a"), again.get("b"), again.get("c")) == (REPLY, Reply("8"), None)
    assert (len(again), again.tokens(URL, "")) == (2, (3, 4))


def test_two_processes_and_threads_may_share_it(tmp_path: Path):
    one, other = Replies(tmp_path / "r"), Replies(tmp_path / "r")
    threads = [threading.Thread(target=lambda i=i: (one, other)[i % 2].put(str(i), {}, REPLY, URL)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(one) == len(other) == 20


def test_a_row_that_cannot_be_read_is_asked_for_again(tmp_path: Path):
    kept = Replies(tmp_path / "r")
    kept.put("a", {}, REPLY, URL)
    with sqlite3.connect(tmp_path / "r") as connection:
        connection.execute("UPDATE replies SET reply = '{\"other\": 1}'")
    assert kept.get("a") is None


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "r").write_bytes(b"something else entirely, longer than a header" * 10)
    with pytest.raises(RunFolderError, match="name another file"):
        Replies(tmp_path / "r")


def test_tokens_are_those_of_one_model_at_one_server(tmp_path: Path):
    kept = Replies(tmp_path / "r")
    kept.put("a", BODY, Reply("7", input_tokens=3, output_tokens=4), URL)
    kept.put("b", {**BODY, "model": "other"}, Reply("7", input_tokens=30, output_tokens=40), URL)
    kept.put("c", BODY, Reply("7", input_tokens=300, output_tokens=400), "http://elsewhere/v1")
    assert kept.tokens(URL, "m") == (3, 4)
    assert kept.unknown_tokens(URL, "m") == (0, 0)
    kept.put("d", BODY, Reply("7", input_tokens=5), URL)
    kept.put_failed(URL, BODY)
    kept.put_failed(URL, {**BODY, "model": "other"})
    assert kept.tokens(URL, "m") == (3, 4)
    assert kept.unknown_tokens(URL, "m") == (2 * (6 + 16), 2 * 20), "six bytes, 16 for their form; twice"


def test_a_file_of_an_earlier_version_goes_on(tmp_path: Path):
    with sqlite3.connect(tmp_path / "r") as connection:
        connection.execute(
            "CREATE TABLE replies (key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, "
            "input_tokens INTEGER, output_tokens INTEGER) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO replies VALUES ('a', '{}', '{\"text\": \"7\"}', 1, 2)")
    kept = Replies(tmp_path / "r")
    kept.put("b", BODY, REPLY, URL)
    assert (kept.get("a"), kept.get("b")) == (Reply("7"), REPLY)
    assert kept.tokens(URL, "m") == (1 + 3, 2 + 4), "whose the old row is, nobody knows: it counts"
