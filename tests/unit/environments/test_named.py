"""Environments by name and settings, as text and as tables."""

from __future__ import annotations

from typing import Any

import pytest

from assay.environments.arithmetic import Arithmetic
from assay.environments.chain import Chain
from assay.environments.named import NamedEnvironment, named_environment
from assay.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "environment", "level", "filed_as"),
    [
        ("arithmetic", Arithmetic(), (None, None), "arithmetic"),
        ("arithmetic:level=2", Arithmetic(), (2, None), "arithmetic-c2"),
        ("arithmetic:complexity=2:horizon=4", Arithmetic(), (2, 4), "arithmetic-c2-h4"),
        (
            "arithmetic:example=true:instruction=",
            Arithmetic(example=True, instruction=""),
            (None, None),
            "arithmetic-example-no-instruction",
        ),
        ("chain:form=single:horizon=4", Chain(form="single"), (None, 4), "chain-h4-form-single"),
        ({"name": "chain", "form": "single", "level": {"horizon": 2}}, Chain(form="single"), (None, 2), "chain"),
        ({"name": "chain", "label": "keep"}, Chain(), (None, None), "keep"),
    ],
)
def test_texts_and_tables(written: Any, environment: Any, level: Any, filed_as: str) -> None:
    found = named_environment(written)
    assert (found.environment, found.level) == (environment, level)
    assert found.filed_as == filed_as
    assert named_environment(found.plain()) == found


def test_a_label_of_the_caller_comes_first() -> None:
    assert named_environment("arithmetic:level=2", label="sums").filed_as == "sums"
    one, other = named_environment("arithmetic:level=2", label="sums"), named_environment("arithmetic:complexity=2")
    assert one != other
    assert one.same_tasks() == other.same_tasks()
    assert isinstance(one, NamedEnvironment)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("arithmetik", "arithmetic"),
        ("arithmetic:level=2:horizon", "names no environment"),
        (":level=2", "names no environment"),
        ("arithmetic:level=two", "complexity is a number, got 'two'"),
        ("arithmetic:level=2:complexity=3", "sets complexity twice"),
        ("arithmetic:levels=2", "levels"),
        ({"name": "chain", "level": 2}, "expected a table of dials"),
        (3, "no table with the name of an environment"),
    ],
)
def test_what_names_nothing(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        named_environment(written)
