"""Creates docs/operator_page.png: `python -m tests.ros.operator_page_picture`.

The shipped policy pours one cup and begins a second one in the simulated cell, viewed in a browser.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_core.gate.reasons import Verdict
from spillguard_ros.operator.client import Operator
from spillguard_ros.operator.page_access import TOKEN_VARIABLE, new_token
from spillguard_sim.graph import Graph, private_environment
from tests.ros.browser import MISSING, OperatorBrowser, chromium, find_chromium, free_port

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "operator_page.png"
SECONDS = 1.5  # into the second pour
ONE_POUR = 9.0  # [s]
ATTEMPTS = 5
SIZE, SMALL = {"width": 1360, "height": 800}, {"width": 900, "height": 500}  # [px]; small renders fast


def pour(operator: Operator, seconds: float) -> bool:
    """Let the policy pour for a while; False if the monitor stopped the arm, as on a busy machine."""
    operator.insist("safety_monitor/reset", 10.0)
    operator.insist("safety_monitor/resume", 1.0)
    operator.wait(lambda: operator.verdict < Verdict.STOP, 2.0)
    return not operator.wait(lambda: operator.verdict == Verdict.STOP, seconds)


def take(operator: Operator, window: OperatorBrowser, token: str) -> bool:
    """Pour, and save the picture during the second pour. False if that was interrupted."""
    window.close_warnings()
    window.enter(token)
    window.see("Unlocked")
    for cup in range(ATTEMPTS):
        window.page.set_viewport_size(SMALL)
        going = pour(operator, ONE_POUR if cup == 0 else SECONDS)
        if cup and going:
            window.page.set_viewport_size(SIZE)
            operator.spin(1.0)
            window.page.screenshot(path=PICTURE)
            if operator.verdict < Verdict.HOLD:
                return True
        operator.bring_to_rest()
        operator.insist("sim_arm/new_cup", 1.0)
        operator.spin(1.0)
    return False


def main() -> int:
    """Exit status."""
    executable = find_chromium()
    if executable is None:
        logging.error(MISSING)
        return 1
    environment, token, port = private_environment(), new_token(), free_port()
    os.environ.update(environment)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    bundle = ROOT / "artifacts" / "pour_coffee"
    with (
        tempfile.TemporaryDirectory() as name,
        Graph(Path(name) / "logs", {**environment, TOKEN_VARIABLE: token}) as graph,
        chromium(executable, Path(name)) as browser,
    ):
        graph.start("sim_arm", "sim_arm", {"seed": 0})
        for node in ("safety_monitor", "policy"):
            graph.start(node, node, {"bundle": bundle})
        graph.start("operator_page", "operator_page", {"bundle": bundle, "port": port})
        operator = Operator()
        operator.wait(lambda: operator.outcome.get("cup") == "1", 30.0)
        log = graph.log("operator_page")
        operator.wait(lambda: "operator page" in log.read_text(), 30.0)
        good = take(operator, OperatorBrowser(browser, port, scale=1.0), token)
        operator.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
