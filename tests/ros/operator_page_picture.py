"""Makes docs/operator_page.png: `python -m tests.ros.operator_page_picture`.

The shipped policy pours one cup and begins a second one in the simulated cell; a browser looks on.
"""

import logging
import os
import sys
import tempfile
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.graph import Graph, private_environment
from spillguard_ros.operator import Operator
from spillguard_ros.page_access import TOKEN_VARIABLE, new_token
from tests.ros.browser import MISSING, OperatorBrowser, chromium, find_chromium, free_port

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "operator_page.png"
SECONDS = 2.5  # into the second pour
SIZE = (1360, 800)  # [px]


def take(operator: Operator, window: OperatorBrowser, token: str) -> None:
    """Pour, then save the picture."""
    window.close_warnings()
    window.enter(token)
    window.see("Unlocked")
    operator.insist("safety_monitor/reset", 10.0)
    operator.insist("safety_monitor/resume", 1.0)
    operator.wait(lambda: operator.outcome.get("success") == "true", 15.0)
    operator.bring_to_rest()
    operator.insist("sim_arm/new_cup", 1.0)
    operator.spin(1.0)
    operator.insist("safety_monitor/reset", 10.0)
    window.button("resume").click()
    operator.spin(SECONDS)
    window.page.screenshot(path=PICTURE)


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
        take(operator, OperatorBrowser(browser, port, *SIZE, scale=1.0), token)
        operator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
