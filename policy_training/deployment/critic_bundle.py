"""A bundle with another critic: one that was trained, or that of another bundle."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from policy_training.deployment.bundle_folder import folder_beside, replace_folder
from policy_training.deployment.calibrate import CRITIC_REPORT
from policy_training.deployment.onnx_graphs import write_graph
from policy_training.files import write_atomically
from policy_training.networks.squashed import SafetyCritic
from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import Manifest, Threshold


def write_bundle(
    source: Path, out: Path, critic: SafetyCritic | Path, threshold: float | None, how: str
) -> None:
    """The bundle `source` with another critic, uncalibrated, checked through the robot's own loader. The
    critic is a network, or that of the bundle at a path."""
    part = folder_beside(out)
    try:
        for name in robot.NEEDED:
            shutil.copyfile(source / name, part / name)
        with np.load(source / robot.SAMPLES) as samples:
            recorded = {name: samples[name] for name in samples.files}
        if isinstance(critic, Path):
            recorded["q_c"] = load_bundle(critic).own_critic(recorded["obs"], recorded["action"])
            shutil.copyfile(critic / robot.CRITIC, part / robot.CRITIC)
        else:
            obs, action = torch.as_tensor(recorded["obs"]), torch.as_tensor(recorded["action"])
            with torch.no_grad():
                recorded["q_c"] = critic(obs, action).numpy()
            write_graph(critic, {"obs": obs, "action": action}, "q_c", part / robot.CRITIC)
        np.savez(part / robot.SAMPLES, **recorded)
        manifest = Manifest.from_json((source / robot.MANIFEST).read_text())
        hashes = {name: robot.sha256((part / name).read_bytes()) for name in robot.FILES}
        manifest = replace(manifest, files=hashes, threshold=Threshold(threshold, how))
        (part / robot.MANIFEST).write_text(manifest.to_json())
        load_bundle(part)
        replace_folder(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def take_over(other: Path, source: Path, out: Path) -> None:
    """The bundle `source` with the critic of the bundle `other`, and the report on it. ValueError if they do
    not mean the same by their numbers."""
    donor, taker = load_bundle(other), load_bundle(source)
    # A bundle may name its task or the environment of it.
    ours, same = taker.manifest, donor.task.name == taker.task.name
    theirs = replace(donor.manifest, task=ours.task) if same else donor.manifest
    if theirs.interface != ours.interface:
        raise ValueError(
            f"the critic of {other} is of another observation, action, rate, task or robot than {source}"
        )
    report = (other / CRITIC_REPORT).read_bytes() if (other / CRITIC_REPORT).is_file() else None
    write_bundle(source, out, other, None, "uncalibrated: the critic of another bundle")
    if report is not None:
        (out / CRITIC_REPORT).parent.mkdir(exist_ok=True)
        write_atomically(out / CRITIC_REPORT, report)
