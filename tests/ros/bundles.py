"""Small bundles for tests of the graph: real files, simple policies, no training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.bundles import certified
from policy_training.deployment.export import Contents, export_bundle
from sim.pouring.cell_model import guard_model_xml
from spillguard_core.bundle.manifest import Provenance, Threshold
from spillguard_core.gate.task import observation_scaling
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.observation import POUR_TERMS

CENTRE = (0.68, 0.0, 0.34)  # [m] of the orbit; all obstacles lie below
RADIUS = 0.05  # [m]
TURN_RATE = 1.6  # [rad/s], which makes 0.08 m/s


class Orbit(nn.Module):
    """Moves the lip on a horizontal circle for ever: the arm never rests by itself."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        offset = obs[:, 3:6] - torch.tensor(CENTRE)
        x, y, z = offset.unbind(dim=1)
        radius = (x * x + y * y).sqrt().clamp(min=1e-3)
        outwards = 2.0 * (RADIUS - radius) / radius
        speed = torch.stack([outwards * x - TURN_RATE * y, outwards * y + TURN_RATE * x, -2.0 * z], dim=1)
        return torch.cat([(speed / 0.25).clamp(-0.4, 0.4), 0.0 * obs[:, :1]], dim=1)


class CalmCritic(nn.Module):
    """Considers every action safe."""

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """q_c (B,)."""
        return 0.0 * (obs.sum(dim=1) + action.sum(dim=1))


def make_bundle(out: Path, policy: nn.Module) -> Path:
    """Export a policy with a critic that passes everything."""
    shift, scale = observation_scaling(POURING, POUR_TERMS)
    spread = np.random.default_rng(0).uniform(-1.0, 1.0, size=(16, len(shift))).astype(np.float32)
    exported = export_bundle(
        Contents(
            policy=policy,
            safety_critic=CalmCritic(),
            observations=shift + scale * spread,
            guard_xml=guard_model_xml(),
            task="spillguard/PourCoffee-v0",
            terms=POUR_TERMS,
            threshold=Threshold(0.5, "none: the critic sees no danger"),
            provenance=Provenance("test", 0, "0" * 40, {}, {"torch": torch.__version__}, {}),
        ),
        out,
    )
    return certified(exported, 0.5)
