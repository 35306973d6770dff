"""The operator page: the running graph in a browser, with four buttons. It only reads and calls services.

It publishes nothing but who pressed what, its subscriptions are best effort, so that no publisher ever waits
for it, and it runs at lower priority than the control loop. Whether it runs, hangs or dies changes nothing
for the arm; pressing a button sends a request that the monitor grants or refuses. It is no emergency stop.

`status` carries verdict, reason and Q_c of the same cycle, so the single-number topics are not needed.
"""

import math
import os
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import viser
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.site import load_site
from spillguard_core.gate.task import Kind, Sensor
from spillguard_core.robot.arm import Vec, load_robot
from spillguard_ros.node import convert
from spillguard_ros.node.params import optional, read_parameters, required
from spillguard_ros.node.runtime import ShellNode, run
from spillguard_ros.node.sensors import JOINTS, MESSAGES
from spillguard_ros.node.signed import Signer
from spillguard_ros.operator import page_access
from spillguard_ros.operator.page_client import ClientPage
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.operator.page_html import Reading
from spillguard_ros.operator.page_limits import Guesses
from spillguard_ros.operator.page_requests import Requests
from spillguard_ros.operator.page_scene import CellKinematics, Poses, Sight, parts
from spillguard_ros.operator.page_server import PageServer

DRAW_PERIOD = 0.1  # [s]
PRESS_PERIOD = 0.02  # [s] between two checks for a pressed button
DRAW_LONGEST = 0.05  # [s] of drawing at a time; the windows that are left have their turn with the next
MOST_NOTES = 100  # waiting for the log; what comes faster than it is written is lost
NICENESS = 5  # lower priority than the control loop, but not so low that a press of STOP is delayed
# Two seconds of status: even if drawing takes longer than a cycle, every verdict is shown, however short.
STATUS_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
NEWEST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
JOINTS_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)  # others may publish there, too
REQUESTS = "~/requests"  # who pressed what, and what was answered


@dataclass(frozen=True)
class PageParameters:
    """Parameters of the page. The token is not one: parameters can be read by the whole graph."""

    bundle: str = required("directory of the bundle, for the world model that is drawn")
    robot: str = optional(
        "", "name of the arm, or a folder with its robot.yaml; empty: as the bundle names it"
    )
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")
    site: str = optional("", "file of the lab's own surroundings, as the safety monitor has it")
    host: str = optional("127.0.0.1", "address to listen on; the page needs no token to look at on loopback")
    port: int = optional(8090, "port to listen on", 1, 65535)
    token_file: str = optional("", "file with the token; empty: $SPILLGUARD_PAGE_TOKEN, else a new one")
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")
    key_file: str = optional(
        "",
        "file of the private key that signs reset and resume, where the monitor has operator_keys; empty: "
        "they are not signed",
    )


