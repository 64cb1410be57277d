"""A headless Chromium for tests of pages, and the command that serves them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "no Chromium on this machine; install it with: apt-get install -y chromium"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile; the test skips, with how to install it, where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(INSTALL)
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as started:
        # As root, as in a container, Chromium does not start with its own sandbox.
        browser = started.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=120_000
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Served:
    """A command that serves a page."""

    lines: list[str]
    process: subprocess.Popen[str]

    def address(self, of: str = "") -> str:
        """The address in the line that begins so."""
        return next(
            found.group() for line in self.lines if line.startswith(of) and (found := re.search(r"http\S+", line))
        )


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    """Run `assay` with these arguments until the test is done, once it has said where it serves."""
    command = [sys.executable, "-m", "assay.cli.main", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    served = Served([], process)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            served.lines.append(line.rstrip())
            if line.startswith("Ctrl-C"):
                ready.set()
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert ready.wait(120), served.lines
        assert process.poll() is None, served.lines
        yield served
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(20)
        assert process.stdout is not None
        process.stdout.close()
