"""Serves a node in rounds, so that incoming messages delay its timers by at most one callback.

rclpy's own executors run a callback for every message, without limit: the events executor queues them
unboundedly, and a timer waits behind them; the single-threaded one builds a wait set in Python before each of
them. A flood from any node then costs the control loop its period. Here the services, and then the topics,
are polled in turn, one request or message each, until all are empty, their share of processor time is used up
or a timer is due. The rest waits in queues bounded by DDS (the newest messages of each topic, up to its
depth); what exceeds them is lost. A message has an effect with the next timer only, so there is a round just
before each, and another only after `ROUND` or while something floods.

Polling an empty topic or service takes 1 to 2 us, so a whole round costs less than one wait set.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from rclpy.client import Client
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.waitable import Waitable

ROUND = 0.01  # [s] at most between two rounds
BUSY = 0.002  # [s] the same after one that did not reach its end
LEAD = 0.001  # [s] before a timer is due, at which there is a round: what it acts on is the newest
SHARE = 0.5  # of processor time for callbacks; timers come on top
SAVED = 0.005  # [s] of processor time that may be saved up and spent at once, and overdrawn at most
SERVICES_PERIOD = 0.009  # [s] between two looks at services and clients: about once a period of the gate
SERVICES_SHARE = 0.2  # of processor time for them
LEAST = 0.0005  # [s] for them, although a timer may be due
AT_ONCE = 0.0005  # [s] for what waits on one topic, before others have their turn
EVENTS_PERIOD = 1.0  # [s] between two checks for middleware events, such as incompatible QoS

LATEST = 1.0  # [s] for which a request may wait
SLOW = 0.08  # [s] longest answer to a client that is there; the middleware waits 0.1 s for one that is not

T = TypeVar("T", bound=Callable[..., object])
Serve = Callable[[], bool]
"""Takes and handles one message or request; False if there was none, or none is left."""
Clock = Callable[[], float]


class Rounds:
    """Schedules the sources. Needs no ROS: the clocks [s] are arguments.

    `clock` is the time, `processor` the processor time used by this thread: time in which it was preempted
    does not count as used.
    """

    def __init__(
        self, clock: Clock = time.monotonic, processor: Clock = time.thread_time, share: float = SHARE
    ) -> None:
        """`share` of processor time."""
        self._clock, self._processor, self._share = clock, processor, share
        self._turn = 0  # index of the next source
        self._left, self._earned = SAVED, clock()
        self._begun, self._pause = -math.inf, ROUND

    def _earn(self) -> None:
        now = self._clock()
        self._left = min(SAVED, self._left + self._share * (now - self._earned))
        self._earned = now

    def _pay(self, since: float) -> float:
        used = self._processor()
        self._left = max(-SAVED, self._left - (used - since))
        return used

    def serve(self, sources: Sequence[Serve], due: float) -> None:
        """Poll the sources in turn until all are empty, their share is used up, or it is `due` [s]."""
        self._earn()
        self._begun = self._clock()
        empty, paid = 0, self._processor()
        while empty < len(sources) and self._left > 0.0 and self._clock() < due:
            self._turn = (self._turn + 1) % len(sources)
            empty += 1
            if sources[self._turn]():
                empty, paid = 0, self._pay(paid)
        self._pay(paid)
        self._pause = ROUND if empty == len(sources) else BUSY

    def next(self, due: float) -> float:
        """[s] when the next round is to begin: shortly before the next timer is `due` [s], or earlier."""
        last, latest = due - LEAD, self._begun + self._pause
        return min(latest, last) if self._begun < last else latest

    def nap(self, due: float) -> float:
        """Time [s] to sleep until the next round, or until it is `due` [s]."""
        return max(0.0, min(self.next(due), due) - self._clock())


def arrival(origin: Mapping[str, Any]) -> float:
    """Steady time [s] at which a message came.

    The middleware notes it on the system clock. Whatever that shows, a message has not waited longer than
    since the round before; where nothing was noted, it counts as having waited so long.
    """
    waited = 1e-9 * (time.time_ns() - origin["received_timestamp"])
    return time.monotonic() - min(max(waited, 0.0), ROUND)


def _messages(topic: Any) -> Serve:
    """Takes and handles one message at a time, or what waits, if the callback only stores it (`at_once`).

    With joint states at 1 kHz each round would otherwise look at every topic twice. A raw subscription's
    callback is given the time of arrival, too.
    """
    handle, kind, raw, callback = topic.handle, topic.msg_type, topic.raw, topic.callback

    def serve() -> bool:
        with handle:
            taken = handle.take_message(kind, raw)
        if taken is None:
            return False
        message, origin = taken
        if raw:
            callback(message, arrival(origin))
        else:
            callback(message)
        return True

    def serve_all() -> bool:
        until = time.monotonic() + AT_ONCE
        while time.monotonic() < until:
            if not serve():
                return False
        return True

    return serve_all if getattr(callback, "at_once", False) else serve


def even_late(callback: T) -> T:
    """Marks a service's callback that is called even for a request that has waited too long, since it can
    only make things safer."""
    callback.even_late = True  # type: ignore[attr-defined]
    return callback


def _requests(service: Any, node: Node) -> Serve:
    """Takes and answers one request at a time.

    The middleware waits 0.1 s for a client that has left, for each of its requests, and the queue of a
    parameter service holds a thousand. So nothing is answered while the service has no client. Where it has
    others, that wait shows who has left: what came before its end is not answered either. What nobody waits
    for is not carried out, nor what has waited for `LATEST`: who asked has given up, or expects it no more.
    """
    over = 0  # [ns] system time at the end of such a wait

    def serve() -> bool:
        nonlocal over
        with service.handle:
            request, header = service.handle.service_take_request(service.srv_type.Request)
        if header is None:
            return False
        now = time.time_ns()
        received, oldest = header.received_timestamp or now, now - round(1e9 * LATEST)  # 0: not known here
        over = over if over <= now else 0  # the clock was set back
        awaited = received >= over and node.count_clients(service.service_name) > 0
        if not (awaited and received >= oldest) and not getattr(service.callback, "even_late", False):
            return True
        answer = service.callback(request, service.srv_type.Response())
        began = time.monotonic()
        try:
            if awaited:
                service.send_response(answer, header)
        finally:
            if time.monotonic() - began > SLOW:
                over = time.time_ns()
        return True

    return serve


def _answer(client: Any) -> bool:
    with client.handle:
        header, response = client.handle.take_response(client.srv_type.Response)
    if header is None:
        return False
    with suppress(KeyError):  # nobody waits for it any more
        client.get_pending_request(header.request_id.sequence_number).set_result(response)
    return True


def _run_if_due(timer: Any) -> None:
    try:
        due = timer.is_ready()
    except InvalidHandle:  # destroyed by a timer before it was served
        return
    if due:
        timer.handle.call_timer()
        timer.callback()


class _Events(SingleThreadedExecutor):
    """Serves middleware events only."""

    def can_execute(self, entity: Any) -> bool:
        """Whether `entity` is such an event."""
        return isinstance(entity, Waitable) and super().can_execute(entity)


class NodeRounds:
    """Serves all topics, services, clients and steady timers of one node in one thread.

    Services and clients are polled only every `SERVICES_PERIOD`, before a timer: a node has twenty of them,
    and a request has an effect with the next timer only. They have a share of processor time of their own,
    and come first: a stop gets through whatever floods the topics.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._events = node, _Events()
        self._rounds, self._service_rounds = Rounds(), Rounds(share=SERVICES_SHARE)
        self._events.add_node(node)
        self._entities: list[Any] = []
        self._topics: list[Serve] = []
        self._services: list[Serve] = []
        self._look_at_services = 0.0  # steady time [s]
        self._look_at_events = time.monotonic()

    def once(self) -> None:
        """Run the timers that are due, and a round if it is time for one, then sleep."""
        due = self._run_timers()
        now = time.monotonic()
        if now >= self._look_at_services:
            self._look_at_services = now + SERVICES_PERIOD
            self._look_for_entities()
            self._service_rounds.serve(self._services, max(due, now + LEAST))
        if now >= self._rounds.next(due):
            self._rounds.serve(self._topics, due)
        time.sleep(self._rounds.nap(due))

    def _run_timers(self) -> float:
        """Run the timers that are due. Returns the steady time [s] at which the next one is."""
        for timer in list(self._node.timers):
            _run_if_due(timer)
        if time.monotonic() >= self._look_at_events:
            self._look_at_events = time.monotonic() + EVENTS_PERIOD
            self._events.spin_once(timeout_sec=0)
        left = [timer.time_until_next_call() for timer in self._node.timers]
        wait = min((1e-9 * ns for ns in left if ns is not None), default=EVENTS_PERIOD)
        return time.monotonic() + wait

    def _look_for_entities(self) -> None:
        topics, services = [*self._node.subscriptions], [*self._node.services, *self._node.clients]
        if [*topics, *services] != self._entities:
            self._entities = [*topics, *services]
            self._topics = [self._guarded(topic) for topic in topics]
            self._services = [self._guarded(service) for service in services]

    def _guarded(self, entity: Any) -> Serve:
        serve = (
            _messages(entity) if isinstance(entity, Subscription)
            else partial(_answer, entity) if isinstance(entity, Client)
            else _requests(entity, self._node)
        )  # fmt: skip

        def guarded() -> bool:
            try:
                return serve()
            except InvalidHandle:  # destroyed by a callback earlier in this round
                return False
            except (
                rclpy_implementation.RCLError
            ) as error:  # for example a client that left before it was answered
                self._node.get_logger().warning(str(error), throttle_duration_sec=1.0)
                return True

        return guarded
