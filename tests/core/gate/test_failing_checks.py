"""A check that ends with an error, the arm's own or a lab's: the arm brakes and stops, and says which."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Mode, Request
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Parts, Rule, Way
from tests.core.conftest import Rig

ALONG = np.array([0.25, 0.0, 0.0, 0.0])
LAB = Reason("LAB_LIMIT", "a lab's own limit", Verdict.LIMIT)


class NoParts:
    """A margin of somebody's that was never tried near its limit."""

    least = -1.0

    def kept(self, now: Any) -> bool:
        return False


def divides(way: Way) -> Parts:
    return Parts(np.array([1 / 0]))


def no_parts(way: Way) -> Any:
    return NoParts()


def crash(*_: Any) -> Any:
    raise RuntimeError("out of " + "memory " * 1000)


class MuteError(Exception):
    """Whose own text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def mute(*_: Any) -> Any:
    raise MuteError


def lines(*_: Any) -> Any:
    raise ValueError("one\ntwo\x1b[31m")


class Nameless(type):
    """Of errors whose very name raises."""

    @property
    def __name__(cls) -> str:
        raise RuntimeError("no name")


class NamelessError(Exception, metaclass=Nameless):
    """See its class."""


def nameless(*_: Any) -> Any:
    raise NamelessError


def leave(*_: Any) -> Any:
    sys.exit(0)


def broken(rig: Rig, how: str) -> None:
    """Put something into the gate that raises."""
    changes: dict[str, Any] = {
        "rule": {"more_rules": (Rule("lab", "m", LAB, divides),)},
        "margin": {"more_rules": (Rule("lab", "m", LAB, no_parts),)},
        "critic": {"critic": crash},
        "mute": {"critic": mute},
        "lines": {"critic": lines},
        "nameless": {"critic": nameless},
        "exit": {"more_rules": (Rule("lab", "m", LAB, leave),)},
        "candidates": {"task": replace(rig.models.task, candidates=crash)},
        "doubt": {"task": replace(rig.models.task, doubt=crash)},
    }
    rig.models = replace(rig.models, **changes[how])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("rule", "ZeroDivisionError"), ("margin", "AttributeError"), ("critic", "RuntimeError: out of"),
        ("mute", "MuteError"), ("lines", "ValueError: one?two?[31m"),
        ("nameless", "an error that does not let itself be told"), ("exit", "SystemExit"),
        ("candidates", "RuntimeError"), ("doubt", "RuntimeError"),
    ],
)  # fmt: skip
def test_the_arm_brakes_and_stops_and_a_reset_does_not_hide_it(rig: Rig, how: str, said: str) -> None:
    whole = rig.models
    rig.follow(30, ALONG)
    assert np.abs(rig.qd).max() > 0.05
    broken(rig, how)
    decision = rig.tick(ALONG)
    assert (decision.verdict, decision.reason) == (Verdict.STOP, reasons.CHECK_FAILED)
    assert said in decision.detail and len(decision.detail) <= 300
    before = np.abs(decision.qd).max()
    for _ in range(60):
        decision = rig.tick(ALONG)
        assert np.abs(decision.qd).max() <= before + 1e-9
        before = np.abs(decision.qd).max()
    assert before == 0.0 and decision.mode is Mode.STOPPED
    rig.tick(ALONG, Request.RESET)
    assert rig.decision.mode is Mode.HELD
    rig.tick(ALONG, Request.RESUME)
    assert rig.tick(ALONG).reason is reasons.CHECK_FAILED
    rig.models = whole
    rig.follow(5, ALONG)
    assert rig.decision.verdict is Verdict.PASS


def test_a_margin_that_nothing_can_be_worse_than_is_not_kept(rig: Rig) -> None:
    worst = Parts(np.array([-np.inf]))
    assert not worst.kept(None) and not worst.kept(worst)
    rig.follow(30, ALONG)
    rig.models = replace(rig.models, more_rules=(Rule("lab", "m", LAB, lambda way: worst),))
    assert not rig.run(60, ALONG).qd.any()
