"""The operator page, with real nodes behind it and a real browser in front."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from spillguard_core.decision import Verdict
from spillguard_ros.convert import status_values
from tests.ros.browser import MISSING, OperatorBrowser, chromium, find_chromium, free_port
from tests.ros.forged_client import ForgedClient
from tests.ros.harness import MOVED, MakeStage, Stage

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
        stage.until(lambda: "operator page" in stage.graph.log("operator_page").read_text(), 30.0, "a page")
        yield stage


@pytest.fixture
def moving(cell: Stage) -> Stage:
    """Whatever was before, the arm is moving now."""
    for node in cell.graph.dead():
        cell.start(node)
    cell.until(lambda: len(cell.witness.heard.proposals) > 3, 20.0, "a proposal")
    cell.witness.bring_to_rest()
    cell.witness.open_gate()
    cell.until(cell.witness.moving, 5.0, "motion")
    return cell


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    executable = find_chromium()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with chromium(executable, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def window(cell: Stage, browser: object, port: int) -> Iterator[OperatorBrowser]:
    opened = OperatorBrowser(browser, port)  # type: ignore[arg-type]
    yield opened
    opened.page.context.close()


def reason(stage: Stage) -> str:
    """Why the monitor's newest verdict is what it is."""
    return status_values(stage.witness.heard.status[-1].status[0])["reason"]


def test_buttons_need_the_token_and_stop_stops_the_arm(moving: Stage, window: OperatorBrowser) -> None:
    witness = moving.witness
    for name in ("hold", "STOP"):
        window.button(name).click()
        window.see(f"{name.lower()} refused: enter the token first")
    witness.heard.clear()
    witness.spin(1.0)
    assert witness.moving()
    assert not {"OPERATOR_HOLD", "OPERATOR_STOP"} & {
        status_values(message.status[0])["reason"] for message in witness.heard.status
    }

    window.enter("wrong-" + TOKEN)
    window.button("unlock").click()
    window.see("That is not the token")
    window.button("STOP").click()
    window.see("stop refused: enter the token first")

    window.enter(TOKEN)
    window.see("Unlocked")
    if not witness.moving():  # a busy machine may have tripped the monitor in the meantime
        witness.open_gate()
        moving.until(witness.moving, 5.0, "motion")
    window.button("STOP").click()
    moving.until(lambda: witness.stopped() and reason(moving) == "OPERATOR_STOP", 10.0, "STOP")
    moving.until(witness.still, 2.0, "rest")
    window.see("stop: stopped; reset, then resume to go on")
    window.see("stopped by the operator")
    assert "STOP" in window.banner
    witness.heard.clear()
    witness.spin(0.5)
    assert witness.travel() < MOVED


def test_reset_and_resume_from_the_page_move_the_arm_and_hold_brings_it_to_rest(
    moving: Stage, window: OperatorBrowser
) -> None:
    witness = moving.witness
    witness.bring_to_rest()
    window.enter(TOKEN)
    window.see("Unlocked")
    window.button("resume").click()
    window.see("resume refused by the monitor: stopped: reset first")
    window.button("reset").click()
    window.see("reset: reset and holding")
    window.button("resume").click()
    moving.until(witness.moving, 10.0, "motion")
    window.button("hold").click()
    moving.until(witness.still, 10.0, "rest")
    window.see("hold: holding; resume to go on")


def test_one_window_unlocked_leaves_the_others_locked(
    moving: Stage, window: OperatorBrowser, browser: object, port: int
) -> None:
    window.enter(TOKEN)
    window.see("Unlocked")
    other = OperatorBrowser(browser, port)  # type: ignore[arg-type]
    try:
        other.button("STOP").click()
        other.see("stop refused: enter the token first")
        moving.witness.spin(0.5)
        assert moving.witness.moving()
        # The same message that the unlocked window would send, from a client that never saw the token.
        press = window.button("STOP").get_attribute("id")
        assert press is not None
    finally:
        other.page.context.close()
    with ForgedClient(port) as forged:
        own = forged.buttons()
        assert "STOP" in own
        for uuid in (press, *own.values()):
            forged.press(uuid)
        moving.witness.spin(1.5)
        assert "enter the token first" in forged.heard_text()
    assert moving.witness.moving()
    assert reason(moving) not in ("OPERATOR_STOP", "OPERATOR_HOLD")


def test_a_silent_monitor_is_shown_as_silent(moving: Stage, window: OperatorBrowser) -> None:
    window.see("following")
    window.enter(TOKEN)
    window.see("Unlocked")
    moving.graph.signal("safety_monitor", signal.SIGKILL)
    moving.graph.wait("safety_monitor", 5.0)
    window.see("no status for")
    assert "verdict" not in window.banner  # its last word is not shown as if it still held
    assert window.button("STOP").is_enabled()
    window.button("STOP").click()
    window.page.get_by_text("NO ANSWER").or_(window.page.get_by_text("DID NOT REACH")).first.wait_for()
    moving.graph.signal("sim_arm", signal.SIGSTOP)
    try:
        window.see("no joint states for")
    finally:
        moving.graph.signal("sim_arm", signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_death_of_the_page_changes_nothing(
    moving: Stage, number: signal.Signals, port: int, token_file: Path
) -> None:
    witness = moving.witness
    witness.heard.clear()
    moving.graph.signal("operator_page", number)
    witness.spin(2.0)
    verdicts = [status_values(message.status[0])["verdict"] for message in witness.heard.status]
    assert len(verdicts) > 120  # of 200 cycles, on a machine that may be busy
    assert Verdict.STOP.name not in verdicts
    assert witness.moving()
    if number is signal.SIGSTOP:
        moving.graph.signal("operator_page", signal.SIGCONT)
    else:
        moving.start("operator_page", port=port, token_file=token_file)


def ended(make_stage: MakeStage, **parameters: object) -> str:
    """What a page that refuses to start printed."""
    with make_stage() as stage:
        stage.start("operator_page", **parameters)
        assert stage.graph.wait("operator_page", 30.0) == 1
        return stage.graph.log("operator_page").read_text()


def test_a_short_token_is_refused_beyond_loopback(make_stage: MakeStage, tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("short")
    short.chmod(0o600)
    for host in ("0.0.0.0", "127.0.0.1"):
        printed = ended(make_stage, host=host, port=free_port(), token_file=short)
        assert "the token has 5 characters, it needs at least 16" in printed


def test_a_token_file_for_all_to_read_is_refused(make_stage: MakeStage, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    assert "chmod 600" in ended(make_stage, port=free_port(), token_file=file)


def test_a_port_that_is_taken_is_refused(cell: Stage, port: int, make_stage: MakeStage) -> None:
    printed = ended(make_stage, port=port)
    assert f"cannot listen on 127.0.0.1 port {port}" in printed


def test_a_made_token_is_printed_once_and_differs_from_run_to_run(make_stage: MakeStage) -> None:
    tokens = set()
    for _ in range(2):
        with make_stage() as stage:
            stage.start("operator_page", port=free_port())
            log = stage.graph.log("operator_page")
            stage.until(lambda log=log: "token  " in log.read_text(), 30.0, "a token")  # type: ignore[misc]
            (line,) = [line for line in log.read_text().splitlines() if line.startswith("token ")]
            tokens.add(line.split()[1])
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 22  # 128 bits
