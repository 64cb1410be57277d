from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    ("name", "num_examples"),
    [
        ("proportion", 2),
        ("mean", 1),
        ("pass_at_k", 2),
        ("paired", 5),
        ("seeds", 6),
        ("bootstrap", 1),
        ("confidence_sequence", 2),
        ("firth", 2),
        ("majority", 1),
        ("multiple", 1),
        ("noise_floor", 1),
        ("permutation", 1),
        ("prediction_powered", 2),
        ("ratio", 1),
    ],
)
def test_examples_in_docstrings_hold(name: str, num_examples: int):
    failed, attempted = doctest.testmod(importlib.import_module(f"assay.statistics.{name}"))
    assert (failed, attempted) == (0, num_examples)
