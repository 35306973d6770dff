"""`spillguard operator`: the monitor's services from a terminal, in the ROS graph that the terminal sees."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import rclpy
import tyro
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.table import Table

from spillguard_ros import convert
from spillguard_ros.operator import Operator, OperatorError

MONITOR = "safety_monitor"
STATUS_TIMEOUT = 10.0  # [s]
TRIGGERS = {
    "hold": "Brake to rest and keep the pose, until a resume.",
    "resume": "Let the policy move the arm, or the teleoperator while it speaks.",
    "stop": "Brake to rest and go silent, until a reset and a resume.",
    "reset": "End a stop. Moves nothing: the arm holds until a resume.",
    "restore-critic": "End a suspension of the safety critic.",
}

Namespace = Annotated[str, tyro.conf.arg(help="Namespace of the safety monitor.")]
Ask = Callable[[Operator], tuple[bool, str]]
"""Whether it was granted, and the answer."""


def _trigger(verb: str, text: str) -> Callable[..., int]:
    service = f"{MONITOR}/{verb.replace('-', '_')}"

    def command(namespace: Namespace = "") -> int:
        return answered(namespace, lambda operator: operator.call(service))

    command.__doc__ = text
    return command


def suspend_critic(
    reason: Annotated[str, tyro.conf.arg(help="Why, in one line; it is logged and recorded.")],
    seconds: Annotated[float, tyro.conf.arg(help="For how long; at most the monitor's max_suspension.")],
    namespace: Namespace = "",
) -> int:
    """Have the safety critic reported but not acting for a while. Every other check stays."""
    return answered(namespace, lambda operator: operator.suspend_critic(reason, seconds))


def status(namespace: Namespace = "") -> int:
    """Print what the monitor decides at this moment, and why."""
    return answered(namespace, _shown_status)


def _shown_status(operator: Operator) -> tuple[bool, str]:
    heard: list[DiagnosticArray] = []
    operator.node.create_subscription(DiagnosticArray, f"{MONITOR}/status", heard.append, 1)
    if not operator.wait(lambda: bool(heard), STATUS_TIMEOUT):
        raise OperatorError(f"{MONITOR} reported nothing within {STATUS_TIMEOUT:.0f} s; is it active?")
    (said,) = heard[-1].status
    table = Table(show_header=False)
    for name, value in convert.status_values(said).items():
        table.add_row(name, value)
    Console(markup=False, highlight=False).print(table)
    return True, said.message


def answered(namespace: str, ask: Ask) -> int:
    """Exit status: 0 granted, 1 refused, 2 nobody to ask, 130 interrupted. Prints the answer."""
    out, error = (Console(stderr=bad, markup=False, highlight=False, soft_wrap=True) for bad in (False, True))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        operator = Operator(namespace)
        try:
            granted, message = ask(operator)
        finally:
            operator.close()
    except OperatorError as trouble:
        error.print(f"spillguard operator: {trouble}", style="red")
        return 2
    except KeyboardInterrupt:
        error.print("interrupted; it is not known whether the monitor has heard it")
        return 130
    if granted:
        out.print(message)
        return 0
    error.print(f"refused: {message}", style="red")
    return 1


COMMANDS: dict[str, Callable[..., int]] = {
    **{verb: _trigger(verb, text) for verb, text in TRIGGERS.items()},
    "suspend-critic": suspend_critic,
    "status": status,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and ask."""
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="spillguard operator", description="Speak to a running safety monitor.",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
