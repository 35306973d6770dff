"""The safety monitor as it is deployed, for campaigns in simulation: the same numbers from the same file."""

from pathlib import Path

import yaml

from spillguard_core.bundle import Bundle
from spillguard_core.decision import GateConfig

PARAMETERS = Path(__file__).parents[1] / "launch/params/safety_monitor.yaml"
FROM_BUNDLE = {"limits", "period", "critic_threshold"}


def deployed_config(bundle: Bundle, threshold: float | None) -> GateConfig:
    """`launch/params/safety_monitor.yaml` and the bundle's limits, with a threshold for the critic."""
    try:
        parameters = yaml.safe_load(PARAMETERS.read_text())["/**"]["ros__parameters"]
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{PARAMETERS.name} holds no parameters of the safety monitor: {error}") from error
    names = set(GateConfig.__dataclass_fields__) - FROM_BUNDLE
    return GateConfig(
        limits=bundle.manifest.limits.arrays(),
        period=1.0 / bundle.manifest.monitor_rate,
        critic_threshold=threshold,
        **{name: parameters[name] for name in names},
    )