class OperatorPage(ShellNode):
    """Callbacks store, one timer draws, another forwards presses to the monitor: all in one thread."""

    def __init__(self) -> None:
        super().__init__("operator_page")
        self._server: PageServer | None = None

    def configure(self) -> None:
        """Verify the bundle, open the topics, listen for browsers."""
        settings = read_parameters(self, PageParameters)
        key = settings.public_key
        site = load_site(Path(settings.site).expanduser()) if settings.site else None
        robot = load_robot(settings.robot) if settings.robot else None
        bundle = load_bundle(Path(settings.bundle), robot, Path(key) if key else None, site)
        given = page_access.given_token(settings.token_file, os.environ)
        text, name = (page_access.new_token(), "printed at start") if given is None else given
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)
        token = page_access.Token(text, name)
        self._access = page_access.Access(token, Guesses(), self._notes.append)
        signer = Signer(Path(settings.key_file).expanduser()) if settings.key_file else None
        self._who = f"token {name}" + (f", signed with {Path(settings.key_file).stem}" if signer else "")
        self._cell = parts(bundle.guard), CellKinematics(bundle.guard, bundle.robot, bundle.task)
        self._feed = Feed(time.monotonic())
        self._newest: dict[str, Any] = {}
        self._heard = [
            self.create_subscription(DiagnosticArray, "safety_monitor/status", self._on_status, STATUS_QOS)
        ]
        self._robot, self._task = replace(bundle.robot, prefix=settings.joint_prefix), bundle.task
        kinds = {JOINTS: JointState} | {sensor.topic: MESSAGES[sensor.kind] for sensor in bundle.task.sensors}
        for topic, kind in kinds.items():
            store = partial(self._store, topic)
            qos = JOINTS_QOS if topic == JOINTS else NEWEST_QOS
            self._heard.append(self.create_subscription(kind, topic, store, qos))
        self._requests = Requests(self, signer, self._say)
        self._told = self.create_publisher(DiagnosticStatus, REQUESTS, 10)
        self._addresses: dict[int, str] = {}  # of the windows that pressed
        self._undrawn: list[int] = []
        self._server = self._listen(settings)
        self._announce(settings, text if given is None else None)

    def _listen(self, settings: PageParameters) -> PageServer:
        free = page_access.is_loopback(settings.host)

        def make(client: viser.ClientHandle, address: str) -> ClientPage:
            press = self._requests.press
            return ClientPage(client, address, self._access, press, self._cell, looking_is_free=free)

        return PageServer(settings.host, settings.port, make)

    def _announce(self, settings: PageParameters, token: str | None) -> None:
        """Print to the terminal only: a token must not appear in a log on disk or on the graph."""
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        shown = token if token is not None else "the one that was given"
        sys.stdout.write(f"operator page  http://{host}:{settings.port}\ntoken          {shown}\n")
        if not page_access.is_loopback(settings.host):
            sys.stdout.write(
                "WARNING: reachable from the network, unencrypted, token included. "
                "Better stay on 127.0.0.1 and use an SSH tunnel.\n"
            )
        sys.stdout.flush()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start drawing and handling buttons."""
        self._ticking = [
            self.create_timer(DRAW_PERIOD, self._draw, clock=self.steady),
            self.create_timer(PRESS_PERIOD, self._serve, clock=self.steady),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop drawing."""
        for timer in self._ticking:
            self.destroy_timer(timer)
        return super().on_deactivate(state)

    def release(self) -> None:
        """Disconnect the browsers, destroy the subscriptions."""
        if self._server is not None:
            self._server.stop()
            self._server = None
            for subscription in self._heard:
                self.destroy_subscription(subscription)
            for client in self._requests.clients:
                self.destroy_client(client)
            self.destroy_publisher(self._told)

    def _on_status(self, msg: DiagnosticArray) -> None:
        if msg.status:
            status = msg.status[0]
            self._feed.status(convert.status_values(status), status.message, time.monotonic(), time.time())

    def _store(self, topic: str, msg: Any) -> None:
        if topic == JOINTS and convert.names_no_joint(msg, self._robot.message_joints):
            return  # a gripper's, or another arm's
        self._newest[topic] = msg
        self._feed.note(topic, time.monotonic())

    def _say(self, client: int, service: str, good: bool, text: str, over: bool) -> None:
        """To the window and the log, and, what is `over`, to the graph."""
        page = self._server.pages().get(client) if self._server is not None else None
        if page is not None:
            page.tell(text, good)
            self._addresses[client] = page.address
            if len(self._addresses) > MOST_NOTES:
                del self._addresses[next(iter(self._addresses))]
        who = self._window(client)
        self._notes.append(f"{text} ({who})" if over else f"{service} pressed by {who}")
        if over:
            values = {"service": service, "who": who, "granted": str(good).lower()}
            level = DiagnosticStatus.OK if good else DiagnosticStatus.WARN
            self._told.publish(convert.to_status(f"operator_page: {service}", level, text, values))

    def _window(self, client: int) -> str:
        return f"client {client}, {self._addresses.get(client, 'gone')}, {self._who}"

    def _serve(self) -> None:
        self._requests.serve(time.monotonic())
        while self._notes:
            self.get_logger().info(self._notes.popleft())

    def _seen(self, topic: str, usable: bool, now: float) -> Sight:
        if not usable:
            return Sight.NEVER
        return Sight.NOW if self._feed.is_live(topic, now) else Sight.ONCE

    def _measured(self, now: float) -> tuple[list[Reading], Poses]:
        joints = self._newest.get(JOINTS)
        q = None if joints is None else _finite(convert.joint_state(joints, self._robot.message_joints)[0])
        values = {sensor.name: self._value(sensor) for sensor in self._task.sensors}
        readings = [Reading(s.title, s.kind, values[s.name], s.topic) for s in self._task.sensors]
        # One body may be placed where it is sensed: draw it there.
        named = next(iter(self._task.placed.values()), "")
        topic = next((sensor.topic for sensor in self._task.sensors if sensor.name == named), "")
        place = _finite(values[named]) if named else None
        poses = self._cell[1].poses(
            q, place, self._seen(JOINTS, q is not None, now), self._seen(topic, place is not None, now)
        )
        return readings, poses

    def _value(self, sensor: Sensor) -> Vec:
        msg = self._newest.get(sensor.topic)
        if msg is None:
            return np.full(sensor.kind.width, math.nan)
        if sensor.kind is Kind.MASS:
            return np.array([convert.mass(msg)])
        return convert.position(msg, self._robot.message_frame)

    def _draw(self) -> None:
        pages = self._server.pages() if self._server is not None else {}
        if not pages:
            return
        now = time.monotonic()
        seen, poses = self._measured(now)
        self._undrawn = [number for number in self._undrawn if number in pages] or list(pages)
        while self._undrawn and time.monotonic() - now < DRAW_LONGEST:
            self._serve()  # a STOP does not wait until every window is drawn
            number = self._undrawn.pop(0)
            try:
                pages[number].draw(self._feed, seen, poses, now)
            except Exception as error:  # an error in one browser must not affect the others
                self.get_logger().warning(f"client {number}: {error}", throttle_duration_sec=10.0)


def _finite(values: Vec) -> Vec | None:
    return values if bool(np.isfinite(values).all()) else None


def main(args: list[str] | None = None) -> int:
    """Console entry point; `args` as on the command line."""
    os.nice(NICENESS)
    # If a process dies with shared memory mapped, Fast DDS blocks its peers for up to a second.
    if "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ:
        os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    return run(OperatorPage, args)


if __name__ == "__main__":
    sys.exit(main())
