"""`spillguard operator`: the monitor's services from a terminal, in the ROS graph that the terminal sees.

A person waits for the effect, so it imports little; argparse instead of tyro saves a tenth of a second.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from spillguard_ros.node.signed import SIGNED
from spillguard_ros.operator.caller import MONITOR, Caller, OperatorError

KEY_VARIABLE = "SPILLGUARD_OPERATOR_KEY"
STATUS_TIMEOUT = 10.0  # [s]
TRIGGERS = {
    "hold": "Brake to rest and keep the pose, until a resume.",
    "resume": "Let the policy move the arm, or the teleoperator while it speaks.",
    "stop": "Brake to rest and go silent, until a reset and a resume.",
    "reset": "End a stop. Moves nothing: the arm holds until a resume.",
    "restore-critic": "End a suspension of the safety critic.",
}
SUSPEND = "Have the safety critic reported but not acting for a while. Every other check stays."
STATUS = "Print what the monitor decides at this moment, and why."
RED, PLAIN = "\033[31m", "\033[0m"

Ask = Callable[[Caller], tuple[bool, str]]
"""Whether the request was granted, and the answer."""


def parser() -> argparse.ArgumentParser:
    """The command line; the subcommand is in `verb`."""
    made = argparse.ArgumentParser("spillguard operator", description="Speak to a running safety monitor.")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in {**TRIGGERS, "suspend-critic": SUSPEND, "status": STATUS}.items():
        added = verbs.add_parser(verb, help=text, description=text)
        added.add_argument("--namespace", default="", help="Namespace of the safety monitor.")
        if verb.replace("-", "_") in SIGNED:
            added.add_argument("--key", type=Path, default=os.environ.get(KEY_VARIABLE) or None,
                               help="Private key, where the monitor has operator_keys; else "
                               f"${KEY_VARIABLE}.")  # fmt: skip
        if verb == "suspend-critic":
            added.add_argument("--reason", required=True, help="Why, in one line; it is logged and recorded.")
            added.add_argument("--seconds", required=True, type=float,
                               help="For how long; at most the monitor's max_suspension.")  # fmt: skip
    return made


def _asked(args: argparse.Namespace) -> Ask:
    if args.verb == "status":
        return _shown_status
    if args.verb == "suspend-critic":
        return lambda caller: caller.suspend_critic(args.reason, args.seconds)
    return lambda caller: caller.call(f"{MONITOR}/{args.verb.replace('-', '_')}")


def _shown_status(caller: Caller) -> tuple[bool, str]:
    from diagnostic_msgs.msg import DiagnosticArray
    from rich.console import Console
    from rich.table import Table

    heard: list[DiagnosticArray] = []
    caller.node.create_subscription(DiagnosticArray, f"{MONITOR}/status", heard.append, 1)
    if not caller.wait(lambda: bool(heard), STATUS_TIMEOUT):
        raise OperatorError(f"{MONITOR} reported nothing within {STATUS_TIMEOUT:.0f} s; is it active?")
    (said,) = heard[-1].status
    table = Table(show_header=False)
    for pair in said.values:
        table.add_row(pair.key, pair.value)
    Console(markup=False, highlight=False).print(table)
    return True, said.message


def _complain(text: str) -> None:
    shown = f"{RED}{text}{PLAIN}" if sys.stderr.isatty() else text
    sys.stderr.write(f"{shown}\n")


def answered(namespace: str, ask: Ask, key: Path | None = None) -> int:
    """`key`: file of the private key that signs.

    Exit status: 0 granted, 1 refused, 2 no monitor reachable or no key, 130 interrupted. Prints the answer.
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        caller = Caller(namespace, key=key)
        try:
            granted, message = ask(caller)
        finally:
            caller.close()
    except (OperatorError, ValueError, OSError) as trouble:
        _complain(f"spillguard operator: {trouble}")
        return 2
    except KeyboardInterrupt:
        _complain("interrupted; it is not known whether the monitor has heard it")
        return 130
    if granted:
        sys.stdout.write(f"{message}\n")
        return 0
    _complain(f"refused: {message}")
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and send the request."""
    args = parser().parse_args(arguments)
    return answered(args.namespace, _asked(args), getattr(args, "key", None))


if __name__ == "__main__":
    sys.exit(main())
