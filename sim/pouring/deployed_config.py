"""The safety monitor's deployed configuration, for campaigns in simulation: same numbers, same file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sim.pouring.gen3 import GEN3_LIMITS
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.gate_config import LAUNCH, NAMES, gate_config
from spillguard_core.gate.decision import GateConfig
from spillguard_core.robot.arm import MONITOR_PERIOD
from spillguard_core.tasks.pouring import TASK

PARAMETERS = LAUNCH / "params/safety_monitor.yaml"


def pouring_bundle(path: Path) -> Bundle:
    """Load a bundle that pours; ValueError for one of another task."""
    bundle = load_bundle(path)
    if bundle.task is not TASK:
        raise ValueError(
            f"{path} is a bundle of the task {bundle.task.name}, here cups are poured; try "
            f"spillguard demo --task {bundle.task.name}"
        )
    return bundle


def deployed_config(bundle: Bundle, threshold: float | None) -> GateConfig:
    """`launch/params/safety_monitor.yaml` and the bundle's limits, with a threshold for the critic."""
    return replace(gate_config(_parameters(), bundle), critic_threshold=threshold)


def uncritical_config() -> GateConfig:
    """The same parameters and the arm's own limits, for a gate without a critic."""
    parameters = _parameters()
    settings = {
        rule.setting.name: float(parameters[rule.setting.name]) for rule in TASK.rules if rule.setting
    }
    return GateConfig(
        limits=GEN3_LIMITS,
        period=MONITOR_PERIOD,
        critic_threshold=None,
        settings=settings,
        **{name: parameters[name] for name in NAMES},
    )


def _parameters() -> dict[str, Any]:
    try:
        found: dict[str, Any] = yaml.safe_load(PARAMETERS.read_text())["/**"]["ros__parameters"]
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{PARAMETERS.name} holds no parameters of the safety monitor: {error}") from error
    return found
