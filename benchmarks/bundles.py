"""Bundles for the benchmarks of the robot side: the shipped one, and two that need no training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.record import ROOT
from policy_training.deployment.calibrate import rewrite
from policy_training.deployment.calibration import upper_bound
from policy_training.deployment.export import Contents, export_bundle
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Actor, DeterministicPolicy, EnsembleCritic, SafetyCritic
from sim.pouring.cell_model import guard_model_xml
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import Calibration, Conditions, Provenance, Threshold
from spillguard_core.gate.task import observation_scaling
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.observation import POUR_TERMS

SHIPPED = ROOT / "artifacts" / "pour_coffee"
WIDTHS = (256, 256)
POURED = 12  # index of the poured mass in the observation
SPEED = 0.12  # of the action; 0.03 m/s


def certified(bundle: Path, threshold: float) -> Path:
    """With a certificate that the monitor accepts whatever its parameters. Nothing was measured."""
    manifest = load_bundle(bundle).manifest
    found = Calibration(
        delta=0.02, confidence=0.95, horizon=1.0, lead=0.1, episodes=360, violations=40, missed=0,
        bound=upper_bound(0, 360, 0.95), highest_threshold=threshold, own_successes=0, own_disturbed=0,
        conditions=Conditions(
            manifest.files, manifest.limits, clearance=0.0, settings={"free_tilt": 3.2},
            interface=manifest.interface,
        ),
    )  # fmt: skip
    rewrite(bundle, Threshold(threshold, "none: the critic sees no danger", found), key=None)
    return bundle


class UpOrDown(nn.Module):
    """Lip up while the load cell feels more than 50 g, down otherwise: a sensor whose effect can be timed."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        up = torch.where(obs[:, POURED : POURED + 1] > 0.05, SPEED, -SPEED)
        return torch.cat([torch.zeros_like(obs[:, :2]), up, torch.zeros_like(up)], dim=1)


class Slow(nn.Module):
    """An untrained policy of the usual size that stays well inside the limits for a while."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        return 0.1 * self.policy(obs)


class Calm(nn.Module):
    """A critic of the usual size that accepts everything."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """q_c (B,) below 1e-3."""
        return 1e-3 * self.critic(obs, action)


def make_bundle(out: Path, policy: nn.Module | None = None) -> Path:
    """Networks of the usual size; an untrained policy unless one is given."""
    torch.manual_seed(0)
    shift, scale = observation_scaling(POURING, POUR_TERMS)
    spaces = Spaces(len(shift), 4, shift, scale)
    spread = np.random.default_rng(0).uniform(-1.0, 1.0, (16, len(shift))).astype(np.float32)
    contents = Contents(
        policy=policy or Slow(DeterministicPolicy(Actor(spaces, WIDTHS))),
        safety_critic=Calm(SafetyCritic(EnsembleCritic(spaces, WIDTHS), "max")),
        observations=shift + scale * spread,
        guard_xml=guard_model_xml(),
        task="spillguard/PourCoffee-v0",
        terms=POUR_TERMS,
        threshold=Threshold(0.5, "none: the critic sees no danger"),
        provenance=Provenance("benchmark", 0, "0" * 40, {}, {"torch": torch.__version__}, {}),
    )
    return certified(export_bundle(contents, out), 0.5)
