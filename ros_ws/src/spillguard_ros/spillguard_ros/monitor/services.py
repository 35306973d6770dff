"""The monitor's services: who may ask, what was answered, and what waits for the next decision.

Nothing is decided here but who may ask: whether a request is granted is the gate's to say.
"""

from collections.abc import Callable

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from rclpy.service import Service
from std_srvs.srv import Trigger

from spillguard_core.gate.decision import Mode, Request, SuspensionRequest
from spillguard_ros.monitor.operators import Operators
from spillguard_ros.monitor.status import granted
from spillguard_ros.node import convert
from spillguard_ros.node.rounds import even_late
from spillguard_ros.node.signed import CHALLENGE, NOT_NEEDED, SIGNED, SIGNED_SERVICE, SUSPEND

SAFER = (Request.STOP, Request.HOLD, Request.RESTORE_CRITIC)
ANYBODY = "anybody"  # who asks without a signature

Judge = Callable[[Request | SuspensionRequest], str]
"""Why the gate would refuse a request now; empty if it would not."""
Tell = Callable[[str, str, bool, str], None]
"""Told of every request: the service, who asked, whether it was granted, the answer."""


class Services:
    """Requests that were granted wait in `requests` and `suspend` for the next decision, which takes them."""

    def __init__(
        self, node: Node, judge: Judge, mode: Callable[[], Mode], tell: Tell, operators: Operators | None
    ) -> None:
        """`mode` of the newest decision. Without `operators` nothing has to be signed."""
        self._judge, self._mode, self._tell, self._operators = judge, mode, tell, operators
        self.forget()
        self.offered: list[Service] = [self._offer(node, request) for request in Request]
        """To be destroyed with the node's topics."""
        self.offered += [
            node.create_service(SetParametersAtomically, f"~/{SUSPEND}", self._on_suspend_critic),
            node.create_service(Trigger, f"~/{CHALLENGE}", self._on_challenge),
            node.create_service(SetParametersAtomically, f"~/{SIGNED_SERVICE}", self._on_signed),
        ]

    def forget(self) -> None:
        """As if nobody had asked for anything."""
        self.requests: list[Request] = []
        self.suspend: SuspensionRequest | None = None

    def _offer(self, node: Node, request: Request) -> Service:
        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = self._unsigned(request.value, lambda: self._ask(request))
            return response

        safer = request in SAFER
        return node.create_service(Trigger, f"~/{request.value}", even_late(answer) if safer else answer)

    def _ask(self, request: Request) -> tuple[bool, str]:
        reason = self._judge(request)
        if not reason:
            self.requests.append(request)
        return not reason, reason or granted(request, self._mode())

    def _ask_to_suspend(self, asked: SuspensionRequest) -> tuple[bool, str]:
        reason = self._judge(asked)
        if not reason:
            self.suspend = asked
        return not reason, reason or f"the critic is suspended for {asked.seconds} s: {asked.reason}"

    def _unsigned(self, service: str, ask: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
        if self._operators is not None and service in SIGNED:
            verb = service.replace("_", "-")
            answer = False, f"{service} has to be signed here: spillguard operator {verb} --key FILE"
        else:
            answer = ask()
        self._tell(service, ANYBODY, *answer)
        return answer

    def _on_suspend_critic(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        def ask() -> tuple[bool, str]:
            try:
                return self._ask_to_suspend(convert.suspension_request(request.parameters))
            except ValueError as error:
                return False, str(error)

        response.result.successful, response.result.reason = self._unsigned(SUSPEND, ask)
        return response

    def _on_challenge(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        operators = self._operators
        response.success = operators is not None
        response.message = NOT_NEEDED if operators is None else operators.challenge()
        return response

    def _on_signed(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        service, who = SIGNED_SERVICE, ANYBODY
        try:
            if self._operators is None:
                raise ValueError(NOT_NEEDED)
            who, asked = self._operators.check(request.parameters)
            service = asked.verb
            if asked.verb == SUSPEND:
                answer = self._ask_to_suspend(SuspensionRequest(asked.reason, asked.seconds))
            else:
                answer = self._ask(Request(asked.verb))
        except ValueError as error:
            answer = False, str(error)
        self._tell(service, who, *answer)
        response.result.successful, response.result.reason = answer
        return response
