from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import assay.estimators

MODULES = [f"assay.estimators.{module.name}" for module in pkgutil.iter_modules(assay.estimators.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch})
    assert results.attempted, "every module here shows at least one example"
    assert results.failed == 0
