"""A browser and everything behind the page it shows; both live as long as the module's tests.

No longer: the browser's event loop runs in this thread, where other tests start their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from integration_assets_tests.e2e.stack import Stack, standing

_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_DEBIAN = Path("/usr/bin/chromium")
SHOTS = Path(__file__).resolve().parents[2] / "test-artefacts"
"""Where each test leaves a picture of how its page looked at the end."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The sandbox and the webserver."""
    with standing(tmp_path_factory.mktemp("e2e")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or Playwright's own; under CI its absence is a failure, elsewhere a skip that says so."""
    with sync_playwright() as playwright:
        try:
            path = str(_DEBIAN) if _DEBIAN.exists() else None
            found = playwright.chromium.launch(executable_path=path, args=_QUIET)
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(
                f"no Chromium: apt-get install chromium, or playwright install chromium ({error.message.splitlines()[0]})"
            )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window of its own, photographed when the test ends."""
    window = browser.new_page(viewport={"width": 1500, "height": 1000})
    window.set_default_timeout(90_000)
    yield window
    SHOTS.mkdir(exist_ok=True)
    window.screenshot(path=SHOTS / f"{request.node.name}.png")
    window.close()
