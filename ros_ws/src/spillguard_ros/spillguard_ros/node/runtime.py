"""Runs one lifecycle node as a process: start, spin, and orderly shutdown on SIGINT or SIGTERM."""

import ctypes
import logging
import os
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.node.executors import make_executor
from spillguard_ros.node.params import read_parameters
from spillguard_ros.node.realtime import Scheduling, run_first_in_first_out
from spillguard_ros.node.rounds import NodeRounds

LONGEST_WAIT = 0.05  # [s] until a signal is noticed
STARTER = "SPILLGUARD_STARTER"  # environment variable: pid of the process that this one must not outlive
PR_SET_PDEATHSIG = 1
SWITCH_INTERVAL = 0.0005  # [s] for which another thread may delay the control loop by holding the interpreter


class ShellNode(LifecycleNode, ABC):
    """A lifecycle node; when it starts itself, an invalid configuration ends the process."""

    in_rounds = False  # served in rounds, so that floods cannot delay its timers

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # Setting or pausing any other clock must not stop a watchdog.
        self.steady = Clock(clock_type=ClockType.STEADY_TIME)
        text = "configure and activate at start, and end the process if that fails"
        self.declare_parameter("autostart", True, ParameterDescriptor(description=text, read_only=True))

    @abstractmethod
    def configure(self) -> None:
        """Read parameters, load files, create topics. ValueError and OSError are shown to the user."""

    @abstractmethod
    def release(self) -> None:
        """Undo `configure`, also if it failed half-way."""

    def last_words(self) -> None:
        """Final actions before the process ends."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """On failure report the reason and release everything."""
        try:
            self._take_priority()
            self.configure()
        except (ValueError, OSError) as error:
            self.get_logger().fatal(f"refused to configure: {error}")
            self.release()
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would swallow the traceback, which here means a bug
            self.get_logger().fatal(f"failed to configure:\n{traceback.format_exc()}")
            raise
        return super().on_configure(state)

    def _take_priority(self) -> None:
        # Before anything is opened: threads started later inherit it.
        priority = read_parameters(self, Scheduling).realtime_priority
        refused = run_first_in_first_out(priority) if priority else ""
        if refused:
            self.get_logger().warning(refused)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self.release()
        return super().on_cleanup(state)

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so. False if that failed."""
        if not self.get_parameter("autostart").value:
            return True
        good = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == good and self.trigger_activate() == good


def spinner(node: ShellNode) -> Callable[[], None]:
    """A function to call repeatedly to serve `node`; it returns within `LONGEST_WAIT`."""
    if node.in_rounds:
        return NodeRounds(node).once
    executor = make_executor()
    executor.add_node(node)
    # A finite timeout: in some builds this executor never returns from an infinite one.
    return lambda: executor.spin_once(timeout_sec=LONGEST_WAIT)


def end_with_starter() -> None:
    """If the starter dies, for whatever reason, this process gets a SIGTERM and does not stay behind."""
    starter = os.environ.get(STARTER)
    if starter is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(starter):  # the parent died before prctl took effect
        os.kill(os.getpid(), signal.SIGTERM)


def run(make_node: Callable[[], ShellNode], args: list[str] | None = None) -> int:
    """Exit status of the process: 0 after a signal, 1 if the node refused to start."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] [%(name)s]: %(message)s")
    sys.setswitchinterval(SWITCH_INTERVAL)
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    end_with_starter()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
        if not node.autostart():
            return 1
        once = spinner(node)
        try:
            while rclpy.ok() and not asked:
                once()
        except ExternalShutdownException:
            raise
        except Exception:  # a mistake, of ours or in a rule: the arm hears of its end all the same
            node.last_words()
            raise
        node.last_words()
        return 0
    except ExternalShutdownException:
        return 0
    finally:
        rclpy.try_shutdown()
