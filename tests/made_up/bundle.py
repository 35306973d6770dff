"""A bundle for the made-up arm and task, and what another package has to do to offer the task."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policy_training.deployment.export import Contents, export_bundle
from spillguard_core.bundle.manifest import Provenance, Threshold
from tests.made_up.touch import ROBOT, TASK, guard_xml
from tests.ros.bundles import CalmCritic


class ToTheBall(nn.Module):
    """Straight towards the ball, slower near it."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 3) -> action (B, 3)."""
        return (-3.0 * obs).clamp(-1.0, 1.0)


def offered(folder: Path) -> Path:
    """The folder as a place of installed packages, one of which offers the task by entry point."""
    told = folder / "made_up_touch-0.1.dist-info"
    told.mkdir(parents=True)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up-touch\nVersion: 0.1\n")
    (told / "entry_points.txt").write_text("[spillguard.tasks]\ntouch = tests.made_up.touch:TASK\n")
    return folder


def touch_bundle(out: Path) -> Path:
    """Export it. The task has to be offered."""
    obs = np.random.default_rng(0).uniform(-0.5, 0.5, (16, 3)).astype(np.float32)
    provenance = Provenance("test", 0, "0" * 40, {}, {"torch": torch.__version__}, {})
    contents = Contents(
        policy=ToTheBall(), safety_critic=CalmCritic(), observations=obs, guard_xml=guard_xml(),
        task=TASK.name, terms=("tip_to_ball",), threshold=Threshold(None, "uncalibrated"),
        provenance=provenance, robot=str(ROBOT),
    )  # fmt: skip
    return export_bundle(contents, out)
