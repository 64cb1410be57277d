"""The studio in a headless Chromium on one run of 100,000 rollouts: seconds until what was asked for is on the page.

    python benchmarks/studio_browser.py [--rollouts 100000] [--repeats 7] [--json FILE]

Asked by keyboard, but for the filter, which is a choice from a list; each time the process and the browser are warm.
Searched is for a text that no rollout has, so that every one is looked through.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from assay.observe.provenance import machine
from studio import GROUPS, MEMBERS, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def measure(page: Page, address: str) -> dict[str, float]:
    """Open curves, the list, pages and a rollout, filter and search; return the seconds that each took."""
    found: dict[str, float] = {}

    def take(what: str, ask: Callable[[], object], shown: Callable[[], object]) -> None:
        began = time.perf_counter()
        ask()
        shown()
        found[what] = time.perf_counter() - began

    def told(begins: str) -> Callable[[], object]:
        return page.get_by_text(re.compile(f"^{begins}")).wait_for

    curve = page.get_by_role("region", name="Mean reward").locator("canvas")
    rows = page.locator("tbody tr")
    take("curve", lambda: page.goto(address), curve.wait_for)
    take("list", lambda: page.goto(f"{address}&view=rollouts"), rows.nth(49).wait_for)
    take("row", lambda: page.keyboard.press("j"), page.locator("tbody tr:nth-child(2).selected").wait_for)
    take("page", lambda: page.keyboard.press("n"), told("51 to 100 of"))
    page.get_by_label("outcome").click()
    option = page.get_by_role("option", name="solved", exact=True)
    take("filter", option.click, told("1 to 50 of"))
    page.get_by_label("text (/)").fill("no such text")
    take("text", lambda: page.keyboard.press("Enter"), told("no such rollout"))
    page.goto(f"{address}&view=rollouts&offset=50000")
    rows.nth(49).wait_for()
    take("rollout", lambda: page.keyboard.press("Enter"), page.get_by_text("gold answer").wait_for)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        sys.exit(f"none of {', '.join(NAMES)} is on this machine; install it with: apt-get install -y chromium")
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        run.mkdir()
        write_run(run, Path(place) / "events", given.rollouts // (GROUPS * MEMBERS))
        command = [sys.executable, "-m", "assay.cli.main", "studio", str(run)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            address = next(filter(None, (re.search(r"http://127\S+", line) for line in process.stdout))).group()
            with sync_playwright() as started:
                browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                version, page = browser.version, browser.new_page(viewport={"width": 1280, "height": 800})
                measure(page, address)  # warms both
                repeats = [measure(page, address) for _ in range(given.repeats)]
                browser.close()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    for what in repeats[0]:
        values = [each[what] for each in repeats]
        print(f"{what:<8} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) s")
    if given.json is not None:
        kept = {"rollouts": given.rollouts, "machine": machine(), "chromium": version, "repeats": repeats}
        given.json.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
