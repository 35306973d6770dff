"""Parameters of the safety monitor, and the gate configuration built from them and the bundle."""

from collections.abc import Iterable
from dataclasses import dataclass, make_dataclass
from typing import Any

from spillguard_core.gate.decision import SLOWEST
from spillguard_core.gate.patience import QUIET
from spillguard_core.gate.rule import Rule
from spillguard_ros.node.params import optional, required

# A policy that gave up is quiet for `QUIET`; the monitor must have seen that before it speaks again.
LONGEST_SILENCE = QUIET - 0.5


@dataclass(frozen=True)
class MonitorParameters:
    """Parameters of the monitor. Limits and the critic's threshold come with the bundle."""

    bundle: str = required("directory of the bundle")
    robot: str = required(
        "name of the arm, or a folder with its robot.yaml; a bundle may only tighten its limits"
    )
    command_timeout: float = required("age of a proposal [s] at which the arm holds", 0.01, 1.0)
    answer_timeout: float = required(
        "age of the joint state that a proposal answers [s] at which the arm holds", 0.01, 2.0
    )
    policy_timeout: float = required(
        "silence of the policy [s] after which it needs a resume when it speaks again", 0.01, LONGEST_SILENCE
    )
    teleop_timeout: float = required("age of a teleop message [s] at which the arm holds", 0.01, 1.0)
    state_timeout: float = required("age of the joint state [s] at which the arm stops", 0.01, 1.0)
    sensor_timeout: float = required("age of the other sensors [s] at which the arm holds", 0.01, 5.0)
    position_tolerance: float = required("[rad] a measured joint may read beyond its limit", 0.0, 0.1)
    max_tracking_error: float = required("[rad] between command and measurement", 0.001, 0.5)
    tracking_cycles: int = required("decisions in a row above that error before the arm stops", 1, 100)
    tracking_lag: float = required("[s] by which a healthy arm trails its command", 0.0, 0.5)
    settle_time: float = required("[s] after which a held arm must be still", 0.1, 10.0)
    still_speed: float = required("[rad/s] below which every joint counts as still", 0.001, 0.5)
    still_time: float = required("[s] over which that is judged", 0.05, 5.0)
    coast_time: float = required("[s] a command lasts beyond its period before it brakes", 0.0, 0.1)
    clearance: float = required("[m] kept from everything in the world model while braking", 0.0, 0.5)
    target_tolerance: float = required(
        "[m] a target may stand beside where it is sensed; kept from it beside the clearance", 0.0, 0.2
    )
    target_height_tolerance: float = required("[m] the same, higher or lower", 0.0, 0.2)
    target_reach: float = required("[m] outside the workspace at which a target may be", 0.0, 2.0)
    max_suspension: float = required("[s] for which the critic may be suspended; 0: never", 0.0, 600.0)
    critic_release: float = required("share of the threshold at which the critic lets go", 0.0, 1.0)
    record_limit: int = required("[MB] of the newest flight that are kept on the disk", 1, 1_000_000)
    record_reserve: int = required("[MB] of the disk that a recording leaves free", 0, 10**9)
    output: str = required(
        "what the arm's controller is given: trajectory, or positions, made of it by the position streamer"
    )
    driver_status: str = required("full name of the driver's status on /diagnostics; empty: none is awaited")
    driver_controller: str = required("full name of the controller that it has to call active; empty: none")
    driver_parameter: str = required(
        "boolean parameter of the trajectory controller that has to be true; empty, or with output "
        "positions: none is asked for"
    )
    driver_timeout: float = required(
        "age of that status [s] at which the arm stops, and for which reports must agree", 0.1, 60.0
    )
    allow_uncalibrated: bool = required("take a bundle whose critic's threshold promises nothing")
    shadow: bool = optional(False, "look on while somebody else moves the arm: nothing can be commanded")
    speed_scale: float = optional(1.0, "share of its speed at which every motion is made", SLOWEST, 1.0)
    joint_prefix: str = optional("", "before the names of joints and base frame in messages; empty: none")
    site: str = optional("", "file of the lab's own table, walls and zones; empty: the bundle's fixtures")
    record: str = optional("", "MCAP file to write the flight to; empty: no recording")
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")
    operator_keys: str = optional(
        "",
        "file of a public key, or folder of *.pub, one of which must have signed a reset, a resume or a "
        "suspension of the critic; one publisher each of proposals and teleop is then all that may be; "
        "empty: anybody may ask",
    )


def settings_parameters(rules: Iterable[Rule]) -> type:
    """Settings of the gate's rules, for `params.read_parameters`. None has a default."""
    entries: list[tuple[str, type, Any]] = []
    for setting in {rule.setting.name: rule.setting for rule in rules if rule.setting}.values():
        entries += [(setting.name, float, required(setting.text, setting.low, setting.high))]
    return make_dataclass("Settings", entries, frozen=True)
