"""The page of `assay prefer collect` in a real browser, at two sizes of its window."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.preferences import Pair, read_preferences
from browser import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 420, "height": 800}
HOSTILE = """hello <script>document.title = 'owned'; fetch('http://203.0.113.9/script')</script>
<img src="http://203.0.113.9/a.png" onerror="document.title = 'owned'">
![picture](http://203.0.113.9/b.png) [link](javascript:document.title='owned')
<svg onload="document.title='owned'"></svg> <style>@import url(http://203.0.113.9/c.css);</style>
$\\href{javascript:document.title='owned'}{x}$ <a href="javascript:document.title='owned'">go</a>
<iframe src="http://203.0.113.9/d"></iframe> {{ constructor.constructor("document.title='owned'")() }}"""
MATHS = "It is **seven**, for $\\frac{14}{2} = 7$."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("collect")
    rows = [
        {"prompt": f"Question {number}?", "first": f"yes {number}", "second": f"no {number}"} for number in range(7)
    ]
    rows.append({"prompt": "Is it safe?", "first": HOSTILE, "second": MATHS})
    (path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def page_of_pairs(folder: Path) -> Iterator[Served]:
    names = ("keys", "tabs", "closes", "buttons", "hostile")
    given = [part for name in names for part in ("--annotator", name)]
    with served("prefer", "collect", str(folder / "pairs.jsonl"), "--repeats", "0", *given) as found:
        yield found


@contextmanager
def opened(browser: Browser, address: str, size: dict[str, int] = WIDE) -> Iterator[Page]:
    page = browser.new_page(viewport=size)  # pyright: ignore[reportArgumentType]
    page.set_default_timeout(90_000)
    try:
        page.goto(address)
        page.locator("#left").wait_for()
        yield page
    finally:
        page.close()


def press(page: Page, key: str, then: int) -> None:
    """Press a key when the pair has been there long enough to be judged; wait until so many are done."""
    page.wait_for_timeout(260)
    page.keyboard.press(key)
    page.locator(f'[data-done="{then}"]').wait_for()


def kept(folder: Path, annotator: str) -> list[Pair]:
    found = read_preferences(str(folder / "pairs.judged.jsonl")).pairs
    return [pair for pair in found if pair.annotator == annotator]


def test_by_keyboard(browser: Browser, folder: Path, page_of_pairs: Served) -> None:
    with opened(browser, page_of_pairs.address("keys")) as page:
        left, right = page.locator("#left"), page.locator("#right")
        assert left.bounding_box()["y"] == right.bounding_box()["y"]  # pyright: ignore[reportOptionalSubscript]
        shown = left.inner_text().removeprefix("Left").strip()
        press(page, "ArrowLeft", 1)
        press(page, "ArrowRight", 2)
        press(page, "t", 3)
        assert [pair.preference for pair in kept(folder, "keys")] == [0.0, 1.0, 0.5]
        first = kept(folder, "keys")[0]
        assert first.first[0].text == shown
        assert first.order_known
        assert first.seconds is not None
        page.keyboard.press("u")
        page.locator('[data-done="2"]').wait_for()
        assert len(kept(folder, "keys")) == 2
        press(page, "s", 3)
        assert len(kept(folder, "keys")) == 2
        page.keyboard.press("?")
        page.get_by_text("U: undo").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        page.get_by_text("agreement between annotators").wait_for()


def test_with_buttons_in_a_narrow_window(browser: Browser, folder: Path, page_of_pairs: Served) -> None:
    with opened(browser, page_of_pairs.address("buttons"), NARROW) as page:
        left, right = page.locator("#left").bounding_box(), page.locator("#right").bounding_box()
        assert left is not None
        assert right is not None
        assert left["y"] + left["height"] <= right["y"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        page.wait_for_timeout(260)
        page.get_by_role("button", name="Right is better").click()
        page.locator('[data-done="1"]').wait_for()
        assert [pair.preference for pair in kept(folder, "buttons")] == [1.0]


def test_two_tabs_on_one_pair_count_it_once(browser: Browser, folder: Path, page_of_pairs: Served) -> None:
    address = page_of_pairs.address("tabs")
    with opened(browser, address) as one, opened(browser, address) as other:
        assert one.locator("#pair").inner_text() == other.locator("#pair").inner_text()
        press(one, "ArrowLeft", 1)
        other.keyboard.press("ArrowRight")
        other.get_by_text("judged in another tab already").wait_for()
        other.locator('[data-done="1"]').wait_for()
        assert [pair.preference for pair in kept(folder, "tabs")] == [0.0]
        assert one.locator("#pair").inner_text() == other.locator("#pair").inner_text()


def test_a_page_that_is_closed_in_the_middle_goes_on(browser: Browser, folder: Path, page_of_pairs: Served) -> None:
    with opened(browser, page_of_pairs.address("closes")) as page:
        press(page, "ArrowLeft", 1)
        shown = page.locator("#pair").inner_text()
    with opened(browser, page_of_pairs.address("closes")) as page:
        assert page.locator("#pair").inner_text() == shown
        page.locator('[data-done="1"]').wait_for()
        assert len(kept(folder, "closes")) == 1


def test_nobody_comes_in_without_a_secret_or_by_another_name(page_of_pairs: Served) -> None:
    address = page_of_pairs.address("keys")
    for wrong in (address.partition("?")[0], f"{address[:-1]}", f"{address}x"):
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(wrong)
        assert b"needs the secret" in refused.value.read()
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(address, headers={"Host": "evil.example"}))
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_a_hostile_response_does_nothing(browser: Browser, folder: Path, page_of_pairs: Served) -> None:
    page = browser.new_page(viewport=WIDE)  # pyright: ignore[reportArgumentType]
    page.set_default_timeout(90_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(page_of_pairs.address("hostile"))
    page.locator("#left").wait_for()
    done = 0
    while "Is it safe?" not in page.locator("#prompt").inner_text():
        done += 1
        press(page, "s", done)
    page.locator("math").first.wait_for()
    for raw in (False, True):
        if raw:
            page.keyboard.press("r")
            page.locator("#left .plain-text").wait_for()
        for side in ("#left", "#right"):
            for name in ("script", "img", "svg", "iframe", "a", "style", "[onerror]", "[onload]", "[href]", "[src]"):
                assert page.locator(f"{side} {name}").count() == 0
    assert "<script>" in page.locator("#pair").inner_text()
    # A script that got through would have run by the time the next answer of the server comes.
    press(page, "ArrowLeft", done + 1)
    assert page.title() == "pairs.jsonl: compare"
    assert not dialogs
    assert all(url.startswith(page_of_pairs.address("hostile").partition("?")[0]) for url in asked if "://" in url)
    page.close()
    assert len(kept(folder, "hostile")) == 1
    shown = CliRunner().invoke(app, ["prefer", "stats", str(folder / "pairs.judged.jsonl")])
    assert "seconds for a judgement" in shown.output


def test_an_option_without_effect_and_a_file_without_pairs_are_errors(tmp_path: Path) -> None:
    (tmp_path / "same.jsonl").write_text('{"prompt": "p", "first": "a", "second": "a"}\n')
    found = CliRunner().invoke(app, ["prefer", "collect", str(tmp_path / "same.jsonl")])
    assert "holds no pair to judge" in str(found.exception)
    found = CliRunner().invoke(app, ["prefer", "collect", str(tmp_path / "same.jsonl"), "--pairs", "3"])
    assert "--pairs has no effect on a file" in str(found.exception)
