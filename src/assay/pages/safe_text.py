"""Text that a model wrote, as HTML that can do nothing: markdown and formulas are shown, nothing runs or is fetched.

Markdown is parsed with its HTML switched off, links and pictures become text, formulas become MathML of a few known
elements without attributes that name an address. What cannot be rendered within its bounds is shown as it was written.
"""

from __future__ import annotations

import functools
import html
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from typing import Any

from assay.observe.visible import visible

MAX_CHARACTERS = 200_000
"""Characters of a text that are shown; the page says that there are more."""
MAX_MARKDOWN = 20_000
"""Characters up to which a text is rendered; a longer one is shown as it was written."""
MAX_FORMULA, MAX_FORMULAS = 2_000, 200
"""Characters of a formula, and formulas of a text, up to which they are rendered."""
MAX_NESTING = 20
"""Levels of lists and quotations in markdown."""
_MATHML = frozenset(
    re.findall(
        r"\w+",
        "math mrow mi mn mo mtext mspace ms mfrac msqrt mroot mstyle mpadded mphantom menclose msub msup msubsup "
        "munder mover munderover mmultiscripts mprescripts mtable mtr mtd",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\w+",
        "display mathvariant stretchy fence form separator accent accentunder linethickness displaystyle scriptlevel "
        "columnalign rowalign columnspacing rowspacing notation lspace rspace movablelimits minsize maxsize width "
        "height depth",
    )
)


def plain_html(text: str) -> str:
    """Return a text as it was written, as HTML: characters that control or reorder what is shown are spelt out."""
    shown = visible(text[:MAX_CHARACTERS].replace("\t", "    "))
    return f'<div class="plain-text">{html.escape(shown)}</div>{_more(text)}'


def safe_html(text: str) -> str:
    """Return markdown with formulas as HTML without scripts, event handlers, links, pictures or anything that is
    fetched. A text that is too long, or that the parser fails on, comes as `plain_html`.

    Example:
        >>> safe_html("**so** <script>alert(1)</script>")
        '<p><strong>so</strong> &lt;script&gt;alert(1)&lt;/script&gt;</p>\\n'
    """
    if len(text) > MAX_MARKDOWN:
        return plain_html(text)
    try:
        return _parser().render(visible(text.replace("\t", "    ")), {})
    except Exception:
        # Model output: whatever it does to a parser, a person still sees what was written.
        return plain_html(text)


def _more(text: str) -> str:
    left = len(text) - MAX_CHARACTERS
    return f"<p><em>and {left:,} characters more, not shown</em></p>" if left > 0 else ""


@functools.cache
def _parser() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.texmath import texmath_plugin

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"])
    # No form of HTML is known at all, and references could hide what a link says.
    parser.disable(["html_block", "html_inline", "reference", "autolink"])
    parser.use(dollarmath_plugin, allow_digits=False, allow_space=False, double_inline=True)
    parser.use(texmath_plugin, delimiters="brackets")
    for rule, block in (("math_inline", False), ("math_inline_double", True), ("math_block", True)):
        parser.add_render_rule(rule, _formula_rule(block))
    parser.add_render_rule("image", _picture)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("link_close", _link_close)
    parser.add_render_rule("fence", _code)
    return parser


def _picture(renderer: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
    return f'<span class="not-loaded">[picture, not loaded: {html.escape(tokens[number].content)}]</span>'


def _link_open(renderer: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
    env.setdefault("links", []).append(str(tokens[number].attrGet("href") or ""))
    return '<span class="link-text">'


def _link_close(renderer: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
    address = env["links"].pop() if env.get("links") else ""
    return f"</span> ({html.escape(address)})"


def _code(renderer: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
    return f"<pre><code>{html.escape(tokens[number].content)}</code></pre>\n"


def _formula_rule(block: bool) -> Callable[..., str]:
    def render(renderer: Any, tokens: Sequence[Any], number: int, options: Any, env: Any) -> str:
        env["formulas"] = env.get("formulas", 0) + 1
        within = env["formulas"] <= MAX_FORMULAS
        return formula_html(tokens[number].content, block) if within else _as_code(tokens[number].content)

    return render


def formula_html(formula: str, block: bool = False) -> str:
    """Return a formula in LaTeX as MathML, which browsers draw without a library; as it was written where it cannot be
    read or is too long."""
    from latex2mathml.converter import convert_to_element

    if len(formula) > MAX_FORMULA:
        return _as_code(formula)
    try:
        given = convert_to_element(formula, display="block" if block else "inline")
        drawn = _only_known(given)
        return ElementTree.tostring(drawn, encoding="unicode", short_empty_elements=False)
    except Exception:
        # The converter raises errors of many kinds on what is no formula, RecursionError among them.
        return _as_code(formula)


def _as_code(formula: str) -> str:
    return f"<code>{html.escape(formula)}</code>"


def _only_known(given: ElementTree.Element) -> ElementTree.Element:
    """A copy with known elements and attributes only: LaTeX's own commands can set links and styles."""
    name = given.tag.rpartition("}")[2]
    kept = ElementTree.Element(name if name in _MATHML else "mrow")
    kept.text = html.unescape(given.text) if given.text else None
    for attribute, value in given.attrib.items():
        if attribute in _ATTRIBUTES:
            kept.set(attribute, value)
    for child in given:
        kept.append(_only_known(child))
    return kept
