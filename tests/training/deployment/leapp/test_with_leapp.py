"""With the package LEAPP itself: its runtime runs our pipelines, and what it exports becomes a bundle."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.deployment.leapp.command import main as leapp_main
from policy_training.deployment.wrap.command import main
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.graphs import PolicyRun
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.leapp.test_leapp_round_trip import POLICIES, ROOT, made, observations

if "SPILLGUARD_REQUIRE_LEAPP" in os.environ:
    import leapp
else:
    leapp = pytest.importorskip("leapp", reason="the extra leapp is not installed")

GEN3 = list(load_robot("gen3").joint_names)
RNG = np.random.default_rng(9)


@pytest.mark.parametrize("which", [*POLICIES, "artifacts/reach_ur5e", "artifacts/pour_coffee"])
def test_its_runtime_takes_our_pipeline_and_acts_as_the_bundle_does(tmp_path: Path, which: str) -> None:
    source = ROOT / which if which.startswith("artifacts") else made(tmp_path, which)
    assert leapp_main([str(source), "-o", str(tmp_path / "pipe")]) == 0
    theirs = leapp.InferenceManager(str(tmp_path / "pipe" / "pipe.yaml"))
    bundle = load_bundle(source)
    assert theirs.inputs == [f"policy/{name}" for name in bundle.terms]
    assert len(theirs.feedback_inputs) == bool(bundle.policy.memory)
    ends = np.cumsum([term.width for term in bundle.manifest.observation])[:-1]
    order = {axis.name: number for number, axis in enumerate(bundle.task.action)}
    ports = [port for port in theirs.nodes["policy"].output_descriptions if "kind" in port]
    entries = [order[name] for port in ports for name in port["element_names"][0]]
    assert sorted(entries) == sorted(order.values())
    for _ in range(2):  # episodes
        theirs.reset()
        run = PolicyRun(bundle.policy)
        for obs in observations(bundle, 10):
            parts = [torch.from_numpy(part[None]) for part in np.split(obs, ends)]
            made_there = theirs(dict(zip(theirs.inputs, parts, strict=True)))
            got = np.concatenate([made_there[place][0].numpy() for place in theirs.outputs])
            np.testing.assert_allclose(got, (run(obs) * bundle.scale)[entries], atol=1e-5)


class Recurrent(torch.nn.Module):
    """A policy with a GRU, as its authors write it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = torch.nn.GRU(14, 8), torch.nn.Linear(8, 7)
        self.register_buffer("h", torch.zeros(1, 1, 8))

    def forward(self, obs: Any) -> Any:
        seen, self.h = self.gru(obs.unsqueeze(0), self.h)
        return self.head(seen.squeeze(0))


def exported(folder: Path, form: str) -> Path:
    """Two nodes, traced by LEAPP: terms in one, a policy that remembers in the other."""
    from leapp import GraphConfigs, InputKindEnum, OutputKindEnum, TensorSemantics, annotate

    torch.manual_seed(0)
    gru, net = (
        Recurrent().eval(),
        torch.nn.Sequential(torch.nn.Linear(21, 8), torch.nn.Tanh(), torch.nn.Linear(8, 7)),
    )
    leapp.start(str(folder))
    order = GEN3[::-1]
    q, qd = annotate.input_tensors("obs", [
        TensorSemantics("q", torch.randn(1, 7), kind=InputKindEnum.JOINT_POSITION, element_names=order),
        TensorSemantics("qd", torch.randn(1, 7), kind=InputKindEnum.JOINT_VELOCITY, element_names=order),
    ])  # fmt: skip
    features = {"features": torch.cat([q - 0.5, 0.1 * qd], dim=-1)}
    seen = annotate.input_tensors(
        "policy", annotated(annotate.output_tensors("obs", features, export_with="onnx"))
    )
    if form == "recurrent":
        annotate.module("policy", gru)
        action = gru(seen)
    else:
        last = annotate.state_tensors("policy", {"last": torch.full((1, 7), 0.25)})
        action = net(torch.cat([seen, last], dim=-1))
        annotate.update_state("policy", {"last": action})
    target = TensorSemantics("target", 0.3 * action, kind=OutputKindEnum.JOINT_VELOCITY, element_names=order)
    backend = "onnx-torchscript" if form == "recurrent" else "onnx"
    annotate.output_tensors("policy", [target], export_with=backend)
    leapp.stop()
    leapp.compile_graph(visualize=False, graph_configs=GraphConfigs(frequency=40))
    return folder


def annotated(features: Any) -> dict[str, Any]:
    return {"features": features}


@pytest.mark.parametrize("form", ["last output", "recurrent"])
def test_what_it_exports_becomes_a_bundle_that_acts_as_its_runtime_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, contract = exported(tmp_path / "theirs", form), str(tmp_path / "contract.yaml")
    assert main([str(folder), "--draft", "--robot", "gen3", "--contract", contract]) == 0
    assert main([str(folder), "--contract", contract, "-o", str(tmp_path / "bundle")]) == 0
    bundle, theirs = load_bundle(tmp_path / "bundle"), leapp.InferenceManager(str(folder / "theirs.yaml"))
    assert bundle.manifest.policy_rate == 40.0
    run = PolicyRun(bundle.policy)
    for q, qd in RNG.uniform(-1.0, 1.0, (10, 2, 7)).astype(np.float32):
        told = {
            "obs/q": torch.from_numpy(q[None, ::-1].copy()),
            "obs/qd": torch.from_numpy(qd[None, ::-1].copy()),
        }
        wanted = theirs(told)["policy/target"][0].numpy()[::-1]
        got = run(np.concatenate([q, qd])) * bundle.scale
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert np.abs(wanted).max() > 0.01


def test_nothing_of_ours_imports_it() -> None:
    code = "import sys, policy_training.deployment.leapp.command, policy_training.deployment.wrap.command;" \
        "raise SystemExit('leapp' in sys.modules)"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.returncode == 0
