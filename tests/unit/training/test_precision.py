"""The compute dtype follows measured speed, which is kept for the machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from assay.errors import ConfigError
from assay.training import choose_dtype, precision
from assay.training.contention import Shared
from assay.training.precision import TRAINED_ROWS, faster, kept_speeds, machine_key, product_speeds

QUIET, BUSY = Shared(0.0, 0.0), Shared(0.6, 200.0)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was timed; every dtype takes 1 s of 64 rows and 20 s of 2,048, bf16 half of it."""
    found: list[tuple[str, int]] = []

    def stub(names, rows, budget_seconds=1.0, max_repeats=12):
        found.extend((name, rows) for name in names)
        return {name: (0.5 if name == "bf16" else 1.0) * (20.0 if rows == TRAINED_ROWS else 1.0) for name in names}

    monkeypatch.setattr(precision, "_timed", stub)
    monkeypatch.setattr(precision.Contention, "look", lambda self: QUIET)
    return found


def test_auto_measures_both_within_seconds_and_goes_by_it() -> None:
    start = time.process_time()
    choice = choose_dtype(torch.device("cpu"))
    assert time.process_time() - start < 10.0
    assert choice.speedup is not None
    assert choice.dtype is (torch.bfloat16 if choice.speedup >= 1.2 else torch.float32)
    assert not choice.caution


def test_measured_once_a_machine(timed: list[tuple[str, int]], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choose_dtype("cpu")
    assert timed == [("fp32", 64), ("bf16", 64), ("fp32", 2048), ("bf16", 2048)]
    assert (choice.dtype, choice.speedup) == (torch.bfloat16, 2.0)
    assert choose_dtype("cpu") == choice
    assert len(timed) == 4, "the second time it was read"
    # Fewer instructions for the libraries: another machine.
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    choose_dtype("cpu")
    assert len(timed) == 8
    assert len(json.loads((home / "product-speeds.json").read_text())) == 2


def test_a_measurement_beside_others_is_not_kept(timed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision.Contention, "look", lambda self: BUSY)
    assert choose_dtype("cpu").speedup == 2.0
    assert kept_speeds() is None


@pytest.mark.parametrize("text", ["", "[1]", '{"KEY": 3}', '{"KEY": {"fp32": {"64": -1}, "bf16": {"64": 1}}}'])
def test_a_file_that_cannot_be_read_is_measured_anew(timed: list[tuple[str, int]], home: Path, text: str) -> None:
    (home / "product-speeds.json").write_text(text.replace("KEY", machine_key().replace('"', "")))
    assert choose_dtype("cpu").speedup == 2.0
    assert timed


def test_a_home_that_cannot_be_written_keeps_nothing(timed: list[tuple[str, int]], home: Path) -> None:
    (home / "product-speeds.json").mkdir()
    assert choose_dtype("cpu").speedup == 2.0


@pytest.mark.parametrize(
    ("few", "many", "dtype"),
    [
        ((1.2, 1.0), (12.0, 10.0), torch.bfloat16),
        ((1.19, 1.0), (11.9, 10.0), torch.float32),
        # Packed products of few rows may be faster where those of many are slower: what a token costs decides.
        ((2.0, 1.0), (20.0, 60.0), torch.float32),
        ((1.0, 1.5), (60.0, 20.0), torch.bfloat16),
    ],
)
def test_bf16_must_be_a_fifth_faster(few, many, dtype) -> None:
    choice = faster({name: {64: few[i], 2048: many[i]} for i, name in enumerate(("fp32", "bf16"))})
    assert choice.dtype is dtype
    assert choice.reason.startswith("bf16" if dtype is torch.bfloat16 else "fp32")


def test_many_rows_are_not_tried_where_few_were_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_timed = []

    def stub(names, rows, **options):
        rows_timed.append(rows)
        return {"fp32": 1.0, "bf16": 20.0}

    monkeypatch.setattr(precision, "_timed", stub)
    assert faster(product_speeds()).dtype is torch.float32
    assert rows_timed == [64]


@pytest.mark.parametrize(("requested", "times"), [("bf16", 22.0), ("fp16", 11.0)])
def test_a_slow_dtype_that_is_asked_for_is_taken_with_a_caution(requested, times, monkeypatch) -> None:
    monkeypatch.setattr(
        precision, "_timed", lambda names, *rest, **kw: {name: times if name == requested else 1.0 for name in names}
    )
    choice = choose_dtype("cpu", requested)
    assert choice.dtype is {"bf16": torch.bfloat16, "fp16": torch.float16}[requested]
    assert f"{requested} products take {times:.0f} times as long as fp32 ones" in choice.caution
    assert "model.compute_dtype='fp32'" in choice.caution
    assert not choose_dtype("cpu", "fp32").caution


def test_another_precision_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'fp8'"):
        choose_dtype("cpu", "fp8")  # pyright: ignore[reportArgumentType]


def test_measuring_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    choose_dtype("cpu")
    assert torch.equal(torch.rand(2), expected)
