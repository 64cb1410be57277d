from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from assay.errors import DataError
from assay.render import ChatRenderer
from assay.render.dates import TEMPLATE_DATE
from assay.types import Message

Show = Callable[[str], str]


@pytest.fixture
def show(tiny_model: Path) -> Show:
    """What a template's expression writes."""

    def shown(expression: str) -> str:
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.chat_template = f"{{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}[{expression}]"
        renderer = ChatRenderer(tokenizer)
        return renderer.decode(renderer.render([Message("user", "x")])).partition("[")[2].removesuffix("]")

    return shown


@pytest.mark.parametrize(
    "format",
    [
        "%d %b %Y", "%-d %B %y", "%Y-%m-%d", "%A, %B %-d, %Y", "%H:%M:%S", "%I:%M %p", "%-I %P", "%e", "%j", "%-j",
        "%F", "%D", "%T", "%R", "%c", "%x", "%X", "%U", "%W", "%u", "%w", "%V %G", "%C", "%h", "%k|%l", "%Z%z", "%%",
        "100%% %d", "%%d", "%^a %^B", "%_d %_m", "%#Z", "%n%t", "no directive", "", "%d%d", "{%d}", "é %d", "%",
        "replace('%m')", "\\\\%d", '"%d"',
    ],
)  # fmt: skip
def test_every_format_of_strftime_shows_the_fixed_day(show: Show, format: str) -> None:
    assert show(f"{{{{ strftime_now({json.dumps(format)}) }}}}") == TEMPLATE_DATE.strftime(format)


def test_the_day_does_not_depend_on_the_machine(show: Show) -> None:
    assert show("{{ strftime_now('%s') }}") == str(int(datetime.datetime(2024, 7, 26, tzinfo=datetime.UTC).timestamp()))
    assert show("{{ strftime_now('%f') }}") == "000000"


def test_a_format_that_the_template_makes_is_read_too(show: Show) -> None:
    assert show("{% set f = '%d' + '/%m' %}{{ strftime_now(f) }}") == "26/07"
    assert (
        show("{% if strftime_now is defined %}{% set d = strftime_now('%d %b') %}{{ d | upper }}{% endif %}")
        == "26 JUL"
    )
    assert show("{% macro day() %}{{ strftime_now('%A') }}{% endmacro %}{{ day() }}") == "Friday"


@pytest.mark.parametrize("format", ["%Q", "%10Y", "%Ey"])
def test_a_directive_that_is_not_known_is_named(show: Show, format: str) -> None:
    with pytest.raises(DataError, match=rf"strftime_now\({format}\): the directive .* is not known"):
        show(f"{{{{ strftime_now('{format}') }}}}")
