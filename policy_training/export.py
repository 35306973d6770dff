"""From a trained run to a bundle that the robot's own loader accepts, or nothing at all.

The graphs are checked through `spillguard_core.bundle.load_bundle` on recorded observations: what runs in
that check is byte for byte what the robot will run.
"""

import logging
import shutil
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from spillguard_core import bundle as robot
from spillguard_core.arm import (
    ACTION_SCALE,
    GEN3_LIMITS,
    JOINT_NAMES,
    MONITOR_PERIOD,
    POLICY_PERIOD,
    TWIST_NAMES,
)
from spillguard_core.manifest import (
    SCHEMA,
    ActionTerm,
    Limits,
    Manifest,
    ObservationTerm,
    Provenance,
    Threshold,
)
from spillguard_core.observation import TERMS
from spillguard_core.signing import SIGNATURE, sign

OPSET = 18
TWIST_UNITS = ("m/s", "m/s", "m/s", "rad/s")
LARGEST_BATCH = 4096  # the exporter wants a bound on the free dimension


@dataclass(frozen=True, eq=False)
class Contents:
    """What goes into a bundle, still as torch modules. N samples, O observation, A action."""

    policy: nn.Module  # obs (B, O) -> action (B, A)
    safety_critic: nn.Module  # obs (B, O), action (B, A) -> q_c (B,), twin already aggregated
    observations: NDArray[np.float32]  # (N, O) recorded in physical units, not zeros
    guard_xml: str
    task: str
    terms: tuple[str, ...]
    threshold: Threshold
    provenance: Provenance


def export_bundle(contents: Contents, out: Path, *, overwrite: bool = False, key: Path | None = None) -> Path:
    """Write the bundle directory `out`, or raise and leave nothing new behind."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; remove it, choose another place, or say --overwrite")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(contents, part)
        if key is not None:
            (part / SIGNATURE).write_bytes(sign((part / robot.MANIFEST).read_bytes(), key))
        robot.load_bundle(part, JOINT_NAMES)
        _replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _replace(part: Path, out: Path) -> None:
    """Put the finished directory in its place; the old one stays until the new one is complete."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _write(contents: Contents, folder: Path) -> None:
    obs = torch.as_tensor(contents.observations)
    with torch.no_grad():
        action = contents.policy.eval()(obs)
        q_c = contents.safety_critic.eval()(obs, action)
    _write_graph(contents.policy, {"obs": obs}, "action", folder / robot.POLICY)
    _write_graph(contents.safety_critic, {"obs": obs, "action": action}, "q_c", folder / robot.CRITIC)
    (folder / robot.GUARD).write_text(contents.guard_xml)
    recorded = {"obs": contents.observations, "action": action.numpy(), "q_c": q_c.numpy()}
    np.savez(folder / robot.SAMPLES, **recorded)
    hashes = {name: robot.sha256((folder / name).read_bytes()) for name in robot.FILES}
    (folder / robot.MANIFEST).write_text(manifest_of(contents, hashes).to_json())


def _write_graph(module: nn.Module, inputs: dict[str, torch.Tensor], output: str, path: Path) -> None:
    """One file with the weights inside, float32, free batch dimension, without traces of this machine."""
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists extras that are not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget(model.graph.node)
    _forget(model.graph.value_info)
    _forget([*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph, model])
    onnx.checker.check_model(model)
    onnx.save(model, path, save_as_external_data=False)


def _forget(entries: Iterable[object]) -> None:
    """Drop doc strings and metadata: the exporter stores stack traces, and with them paths, in every node."""
    for entry in entries:
        for name in ("metadata_props", "doc_string"):
            if hasattr(entry, name):
                entry.ClearField(name)  # type: ignore[attr-defined]


def manifest_of(contents: Contents, hashes: dict[str, str]) -> Manifest:
    """The manifest of these contents for the arm of `spillguard_core.arm`."""
    scales = zip(TWIST_NAMES, TWIST_UNITS, ACTION_SCALE.tolist(), strict=True)
    return Manifest(
        schema=SCHEMA,
        task=contents.task,
        observation=tuple(ObservationTerm(n, TERMS[n].width, TERMS[n].unit) for n in contents.terms),
        action=tuple(ActionTerm(name, unit, scale) for name, unit, scale in scales),
        joint_names=JOINT_NAMES,
        policy_rate=1.0 / POLICY_PERIOD,
        monitor_rate=1.0 / MONITOR_PERIOD,
        limits=Limits.of(GEN3_LIMITS),
        threshold=contents.threshold,
        provenance=contents.provenance,
        files=hashes,
    )
