"""The safety monitor's deployed configuration, for campaigns in simulation: same numbers, same file."""

from dataclasses import replace

import yaml

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.bundle.gate_config import LAUNCH, gate_config
from spillguard_core.gate.decision import GateConfig

PARAMETERS = LAUNCH / "params/safety_monitor.yaml"


def deployed_config(bundle: Bundle, threshold: float | None) -> GateConfig:
    """`launch/params/safety_monitor.yaml` and the bundle's limits, with a threshold for the critic."""
    try:
        parameters = yaml.safe_load(PARAMETERS.read_text())["/**"]["ros__parameters"]
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{PARAMETERS.name} holds no parameters of the safety monitor: {error}") from error
    return replace(gate_config(parameters, bundle), critic_threshold=threshold)
