"""Bundles of the fault tests: policies that never rest by themselves."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from policy_training.deployment.onnx_graphs import write_checked
from spillguard_core.bundle import bundle as robot_side
from spillguard_core.bundle.bundle import load_bundle
from tests.faults.arms import FaultArm
from tests.ros.bundles import CENTRE, Orbit, make_bundle

SAMPLES = 16


class ReverseOrbit(Orbit):
    """The same circle in the opposite direction."""

    def forward(self, obs: Tensor) -> Tensor:
        """Observation (B, 14) -> action (B, 4)."""
        mirror = torch.tensor([1.0, -1.0, 1.0])
        offset = torch.cat([obs[:, :3], obs[:, 3:6] * mirror, obs[:, 6:]], dim=1)
        action = super().forward(offset)
        return torch.cat([action[:, :3] * mirror, action[:, 3:]], dim=1)


class ToolOrbit(nn.Module):
    """Such a circle of a tool around a place of its own."""

    def __init__(self, orbit: Orbit, centre: np.ndarray) -> None:
        """`centre` (3,) [m]."""
        super().__init__()
        self._orbit, self._shift = orbit, [c - float(x) for c, x in zip(CENTRE, centre, strict=True)]

    def forward(self, obs: Tensor) -> Tensor:
        """The tool's position (B, 3) [m] -> its twist (B, 6); it does not turn."""
        action = self._orbit(torch.cat([0.0 * obs, obs + torch.tensor(self._shift)], dim=1))
        return torch.cat([action[:, :3], 0.0 * obs], dim=1)


def orbit_bundle(arm: FaultArm, out: Path, orbit: Orbit) -> Path:
    """The arm's bundle with a policy that leads its tool round a circle."""
    return make_bundle(out, orbit) if arm.bundle is None else _with_policy(arm, arm.bundle, out, orbit)


def _with_policy(arm: FaultArm, shipped: Path, out: Path, orbit: Orbit) -> Path:
    """The shipped bundle, all but its policy, which here sees the tool's position alone."""
    bundle, limits = load_bundle(shipped, arm.robot), arm.robot.limits
    centre = 0.5 * (limits.workspace_min + limits.workspace_max)
    centre[2] = bundle.tool().pose(arm.robot.rest).position[2]
    policy = ToolOrbit(orbit, centre).eval()
    obs = np.random.default_rng(0).uniform(limits.workspace_min, limits.workspace_max, (SAMPLES, 3))
    seen = torch.as_tensor(obs.astype(np.float32))
    shutil.copytree(shipped, out)
    write_checked(policy, {"obs": seen}, "action", out / robot_side.POLICY)
    with torch.no_grad():
        np.savez(out / robot_side.SAMPLES, obs=seen.numpy(), action=policy(seen).numpy())
    manifest = json.loads((out / robot_side.MANIFEST).read_text())
    manifest["observation"] = [{"name": "tool_position", "width": 3, "unit": "m"}]
    manifest["files"] = {name: robot_side.sha256((out / name).read_bytes()) for name in manifest["files"]}
    (out / robot_side.MANIFEST).write_text(json.dumps(manifest))
    load_bundle(out, arm.robot)
    return out
