"""What the SROS 2 policy allows, as a file. Nothing here shows that it is enforced."""

from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spillguard_core.gate.decision import Request
from spillguard_core.robot.arm import load_robot

FILE = Path(__file__).parents[2] / "launch" / "sros2_policy.xml"
OPENING = {"safety_monitor/reset", "safety_monitor/resume", "safety_monitor/suspend_critic",
           "safety_monitor/signed", "safety_monitor/challenge"}  # fmt: skip


def allowed() -> dict[tuple[str, str], set[str]]:
    """Names by enclave and verb."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for enclave in ElementTree.parse(FILE).getroot().iter("enclave"):
        for names in (*enclave.iter("topics"), *enclave.iter("services")):
            assert set(names.attrib.values()) == {"ALLOW"}
            for verb in names.attrib:
                found[enclave.attrib["path"].rpartition("/")[2], verb] |= {str(name.text) for name in names}
    return found


def names(found: list[tuple[str, list[str]]]) -> set[str]:
    """Without the namespace, and without what every node has: parameters and lifecycle."""
    own = {name.removeprefix("/left/").removeprefix("/") for name, _ in found}
    common = ("parameter", "change_state", "get_state", "get_available", "get_transition", "type_description")
    return {name for name in own if not any(word in name for word in common)}


def who(verb: str, name: str) -> set[str]:
    return {enclave for (enclave, asked), names in allowed().items() if asked == verb and name in names}


def test_the_monitor_alone_commands_and_the_policy_only_proposes() -> None:
    assert who("publish", load_robot("gen3").command_topic) == {"safety_monitor"}
    assert who("publish", "policy/proposal") == {"policy"}
    assert who("publish", "teleop/twist") == {"teleoperator"}
    own = {name for name in allowed()["policy", "publish"] if not name.startswith("policy/")}
    assert own == {"rosout", "parameter_events"}
    assert not allowed()["policy", "request"]


@pytest.mark.parametrize("service", sorted(OPENING))
def test_the_operators_enclave_alone_calls_what_makes_motion_possible(service: str) -> None:
    assert who("request", service) == {"operator"}


def test_every_service_of_the_monitor_is_named_and_nothing_is_allowed_by_a_wildcard() -> None:
    named = allowed()["safety_monitor", "reply"]
    assert named == {f"safety_monitor/{request.value}" for request in Request} | OPENING
    assert "safety_monitor/stop" in allowed()["teleoperator", "request"]
    assert not [name for names in allowed().values() for name in names if "*" in name]
