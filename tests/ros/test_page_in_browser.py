"""What only a browser can do: measure the age of the verdict it shows. No graph behind it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import mujoco
import pytest

from sim.pouring.cell_model import guard_model_xml
from sim.pouring.gen3 import GEN3
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.operator import page_access
from spillguard_ros.operator.page_client import ClientPage
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.operator.page_html import Reading
from spillguard_ros.operator.page_limits import Guesses
from spillguard_ros.operator.page_scene import CellKinematics, Sight, parts
from spillguard_ros.operator.page_server import PageServer
from tests.ros.browser import MISSING, OperatorBrowser, chromium, find_chromium, free_port

NOTHING: list[Reading] = []
STATUS = {"verdict": "PASS", "reason": "OK", "q_c": "0.02", "margin_critic": "0.12"}


class Drawn:
    """A page that draws on demand, for any moment."""

    def __init__(self, folder: Path, executable: str) -> None:
        model = mujoco.MjModel.from_xml_string(guard_model_xml())
        self.cell, self.feed = CellKinematics(model, GEN3, POURING), Feed(started=time.monotonic())
        self.token, self.folder, self.executable, self.port = (
            page_access.new_token(),
            folder,
            executable,
            free_port(),
        )
        token, cell = page_access.Token(self.token), (parts(model), self.cell)
        access = page_access.Access(token, Guesses(), lambda _: None)
        self.server = PageServer(
            "127.0.0.1", self.port,
            lambda client, address: ClientPage(client, address, access, lambda *_: None, cell,
                                               looking_is_free=True),
        )  # fmt: skip

    def draw(self, seconds: float, behind: float = 0.0) -> None:
        """Draw ten times a second, with data that is `behind` [s] old."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = time.monotonic() - behind
            self.feed.note("joint_states", now)
            self.feed.status(STATUS, "PASS: ok", now, time.time())
            poses = self.cell.poses(None, None, Sight.NEVER, Sight.NEVER)
            for page in self.server.pages().values():
                page.draw(self.feed, NOTHING, poses, now)
            time.sleep(0.1)


@pytest.fixture
def drawn(tmp_path: Path) -> Iterator[Drawn]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("SPILLGUARD_REQUIRE_BROWSER"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    made = Drawn(tmp_path, executable)
    yield made
    made.server.stop()


def late(window: OperatorBrowser) -> bool:
    """Whether the page says, and shows, that it is behind."""
    told = window.page.locator(".sg-age").inner_text()
    faded = str(window.page.evaluate("getComputedStyle(document.querySelector('.sg-drawn')).opacity")) != "1"
    assert faded == told.startswith("LATE"), told
    return faded


def until(drawn: Drawn, window: OperatorBrowser, wanted: bool, behind: float = 0.0) -> None:
    """Draw until the page says so."""
    deadline = time.monotonic() + 60.0
    while late(window) is not wanted:
        assert time.monotonic() < deadline, window.page.locator(".sg-age").inner_text()
        drawn.draw(0.3, behind)


def test_a_browser_that_is_behind_or_cut_off_says_how_old_its_verdict_is(drawn: Drawn) -> None:
    with chromium(drawn.executable, drawn.folder) as browser:
        window = OperatorBrowser(browser, drawn.port)
        drawn.draw(1.0)
        window.see_in_banner("verdict")
        until(drawn, window, wanted=False)
        time.sleep(3.0)  # nothing comes
        window.page.locator("body.sg-late").wait_for()
        first = window.page.locator(".sg-age").inner_text()
        assert first.startswith("LATE: what you see is ")
        time.sleep(2.0)
        age = [
            float(text.split(" is ")[1].split()[0])
            for text in (first, window.page.locator(".sg-age").inner_text())
        ]
        assert age[0] > 1.0 and age[1] > age[0] + 1.0  # it counts by itself
        if picture := os.environ.get("SPILLGUARD_PICTURE"):
            window.page.screenshot(path=picture)
        until(drawn, window, wanted=False)  # updates arrive again
        until(drawn, window, wanted=True, behind=30.0)  # they arrive, but thirty seconds late
        assert float(window.page.locator(".sg-age").inner_text().split(" is ")[1].split()[0]) > 25.0
