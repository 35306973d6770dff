"""The operator page with real nodes and a real browser."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from spillguard_ros.node.convert import status_values
from tests.ros.browser import MISSING, OperatorBrowser, chromium, find_chromium, free_port
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import LATE, MOVED, PATIENCE, MakeStage, Stage

TOKEN = "only-for-this-test-0123"
NODES = ("sim_arm", "policy", "safety_monitor")


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def cell(make_stage: MakeStage, token_file: Path, port: int) -> Iterator[Stage]:
    with make_stage(*NODES) as stage:
        stage.start("operator_page", port=port, token_file=token_file)
        stage.until(
            lambda: "operator page" in stage.graph.log("operator_page").read_text(), PATIENCE, "a page"
        )
        yield stage


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("SPILLGUARD_REQUIRE_BROWSER"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with chromium(executable, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def window(cell: Stage, browser: Browser, port: int) -> Iterator[OperatorBrowser]:
    opened = OperatorBrowser(browser, port)
    yield opened
    opened.page.context.close()


def reason(stage: Stage) -> str:
    """Reason of the monitor's newest verdict."""
    return stage.news()["reason"]


def get_moving(stage: Stage) -> None:
    """Start every missing process and get the arm moving, whatever the previous test left."""
    witness = stage.witness
    for node in stage.graph.dead():
        stage.start(node)
    witness.heard.proposals.clear()
    stage.until(lambda: len(witness.heard.proposals) > 3, PATIENCE, "a proposal")
    witness.bring_to_rest()
    stage.drive()  # a killed monitor counts as another writer until its lease ends


def check_unheeded(stage: Stage, act: Callable[[], None]) -> None:
    """`act` does not reach the monitor, and the arm keeps moving."""
    get_moving(stage)
    monitor, page = stage.graph.log("safety_monitor"), stage.graph.log("operator_page")
    before = len(monitor.read_text()), len(page.read_text())
    act()
    stage.witness.spin(1.0)
    why = reason(stage)
    said = monitor.read_text()[before[0] :] + page.read_text()[before[1] :]
    assert not re.search(r"(hold|resume|stop|reset): |pressed", said), said  # the monitor logs every request
    assert why not in ("OPERATOR_HOLD", "OPERATOR_STOP")
    stage.goes_on()


def test_buttons_need_the_token_and_stop_stops_the_arm(cell: Stage, window: OperatorBrowser) -> None:
    witness = cell.witness

    def press_without_token() -> None:
        for name in ("hold", "STOP"):
            window.button(name).click()
            window.see(f"{name.lower()} refused: enter the token first")

    def press_with_a_wrong_one() -> None:
        window.enter("wrong-" + TOKEN)
        window.button("unlock").click()
        window.see("That is not the token")
        window.button("STOP").click()
        window.see("stop refused: enter the token first")

    check_unheeded(cell, press_without_token)
    check_unheeded(cell, press_with_a_wrong_one)
    window.enter(TOKEN)
    window.see("Unlocked")
    get_moving(cell)
    window.button("STOP").click()
    cell.until(lambda: witness.stopped() and witness.still(), PATIENCE, "STOP and rest")
    assert reason(cell) == "OPERATOR_STOP"
    window.see("stop: stopped; reset, then resume to go on")
    window.see_in_banner("stopped by the operator")
    assert "STOP" in window.banner
    cell.watch()
    assert witness.travel() < MOVED


def test_reset_and_resume_from_the_page_move_the_arm_and_hold_brings_it_to_rest(
    cell: Stage, window: OperatorBrowser
) -> None:
    witness = cell.witness
    get_moving(cell)
    witness.bring_to_rest()
    window.enter(TOKEN)
    window.see("Unlocked")
    window.button("resume").click()
    window.see("resume refused by the monitor: stopped: reset first")
    window.button("reset").click()
    window.see("reset: reset and holding")
    window.button("resume").click()
    cell.until(lambda: cell.status["mode"] == "following", PATIENCE, "the policy's turn")
    window.button("hold").click()
    window.see("hold: holding; resume to go on")
    cell.rest()


def test_one_window_unlocked_leaves_the_others_locked(
    cell: Stage, window: OperatorBrowser, browser: Browser, port: int
) -> None:
    window.enter(TOKEN)
    window.see("Unlocked")
    other = OperatorBrowser(browser, port)

    def press_in_the_other() -> None:
        other.button("STOP").click()
        other.see("stop refused: enter the token first")

    def forge_a_press() -> None:
        """Send the message of the unlocked window from a client that never saw the token."""
        unlocked = window.button("STOP").get_attribute("id")
        assert unlocked is not None
        with ForgedClient(port) as forged:
            for uuid in (unlocked, forged.buttons()["STOP"]):
                forged.press(uuid)
                assert "stop refused: enter the token first" in forged.heard_text() or uuid == unlocked

    try:
        check_unheeded(cell, press_in_the_other)
    finally:
        other.page.context.close()
    check_unheeded(cell, forge_a_press)


def test_a_silent_monitor_is_shown_as_silent(cell: Stage, window: OperatorBrowser) -> None:
    window.enter(TOKEN)
    window.see("Unlocked")
    cell.graph.signal("safety_monitor", signal.SIGSTOP)
    try:
        window.see_in_banner("no status for")  # and the history as far back as it reaches
    finally:
        cell.graph.signal("safety_monitor", signal.SIGCONT)
    get_moving(cell)
    window.see_in_banner("verdict")
    cell.graph.signal("safety_monitor", signal.SIGKILL)
    cell.graph.wait("safety_monitor", PATIENCE)
    window.see_in_banner("no status for")
    assert "verdict" not in window.banner  # the last verdict is no longer shown as current
    assert window.button("STOP").is_enabled()
    window.button("STOP").click()
    window.page.get_by_text("NO ANSWER").or_(window.page.get_by_text("DID NOT REACH")).first.wait_for()
    cell.graph.signal("sim_arm", signal.SIGSTOP)
    try:
        window.see_in_banner("no joint states for")
    finally:
        cell.graph.signal("sim_arm", signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_death_of_the_page_changes_nothing(
    cell: Stage, number: signal.Signals, port: int, token_file: Path
) -> None:
    witness = cell.witness
    get_moving(cell)
    witness.heard.clear()
    cell.graph.signal("operator_page", number)
    cell.until(lambda: len(witness.heard.status) > 200, PATIENCE, "cycles without a page")
    said = [status_values(message.status[0]) for message in witness.heard.status]
    assert {v["reason"] for v in said if v["verdict"] in ("HOLD", "STOP")} <= set(LATE)
    cell.goes_on()
    if number is signal.SIGSTOP:
        cell.graph.signal("operator_page", signal.SIGCONT)
    else:
        cell.start("operator_page", port=port, token_file=token_file)
