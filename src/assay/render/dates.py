"""Chat templates with their clock stopped, so that a prompt is the same today and when a run is resumed tomorrow."""

from __future__ import annotations

import datetime
import json

TEMPLATE_DATE = datetime.datetime(2024, 7, 26)
"""The day it always is inside a chat template; the default of Llama 3's own templates."""

_DIRECTIVES = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZf%"
_FLAGS = ("", "-", "_", "0", "^", "#")
_MACRO = (
    "{% macro strftime_now(format) %}{% set found = namespace(open='') %}{% for character in format %}"
    "{% if found.open %}{% set directive = found.open + character %}"
    "{% if directive in DATES %}{{ DATES[directive] }}{% set found.open = '' %}"
    "{% elif directive in FLAGGED %}{% set found.open = directive %}"
    "{% else %}{{ raise_exception('strftime_now(' + format + '): the directive ' + directive + ' is not known') }}"
    "{% endif %}"
    "{% elif character == '%' %}{% set found.open = '%' %}{% else %}{{ character }}{% endif %}"
    "{% endfor %}{{ found.open }}{% endmacro %}"
)
"""strftime in Jinja, because templates are given plain data only, no functions."""


def with_fixed_date(template: str) -> str:
    """The template with `strftime_now` telling `TEMPLATE_DATE` in any format of strftime, with its flags.

    A directive that nobody knows is an error of the template's. Widths ("%10Y") are not known.
    """
    if "strftime_now" not in template:
        return template
    dates = {f"%{flag}{directive}": _text(flag, directive) for directive in _DIRECTIVES for flag in _FLAGS}
    flagged = [f"%{flag}" for flag in _FLAGS if flag]
    macro = _MACRO.replace("DATES", json.dumps(dates, sort_keys=True)).replace("FLAGGED", json.dumps(flagged))
    # The empty expression at its end keeps Jinja from trimming the template's first line break.
    return f"{macro}{{{{ '' }}}}{template}"


def _text(flag: str, directive: str) -> str:
    if directive == "s":
        # Seconds since 1970, wherever this machine stands.
        return str(int(TEMPLATE_DATE.replace(tzinfo=datetime.UTC).timestamp()))
    if directive == "f":
        return "000000"
    return TEMPLATE_DATE.strftime(f"%{flag}{directive}")
