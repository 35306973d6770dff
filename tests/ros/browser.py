"""A headless Chromium that views the operator page and presses its buttons."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL without a graphics card. Chromium's sandbox does not work for root, and it loads only our own page.
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
         "--ignore-gpu-blocklist", "--disable-dev-shm-usage")  # fmt: skip
PATIENCE = 120_000  # [ms] for software rendering on a busy machine
MISSING = (
    "no Chromium found: install one (Debian: apt-get install chromium; elsewhere: .venv/bin/playwright "
    "install chromium), or name it in SPILLGUARD_CHROMIUM"
)


def find_chromium() -> str | None:
    """The configured one, the system's, or playwright's own; None if there is none."""
    for name in (os.environ.get("SPILLGUARD_CHROMIUM"), *NAMES):
        if name and (found := shutil.which(name)):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def chromium(executable: str, folder: Path) -> Iterator[Browser]:
    """A low-priority browser that does not disturb the control loop. `folder` holds its start script."""
    polite = folder / "chromium"
    polite.write_text(f'#!/bin/sh\nexec nice -n 19 "{executable}" "$@"\n')
    polite.chmod(0o700)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(polite), args=list(FLAGS), timeout=2 * PATIENCE
        )
        yield browser
        browser.close()


class OperatorBrowser:
    """One window with the page, a client of its own. Small, because 3D in software is slow."""

    def __init__(self, browser: Browser, port: int, width: int = 1120, height: int = 800, scale: float = 0.5):
        context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.goto(f"http://127.0.0.1:{port}/")
        self.button("STOP").wait_for()

    def button(self, name: str) -> Locator:
        """A button by its text."""
        return self.page.get_by_role("button", name=name, exact=True)

    def enter(self, token: str) -> None:
        """Enter the token into its field in one step, like a paste."""
        field = self.page.locator("div:has(> .sg-token-next) + div input")
        field.fill(token)

    def see(self, text: str) -> None:
        """Wait until the page shows `text`."""
        self.page.get_by_text(text).first.wait_for()

    def see_in_banner(self, text: str) -> None:
        """Wait until the banner shows `text`; the history below it may show the same for the past."""
        self.page.locator(".sg-banner").filter(has_text=text).first.wait_for()

    @property
    def banner(self) -> str:
        """The page's text about monitor and arm."""
        return " | ".join(self.page.locator(".sg-banner").all_inner_texts())

    @property
    def note(self) -> str:
        """The page's text about the last button."""
        return self.page.locator(".sg-note").inner_text()

    def close_warnings(self) -> None:
        """Close viser's own notice about software rendering."""
        closing = self.page.locator("button.mantine-Notification-closeButton")
        while closing.count():
            closing.first.click()
            self.page.wait_for_timeout(500)
