from __future__ import annotations

import os

import pytest

from assay.launch import beyond_context, default_threads


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("1", 1), (" 2 ", 2), ("4,2", 4)])
def test_a_run_has_the_threads_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads() == expected


@pytest.mark.parametrize("given", [None, "", "0", "-1", "many", "1.5"])
def test_a_run_has_a_thread_a_core_where_the_environment_names_none(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "is_beyond"), [(1, False), (64, False), (511, False), (512, True), (513, True), (32768, True)]
)
def test_a_limit_that_no_response_can_reach_is_said(limit: int, is_beyond: bool) -> None:
    said = beyond_context({"sampling.max_new_tokens": limit, "evaluation.test_max_new_tokens": 0}, 512)
    assert len(said) == is_beyond
    assert all(f"sampling.max_new_tokens={limit} " in caution and "512 tokens" in caution for caution in said)
