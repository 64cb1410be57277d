"""The studio in a real browser, at two sizes of its window."""

from __future__ import annotations

import random
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assay.observe.store import RunStore
from browser import Served, served
from studio_runs import write_run, write_steps

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 420, "height": 800}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studio")
    write_run(path / "one")
    write_run(path / "two", seed=1, solved_after=0.1, alarm=False)
    write_run(path / "going")
    write_run(path / "deleted")
    return path


@pytest.fixture(scope="module")
def studio(folder: Path) -> Iterator[Served]:
    with served("studio", *(str(folder / name) for name in ("one", "two", "going", "deleted"))) as found:
        yield found


@contextmanager
def opened(browser: Browser, studio: Served, more: str, size: dict[str, int] = WIDE) -> Iterator[Page]:
    page = browser.new_page(viewport=size)  # pyright: ignore[reportArgumentType]
    page.set_default_timeout(90_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(address(studio, more))
        yield page
        assert page.title() == "Assay studio"
        assert all(url.startswith("http://127.0.0.1:") for url in asked if url.startswith("http"))
    finally:
        page.close()


def address(studio: Served, more: str) -> str:
    return studio.address("studio").partition("&runs=")[0] + f"&{more}"


def test_curves_with_bands_and_alarms_and_pictures_to_keep(browser: Browser, studio: Served) -> None:
    with opened(browser, studio, "runs=one,two") as page:
        page.get_by_role("region", name="Mean reward").locator("canvas").wait_for()
        page.get_by_role("region", name="Solved share by level").locator("canvas").wait_for()
        page.get_by_role("region", name="Policy entropy").locator("canvas").wait_for()
        assert "one: 6 steps, finished; two: 6 steps, finished" in page.inner_text("body")
        alarm = page.locator("a", has_text="alarm at step 3")
        alarm.wait_for()
        picture = page.get_by_role("region", name="Mean reward").get_by_role("link", name="save SVG")
        with urllib.request.urlopen(address(studio, "").partition("/?")[0] + str(picture.get_attribute("href"))) as svg:
            assert b"<svg" in svg.read()
        alarm.click()
        page.get_by_text("1 to 4 of 4 rollouts").wait_for()
        assert "first_step=2&last_step=2" in page.url


def test_rollouts_by_keyboard_in_a_narrow_window(browser: Browser, studio: Served) -> None:
    with opened(browser, studio, "runs=one&view=rollouts&verdict=failed", NARROW) as page:
        page.locator("tbody tr").nth(2).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 420
        page.keyboard.press("/")
        page.keyboard.type("script>")
        page.keyboard.press("Enter")
        page.get_by_text("1 to 1 of 1 rollouts").wait_for()
        assert "text=script" in page.url
        page.keyboard.press("Enter")
        page.get_by_text("gold answer").wait_for()
    with opened(browser, studio, "runs=one&view=rollouts", NARROW) as page:
        page.locator("tbody tr").nth(3).wait_for()
        page.keyboard.press("j")
        page.locator("tbody tr.selected").filter(has_text="1, 0, 1").wait_for()
        page.keyboard.press("Enter")
        page.get_by_role("region", name="turn 2").wait_for()
        shown = page.inner_text("body")
        for part in ('look(at="door")', "tool look", "it is open", "state s0", "gold answer"):
            assert part in shown
        page.keyboard.press("n")
        page.wait_for_url("**place=0.1.0*")
        page.get_by_text("c3 h1").wait_for()
        page.keyboard.press("b")
        page.get_by_text("1 to 24 of 24 rollouts").wait_for()


def test_a_long_list_by_keyboard(browser: Browser, studio: Served) -> None:
    with opened(browser, studio, "runs=one&view=rollouts", NARROW) as page:
        rows = page.locator("tbody tr")
        rows.nth(23).wait_for()
        response = rows.first.locator("td").last.bounding_box()
        assert response is not None
        assert response["x"] + response["width"] <= 420
        below = rows.nth(1).locator("td").first.bounding_box()
        assert below is not None
        assert response["y"] + response["height"] <= below["y"]
        assert "reward" in page.evaluate(
            "getComputedStyle(document.querySelector('td:nth-child(4)'), '::before').content"
        )
        for _ in range(23):
            page.keyboard.press("j")
        page.locator("tbody tr:nth-child(24).selected").wait_for()
        page.wait_for_function("document.querySelector('tr.selected').getBoundingClientRect().bottom <= innerHeight")
        page.get_by_label("step from").fill("2")
        page.keyboard.press("Escape")
        page.get_by_text("1 to 20 of 20 rollouts").wait_for()
        page.get_by_role("link", name="Curves (1)").focus()
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Mean reward").wait_for()
        page.wait_for_timeout(300)
        assert "place=" not in page.url


def test_a_hostile_rollout_is_text_and_its_tokens_come_on_demand(browser: Browser, studio: Served) -> None:
    with opened(browser, studio, "runs=one&view=rollouts&place=0.0.0") as page:
        page.get_by_role("region", name="Response").wait_for()
        assert page.locator(".tokens").count() == 0
        page.keyboard.press("l")
        page.locator(".tokens .masked").first.wait_for()
        assert "no tokenizer at hand" in page.inner_text("body")
        page.locator("summary").click()
        page.locator(".numbers tr").nth(5).wait_for()
        assert page.locator("img, .text script, .tokens script, .text a").count() == 0
        assert "<script>" in page.inner_text("body")


def test_before_and_after_and_runs_in_pairs_and_results(browser: Browser, studio: Served) -> None:
    with opened(browser, studio, "runs=one,two&view=before") as page:
        page.get_by_role("region", name="Before").wait_for()
        before, after = (page.get_by_role("region", name=name).bounding_box() for name in ("Before", "After"))
        assert before is not None
        assert after is not None
        assert before["y"] == after["y"]
        assert page.locator("img").count() == 0
        page.keyboard.press("n")
        page.get_by_text("task 2 of 8").wait_for()
        page.keyboard.press("4")
        page.get_by_text("two less one").wait_for()
        page.locator("td", has_text="greedy").wait_for()
        page.keyboard.press("5")
        page.get_by_text("summary.json").wait_for()
        page.keyboard.press("6")
        page.locator("section.box, :text('nothing is wrong')").first.wait_for()
        page.keyboard.press("0")
        page.get_by_role("link", name="going").wait_for()
        assert page.locator(".q-checkbox").count() == 4


def test_a_run_that_goes_on_moves_the_page(browser: Browser, studio: Served, folder: Path) -> None:
    with opened(browser, studio, "runs=going") as page:
        page.get_by_text("going: 6 steps").wait_for()
        with RunStore(folder / "going") as store:
            write_steps(store, range(6, 9), random.Random(0))
        page.get_by_text("going: 9 steps").wait_for()


def test_a_run_that_is_deleted_while_its_page_is_open_is_said_to_be(
    browser: Browser, studio: Served, folder: Path
) -> None:
    with opened(browser, studio, "runs=deleted") as page:
        page.get_by_role("region", name="Policy entropy").wait_for()
        shutil.rmtree(folder / "deleted")
        page.get_by_role("alert").filter(has_text="is gone").wait_for()
        for view in "23456":
            page.keyboard.press(view)
            page.locator("a.here", has_text=f"({view})").wait_for()
            told = page.get_by_text("is gone").or_(page.get_by_text("choose two")).or_(page.get_by_text("no result of"))
            told.first.wait_for()
    with opened(browser, studio, "runs=nothing,one") as page:
        page.get_by_text("there is no run nothing").wait_for()
        page.get_by_role("region", name="Mean reward").wait_for()


def test_nobody_comes_in_without_the_token(studio: Served) -> None:
    for path in ("?key=x", "", "picture?key=x&runs=one&curve=reward"):
        wrong = studio.address("studio").partition("?")[0] + path
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(wrong)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(studio.address("studio").replace("/?", "/picture?curve=nothing&"))
