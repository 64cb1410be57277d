"""A gateway over a scripted engine and the tiny model's tokenizer, asked over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.render import ChatRenderer, load_renderer
from gateway_service import Service


@pytest.fixture(scope="session")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


@pytest.fixture
def service(renderer: ChatRenderer) -> Service:
    return Service(renderer)
