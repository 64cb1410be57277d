"""Text of a model as HTML: what it may become, and that hostile text becomes text."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from assay.pages.safe_text import MAX_MARKDOWN, formula_html, plain_html, safe_html

ELEMENTS = {
    *("p", "br", "strong", "em", "s", "code", "pre", "span", "div", "ul", "ol", "li", "blockquote", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle", "msub", "msup"),
    *("msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mpadded", "menclose", "mphantom"),
}
ATTRIBUTES = {"class", "start", "style", "display", "stretchy", "fence", "form", "mathvariant", "displaystyle"}
HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&colon;alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](http://203.0.113.9/x 'onmouseover=alert(1)')",
    "![x](http://203.0.113.9/x.png)",
    '![x"onerror="alert(1)](http://203.0.113.9/x.png)',
    "<http://203.0.113.9>",
    "[a]: http://203.0.113.9\n\n[a]",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\text{<img src=x onerror=alert(1)>}$",
    r"$\style{background:url(http://203.0.113.9)}{x}$",
    r"$\class{q-btn}{x}$ \(\id{a}{b}\) \[\includegraphics{http://203.0.113.9/a}\]",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```" onload=alert(1)\nx\n```',
    "| a |\n|--|\n| <iframe src=//203.0.113.9> |",
    "\x1b]0;owned\x07 \u202egnp.exe \ud800",
    "{{ constructor.constructor('alert(1)')() }}",
)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_becomes_an_element_or_an_attribute(text: str) -> None:
    for rendered in (safe_html(text), plain_html(text)):
        parser = Elements()
        parser.feed(rendered)
        for tag, attributes in parser.found:
            assert tag in ELEMENTS
            assert set(attributes) <= ATTRIBUTES
            assert re.fullmatch(r"text-align:\w+", attributes.get("style") or "text-align:left")
            assert (attributes.get("class") or "plain-text") in ("plain-text", "not-loaded", "link-text")
        rendered.encode()


def test_markdown_and_formulas_are_shown() -> None:
    assert safe_html("**so**\nit is") == "<p><strong>so</strong><br />\nit is</p>\n"
    for text in (r"\(\frac12\)", r"$\frac{1}{2}$", r"$$\frac{1}{2}$$", r"\[\frac{1}{2}\]"):
        assert "<mfrac>" in safe_html(text)
    assert "<math" not in safe_html("from $5 to $6, or $ 7")
    assert "a &lt; b" in safe_html("a < b")
    assert "<td>1</td>" in safe_html("| a |\n|--|\n| 1 |")
    assert "click</span> (http://example.com)" in safe_html("[click](http://example.com)")


def test_what_is_no_formula_is_shown_as_it_was_written() -> None:
    assert formula_html(r"\frac{") == r"<code>\frac{</code>"
    assert formula_html("x" * 5000).startswith("<code>xxx")
    assert "&lt;" in formula_html("a<b")


@pytest.mark.parametrize("text", ["[" * MAX_MARKDOWN, "![" * 10000, "_a" * 10000, r"\(" * 10000, ">" * 500, "$" * 9999])
def test_text_that_is_made_to_take_long_does_not(text: str) -> None:
    began = time.process_time()
    safe_html(text)
    assert time.process_time() - began < 10


def test_long_text_is_bounded_and_says_so() -> None:
    assert "and 5 characters more, not shown" in plain_html("x" * 200_005)
    assert safe_html("**x**" * MAX_MARKDOWN).startswith('<div class="plain-text">**x')
