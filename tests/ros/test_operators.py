"""Who may ask a monitor: challenges and signatures, on a clock that the test sets. No graph."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue

from spillguard_ros.monitor import operators
from spillguard_ros.monitor.operators import Operators
from spillguard_ros.node.keys import load_public_keys, make_keys
from spillguard_ros.node.signed import OUT_OF_DATE, SUSPEND, Signer, from_parameters, to_parameters

MONITOR = "/left/safety_monitor"


class Door:
    """A monitor's side and an operator's, on one clock."""

    def __init__(self, folder: Path) -> None:
        private, public = make_keys("ann", folder)
        self.now, self.signer, self.folder = 100.0, Signer(private), folder
        self.operators = Operators(load_public_keys(public), MONITOR, lambda: self.now)

    def asked(self, verb: str = "reset", monitor: str = MONITOR, **more: object) -> list[Parameter]:
        """A right request, as far as the arguments are right."""
        given: dict[str, object] = {"challenge": self.operators.challenge(), **more}
        return list(self.signer.request(monitor, verb, **given).parameters)  # type: ignore[arg-type]


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "keys")


def test_a_signed_answer_is_taken_once(door: Door) -> None:
    asked = door.asked("resume")
    name, request = door.operators.check(asked)
    assert (name, request.verb) == ("ann", "resume")
    with pytest.raises(ValueError, match=OUT_OF_DATE):
        door.operators.check(asked)
    assert door.operators.check(door.asked("resume"))[0] == "ann"  # with a new challenge


def test_a_challenge_is_good_for_a_few_seconds(door: Door) -> None:
    asked, late = door.asked(), door.asked()
    door.now += operators.GOOD - 0.01
    assert door.operators.check(asked)[0] == "ann"
    later = Door(door.folder / "other")
    late = later.asked()
    later.now += operators.GOOD
    with pytest.raises(ValueError, match=OUT_OF_DATE):
        later.operators.check(late)


def test_every_challenge_given_out_lasts_as_long_as_was_said(door: Door) -> None:
    """Also one that another had asked for before."""
    door.operators.challenge()
    door.now += operators.RENEWED - 0.01
    asked = door.asked()
    door.now += operators.GOOD - operators.RENEWED
    assert door.operators.check(asked)[0] == "ann"


def test_nobody_is_displaced_by_a_flood_of_challenges_and_memory_is_bounded(door: Door) -> None:
    asked = door.asked()
    seen = set()
    for _ in range(10_000):
        seen.add(door.operators.challenge())
        door.now += 1e-4
    assert len(seen) == 1
    for _ in range(1000):
        seen.add(door.operators.challenge())
        door.now += 1.0
        assert len(door.operators._open) <= 3
    assert len(seen) > 100
    with pytest.raises(ValueError, match=OUT_OF_DATE):
        door.operators.check(asked)


def test_a_wrong_signature_uses_nobodys_challenge_up(door: Door) -> None:
    asked = door.asked()
    wrong = replace(from_parameters(asked), signature="0" * 128)
    for _ in range(100):
        with pytest.raises(ValueError, match="the signature does not fit"):
            door.operators.check(to_parameters(wrong))
    assert door.operators.check(asked)[0] == "ann"


def test_another_monitors_answer_is_refused(door: Door) -> None:
    with pytest.raises(ValueError, match=r"does not fit.*/left/safety_monitor"):
        door.operators.check(door.asked(monitor="/right/safety_monitor"))
    other = Operators(load_public_keys(door.folder), "/right/safety_monitor", lambda: door.now)
    with pytest.raises(ValueError, match=OUT_OF_DATE):
        door.operators.check(door.asked(challenge=other.challenge()))


def test_a_key_that_the_monitor_does_not_have_is_refused(door: Door, tmp_path: Path) -> None:
    door.signer = Signer(make_keys("eve", tmp_path)[0])
    with pytest.raises(ValueError, match="not among operator_keys"):
        door.operators.check(door.asked())


@pytest.mark.parametrize(
    "tamper",
    [
        lambda asked: replace(asked, verb="resume"),
        lambda asked: replace(asked, verb=SUSPEND),
        lambda asked: replace(asked, signature=asked.signature[::-1]),
    ],
)
def test_a_tampered_request_is_refused(door: Door, tamper: Callable) -> None:
    changed = tamper(from_parameters(door.asked("reset")))
    with pytest.raises(ValueError, match="does not fit"):
        door.operators.check(to_parameters(changed))


@pytest.mark.parametrize("more", [{"reason": "other"}, {"seconds": 60.0}, {"seconds": -0.0}])
def test_a_tampered_suspension_is_refused(door: Door, more: dict) -> None:
    asked = from_parameters(door.asked(SUSPEND, reason="empty cup", seconds=0.0))
    with pytest.raises(ValueError, match="does not fit"):
        door.operators.check(to_parameters(replace(asked, **more)))
    assert door.operators.check(to_parameters(asked))[1].reason == "empty cup"


def text(name: str, value: str) -> Parameter:
    return Parameter(name=name, value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value))


@pytest.mark.parametrize("spoil", ["stop", "hold", "restore_critic", "", "RESET", "reset ", "shutdown"])
def test_a_verb_that_is_not_signed_is_none(door: Door, spoil: str) -> None:
    parameters = [p for p in door.asked() if p.name != "verb"] + [text("verb", spoil)]
    with pytest.raises(ValueError, match="reset, resume, suspend_critic are signed"):
        door.operators.check(parameters)


def test_what_is_malformed_is_refused_with_what_is_needed(door: Door) -> None:
    right = door.asked()
    by_name = {p.name: p for p in right}
    number = Parameter(name="challenge", value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE))
    for parameters in (
        [], right[:-1], [*right, right[0]], [*right, text("more", "")], right * 1000,
        [*right[:1], *right[1:2], number, right[3]],
    ):  # fmt: skip
        with pytest.raises(ValueError, match="needed are verb, key, challenge and signature"):
            door.operators.check(parameters)
    for name, value in (
        ("challenge", ""), ("challenge", "g" * 64), ("challenge", "A" * 64), ("key", "0" * 65),
        ("signature", "٣" * 128), ("signature", " " + "0" * 127), ("challenge", "0" * 1_000_000),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} has to be .* hexadecimal digits in lower case"):
            door.operators.check([*({**by_name, name: text(name, value)}.values())])
    long = door.asked(SUSPEND, reason="x" * 401, seconds=1.0)
    with pytest.raises(ValueError, match="longer than 400"):
        door.operators.check(long)
    assert door.operators.check(right)[0] == "ann"  # none of it has used the challenge up
