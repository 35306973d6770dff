"""Small bundles for the tests of the graph: real files, simple policies, no training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policy_training.export import Contents, export_bundle
from sim.cell_model import guard_model_xml
from spillguard_core.manifest import Calibration, Provenance, Threshold
from spillguard_core.observation import POUR_TERMS, observation_scaling

CENTRE = (0.68, 0.0, 0.34)  # [m] of the orbit; everything that could be touched lies below
RADIUS = 0.05  # [m]
TURN_RATE = 1.6  # [rad/s], which makes 0.08 m/s


CERTIFICATE = Calibration(  # so that the monitor takes the bundle; nothing was measured, and the text says so
    delta=0.02, confidence=0.95, horizon=1.0, lead=0.1, episodes=0, violations=0, missed=0, bound=1.0,
    highest_threshold=0.5, own_successes=0, own_disturbed=0,
)  # fmt: skip


class Orbit(nn.Module):
    """Moves the lip on a level circle for ever: an arm that is never at rest by itself."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        offset = obs[:, 3:6] - torch.tensor(CENTRE)
        x, y, z = offset.unbind(dim=1)
        radius = (x * x + y * y).sqrt().clamp(min=1e-3)
        outwards = 2.0 * (RADIUS - radius) / radius
        speed = torch.stack([outwards * x - TURN_RATE * y, outwards * y + TURN_RATE * x, -2.0 * z], dim=1)
        return torch.cat([(speed / 0.25).clamp(-0.4, 0.4), 0.0 * obs[:, :1]], dim=1)


class CalmCritic(nn.Module):
    """Sees no danger anywhere."""

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """q_c (B,)."""
        return 0.0 * (obs.sum(dim=1) + action.sum(dim=1))


def make_bundle(out: Path, policy: nn.Module) -> Path:
    """Export a policy with a critic that lets everything pass."""
    shift, scale = observation_scaling(POUR_TERMS)
    spread = np.random.default_rng(0).uniform(-1.0, 1.0, size=(16, len(shift))).astype(np.float32)
    return export_bundle(
        Contents(
            policy=policy,
            safety_critic=CalmCritic(),
            observations=shift + scale * spread,
            guard_xml=guard_model_xml(),
            task="spillguard/PourCoffee-v0",
            terms=POUR_TERMS,
            threshold=Threshold(0.5, "none: the critic sees no danger", CERTIFICATE),
            provenance=Provenance("test", 0, "0" * 40, {}, {"torch": torch.__version__}, {}),
        ),
        out,
    )
