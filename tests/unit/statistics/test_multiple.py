from __future__ import annotations

import numpy as np
import pytest

from assay.statistics import holm


def test_holm_by_hand():
    """Holm's step down of four: 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not be below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_one_false_discovery_in_twenty_families():
    generator = np.random.default_rng(0)
    found = sum(min(holm(generator.random(10).tolist())) < 0.05 for _ in range(1500)) / 1500
    assert 0.03 <= found <= 0.065


@pytest.mark.parametrize("values", [[-0.1], [1.1], [float("nan")]])
def test_rejects(values: list[float]):
    with pytest.raises(ValueError, match="outside"):
        holm(values)
