"""The gate's configuration, built in one place from the monitor's parameters and a bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import spillguard_core
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate.decision import GateConfig

LAUNCH = Path(spillguard_core.__file__).parent / "launch"
"""The launch folder, as installed with this package."""
FROM_BUNDLE = {"limits", "period", "critic_threshold", "settings", "longest_chunk"}
WAYS = ("shadow", "speed_scale")
"""How the gate is brought to an arm. What is not given is as `GateConfig` has it: guarded, full speed."""
NAMES = tuple(name for name in GateConfig.__dataclass_fields__ if name not in {*FROM_BUNDLE, *WAYS})
"""Required parameters, besides the settings of the rules."""


def gate_config(parameters: Mapping[str, Any], bundle: Bundle) -> GateConfig:
    """Limits, period and threshold from the bundle, everything else from the parameters.

    ValueError if one is missing, or if a proposal would be stale before the next one can arrive.
    """
    manifest = bundle.manifest
    settings = {rule.setting.name: rule.setting for rule in bundle.rules if rule.setting}
    missing = [name for name in (*NAMES, *settings) if name not in parameters]
    if missing:
        raise ValueError(f"the safety monitor's parameters lack {', '.join(missing)}")
    for name, setting in settings.items():
        if not setting.low <= parameters[name] <= setting.high:
            allowed = f"allowed is {setting.low} to {setting.high}"
            raise ValueError(f"{name} is {parameters[name]}, {allowed}: {setting.text}")
    if not parameters["command_timeout"] <= 2.0 / manifest.policy_rate:
        raise ValueError(
            f"command_timeout is {parameters['command_timeout']} s, allowed are two periods of the policy, "
            f"{2.0 / manifest.policy_rate} s"
        )
    ahead = 0.0 if manifest.ahead is None else manifest.ahead.lasts
    if not parameters["policy_timeout"] >= 2.0 / manifest.policy_rate - ahead:
        raise ValueError(
            f"policy_timeout is {parameters['policy_timeout']} s, needed are two periods of the policy, "
            f"{2.0 / manifest.policy_rate} s, or more"
        )
    return GateConfig(
        limits=manifest.limits.arrays(),
        period=1.0 / manifest.monitor_rate,
        critic_threshold=manifest.threshold.value,
        longest_chunk=ahead,
        settings={name: float(parameters[name]) for name in settings},
        **{name: parameters[name] for name in NAMES},
        **{name: parameters[name] for name in WAYS if name in parameters},
    )
