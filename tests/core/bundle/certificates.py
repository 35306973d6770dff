"""Sound certificates, to be spoiled by tests."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.stats import beta

from spillguard_core.bundle.manifest import Calibration, Conditions, Manifest
from spillguard_core.gate.decision import GateConfig
from spillguard_core.tasks.pouring import TASK as POURING
from tests.core.conftest import CONFIG

CLEARANCE, TOLERANCE, FREE_TILT, RULES = 0.008, 0.012, {"free_tilt": 0.9}, POURING.rules


def gate(
    clearance: float = CLEARANCE,
    settings: Mapping[str, float] = FREE_TILT,
    tolerance: float = TOLERANCE,
    height_tolerance: float = TOLERANCE,
) -> GateConfig:
    """A configuration that checks nothing: a certificate has to be judged beside any."""
    config = copy(CONFIG)
    for name, value in (
        ("clearance", clearance), ("settings", settings), ("target_tolerance", tolerance),
        ("target_height_tolerance", height_tolerance),
    ):  # fmt: skip
        object.__setattr__(config, name, value)
    return config


GATE = gate()


def bound(missed: int, episodes: int, confidence: float = 0.95) -> float:
    return float(beta.ppf(confidence, missed + 1, episodes - missed))


def changed(manifest: Manifest, **figures: Any) -> Manifest:
    certificate = manifest.threshold.certificate
    assert certificate is not None
    return replace(
        manifest, threshold=replace(manifest.threshold, certificate=replace(certificate, **figures))
    )


def conditions(manifest: Manifest, **figures: Any) -> Manifest:
    certificate = manifest.threshold.certificate
    assert certificate is not None and certificate.conditions is not None
    return changed(manifest, conditions=replace(certificate.conditions, **figures))


def certified_of(exported: Path) -> Manifest:
    """Threshold 0.3 of 400 episodes with 30 violations, 2 of them missed."""
    manifest = Manifest.from_json((exported / "manifest.json").read_text())
    found = Calibration(
        delta=0.02, confidence=0.95, horizon=1.0, lead=0.1, episodes=400, violations=30, missed=2,
        bound=bound(2, 400), highest_threshold=0.5, own_successes=40, own_disturbed=1,
        conditions=Conditions(
            manifest.files, manifest.limits, CLEARANCE, FREE_TILT, TOLERANCE, TOLERANCE,
            manifest.interface,
        ),
    )  # fmt: skip
    return replace(manifest, threshold=replace(manifest.threshold, value=0.3, certificate=found))
