"""What the safety monitor has to be told, and what it makes of it together with the bundle."""

from dataclasses import dataclass

from spillguard_core.bundle import Bundle
from spillguard_core.decision import GateConfig
from spillguard_ros.params import optional, required
from spillguard_ros.status import UNCALIBRATED


@dataclass(frozen=True)
class MonitorParameters:
    """What the monitor has to be told. Limits and the critic's threshold come with the bundle."""

    bundle: str = required("directory of the bundle")
    command_timeout: float = required("age of a proposal [s] at which the arm holds", 0.01, 1.0)
    teleop_timeout: float = required("age of a teleop message [s] at which the arm holds", 0.01, 1.0)
    state_timeout: float = required("age of the joint state [s] at which the arm stops", 0.01, 1.0)
    sensor_timeout: float = required("age of the other sensors [s] at which the arm holds", 0.01, 5.0)
    position_tolerance: float = required("[rad] a measured joint may read beyond its limit", 0.0, 0.1)
    max_tracking_error: float = required("[rad] between command and measurement", 0.001, 0.5)
    tracking_cycles: int = required("decisions in a row above that error before the arm stops", 1, 100)
    tracking_lag: float = required("[s] by which a healthy arm trails its command", 0.0, 0.5)
    settle_time: float = required("[s] after which a held arm must be still", 0.1, 10.0)
    still_speed: float = required("[rad/s] below which every joint counts as still", 0.001, 0.5)
    coast_time: float = required("[s] a command lasts beyond its period before it brakes", 0.0, 0.1)
    clearance: float = required("[m] kept from everything in the world model while braking", 0.0, 0.5)
    free_tilt: float = required("[rad] the cup may lean beside the target", 0.0, 3.2)
    max_suspension: float = required("[s] for which the critic may be suspended; 0: never", 0.0, 600.0)
    critic_release: float = required("share of the threshold at which the critic lets go", 0.0, 1.0)
    record_limit: int = required("[MB] of the newest flight that are kept on the disk", 1, 1_000_000)
    record_reserve: int = required("[MB] of the disk that a recording leaves free", 0, 10**9)
    driver_status: str = required("name of the driver's status on /diagnostics; empty: none is awaited")
    driver_controller: str = required("controller that this status has to call active; empty: none")
    driver_timeout: float = required("age of that status [s] at which the arm stops", 0.1, 60.0)
    allow_uncalibrated: bool = required("take a bundle whose critic's threshold promises nothing")
    record: str = optional("", "MCAP file to write the flight to; empty: no recording")
    public_key: str = optional("", "file of the Ed25519 key that must have signed the bundle")


def gate_config(parameters: MonitorParameters, bundle: Bundle) -> GateConfig:
    """The gate's configuration from the parameters and the bundle's manifest."""
    manifest, same = bundle.manifest, (
        "command_timeout", "teleop_timeout", "state_timeout", "sensor_timeout", "position_tolerance",
        "max_tracking_error", "tracking_cycles", "tracking_lag", "settle_time", "still_speed", "coast_time",
        "clearance", "free_tilt", "critic_release", "max_suspension",
    )  # fmt: skip
    if not parameters.command_timeout <= 2.0 / manifest.policy_rate:
        raise ValueError(
            f"command_timeout is {parameters.command_timeout} s, allowed are two periods of the policy, "
            f"{2.0 / manifest.policy_rate} s"
        )
    return GateConfig(
        limits=manifest.limits.arrays(),
        period=1.0 / manifest.monitor_rate,
        critic_threshold=manifest.threshold.value,
        **{name: getattr(parameters, name) for name in same},
    )


def calibration(parameters: MonitorParameters, bundle: Bundle) -> str:
    """What the threshold promises, for every status. ValueError for a bundle that may not run."""
    threshold = bundle.manifest.threshold
    if threshold.certificate is not None:
        return threshold.calibration
    if not parameters.allow_uncalibrated:
        raise ValueError(
            f"the threshold of bundle {parameters.bundle} promises nothing ({threshold.calibration}); run "
            "`spillguard calibrate` on it, or set allow_uncalibrated to true"
        )
    return f"{UNCALIBRATED}: {threshold.calibration}"
