from __future__ import annotations

import asyncio

import pytest

from assay.domains import Arithmetic
from assay.envs import ENVS, check_env


@pytest.mark.parametrize("name", ENVS)
def test_every_environment_keeps_its_protocol(name: str) -> None:
    asyncio.run(check_env(ENVS[name], next(Arithmetic().tasks("train"))))
