from __future__ import annotations

import json
import random

import numpy as np
import torch

from assay.training.random_state import random_state, set_random_state


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.random(), np.random.normal(), *torch.rand(3).tolist()]


def test_every_generator_goes_on_where_it_was():
    random.gauss(0, 1)
    np.random.normal()  # Both keep half of a pair: part of the state.
    state = json.loads(json.dumps(random_state()))
    expected = draw()
    assert draw() != expected
    set_random_state(state)
    assert draw() == expected
