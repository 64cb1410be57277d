from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from assay.endpoints import Replies, Reply
from assay.errors import RunFolderError

REPLY = Reply("7 \ud800\x00", "length", "refusal", 3, 4)


def test_keeps_what_it_is_given(tmp_path: Path):
    path = tmp_path / "new" / "replies.sqlite"
    kept = Replies(path)
    kept.put("a", {"x": "\ud800"}, REPLY)
    kept.put("b", {}, Reply("8"))
    kept.close()
    again = Replies(path)
    assert (again.get("a"), again.get("b"), again.get("c")) == (REPLY, Reply("8"), None)
    assert (len(again), again.tokens()) == (2, (3, 4))


def test_two_processes_and_threads_may_share_it(tmp_path: Path):
    one, other = Replies(tmp_path / "r"), Replies(tmp_path / "r")
    threads = [threading.Thread(target=lambda i=i: (one, other)[i % 2].put(str(i), {}, REPLY)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(one) == len(other) == 20


def test_a_row_that_cannot_be_read_is_asked_for_again(tmp_path: Path):
    kept = Replies(tmp_path / "r")
    kept.put("a", {}, REPLY)
    with sqlite3.connect(tmp_path / "r") as connection:
        connection.execute("UPDATE replies SET reply = '{\"other\": 1}'")
    assert kept.get("a") is None


def test_another_kind_of_file_is_refused(tmp_path: Path):
    (tmp_path / "r").write_bytes(b"something else entirely, longer than a header" * 10)
    with pytest.raises(RunFolderError, match="name another file"):
        Replies(tmp_path / "r")
