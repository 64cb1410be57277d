from __future__ import annotations

import pytest

from assay.evaluation.map import MapCell
from simulated_learners import make_cells


@pytest.fixture
def cells() -> list[MapCell]:
    return make_cells("world", [1, 2], [1, 2, 4, 8], 63)
