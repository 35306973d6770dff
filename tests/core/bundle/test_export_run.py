"""`spillguard export` on a real, very short run of the pouring task."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from policy_training.deployment.calibrate import bundle_of
from policy_training.deployment.export import export_graphs, main, threshold_of
from policy_training.runs.trained import load_policy
from policy_training.train import main as train
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.tasks.pouring.observation import POUR_TERMS

SHORT: Sequence[str] = (
    "--steps", "80", "--warmup", "40", "--prior-episodes", "0", "--pretrain", "0", "--no-env-processes",
    "--no-eval-process", "--eval-every", "80", "--eval-episodes", "1", "--log-every", "40",
    "--hidden", "16", "16", "--no-progress",
)  # fmt: skip


def trained(algo: str, env: str, folder: Path) -> Path:
    assert train(["--algo", algo, "--env", env, "--runs", str(folder), *SHORT]) == 0
    (run,) = (checkpoint.parent for checkpoint in folder.glob("*/*/*/checkpoint.pt"))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("meta_sac_lag", "spillguard/PourCoffee-v0", tmp_path_factory.mktemp("runs"))


def test_bundle_of_a_run_computes_what_the_run_computes(run: Path, tmp_path: Path) -> None:
    assert main([str(run), "-o", str(tmp_path / "bundle"), "--threshold", "0.1"]) == 0
    bundle, source = load_bundle(tmp_path / "bundle"), load_policy(run)
    obs = np.random.default_rng(3).normal(size=(16, 14)).astype(np.float32)
    action = source.policy(torch.as_tensor(obs))
    np.testing.assert_allclose(bundle.policy(obs), action.numpy(), atol=1e-5)
    assert source.safety_critic is not None
    q_c = source.safety_critic(torch.as_tensor(obs), action).numpy()
    np.testing.assert_allclose(bundle.critic(obs, action.numpy()), q_c, atol=1e-5)
    assert bundle.terms == POUR_TERMS


def test_bundle_of_a_run_says_where_it_comes_from(run: Path, tmp_path: Path) -> None:
    assert main([str(run), "-o", str(tmp_path / "bundle"), "--threshold", "0.1"]) == 0
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.provenance.algorithm == "meta_sac_lag"
    assert manifest.provenance.config["seed"] == 1
    assert manifest.provenance.versions["torch"] == str(torch.__version__)
    assert manifest.threshold.calibration == "given at export"


def test_threshold_is_the_one_asked_for(run: Path, tmp_path: Path) -> None:
    assert main([str(run), "-o", str(tmp_path / "bundle"), "--threshold", "0.35"]) == 0
    assert load_bundle(tmp_path / "bundle").manifest.threshold.value == 0.35


def test_calibration_of_a_run_makes_its_bundle_once(run: Path, tmp_path: Path) -> None:
    made = bundle_of(run)
    assert made == run / "bundle"
    assert load_bundle(made).manifest.threshold.value is None  # nothing was promised yet
    written = (made / "manifest.json").stat().st_mtime_ns
    assert bundle_of(run) == made == bundle_of(made)
    assert (made / "manifest.json").stat().st_mtime_ns == written
    assert bundle_of(tmp_path) == tmp_path  # neither run nor bundle: the loader says what is missing


def test_uncalibrated_bundle_has_no_threshold(run: Path) -> None:
    threshold = threshold_of(load_policy(run), None, uncalibrated=True)
    assert (threshold.value, threshold.calibration) == (None, "uncalibrated")


def test_export_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "bundle")]) == 1
    assert "is it a run folder?" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_task_without_an_arm_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained("sac_lag", "spillguard/Nav2D-v0", tmp_path / "runs")
    for wish in ((), ("--threshold", "0.1")):  # without one it does not pour to measure one first
        assert main([str(run), "-o", str(tmp_path / "bundle"), *wish]) == 1
        words = " ".join(capsys.readouterr().err.split())
        assert "no task of the arm" in words and "--graphs" in words


@pytest.mark.parametrize("algo", ["sac_lag", "sac"])
def test_graphs_of_any_task_compute_what_the_run_computes(algo: str, tmp_path: Path) -> None:
    run, out = trained(algo, "spillguard/Nav2D-v0", tmp_path / "runs"), tmp_path / "graphs"
    assert main([str(run), "-o", str(out), "--graphs"]) == 0
    source = load_policy(run)
    obs = np.random.default_rng(3).normal(size=(5, source.spaces.obs_size)).astype(np.float32)
    action = source.policy(torch.as_tensor(obs))
    found = onnxruntime.InferenceSession(out / "policy.onnx").run(None, {"obs": obs})[0]
    np.testing.assert_allclose(found, action.numpy(), atol=1e-5)
    assert (out / "safety_critic.onnx").exists() is (source.safety_critic is not None)
    if source.safety_critic is not None:
        inputs = {"obs": obs, "action": action.numpy()}
        q_c = onnxruntime.InferenceSession(out / "safety_critic.onnx").run(None, inputs)[0]
        np.testing.assert_allclose(q_c, source.safety_critic(torch.as_tensor(obs), action).numpy(), atol=1e-5)
    before = (out / "policy.onnx").read_bytes()
    assert main([str(run), "-o", str(out), "--graphs"]) == 1  # not unasked
    assert main([str(run), "-o", str(out), "--graphs", "--threshold", "0.1", "--overwrite"]) == 1
    assert (out / "policy.onnx").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_graphs_that_differ_from_torch_are_not_written(run: Path, tmp_path: Path) -> None:
    class Forgetful(nn.Module):
        def forward(self, obs: Tensor) -> Tensor:
            if torch.compiler.is_exporting():
                return torch.tanh(obs[:, :4])
            return torch.tanh(obs[:, :4]) + 0.1

    source = replace(load_policy(run), policy=Forgetful())
    with pytest.raises(ValueError, match=r"policy\.onnx differs from torch by"):
        export_graphs(source, tmp_path / "graphs")
    assert list(tmp_path.iterdir()) == []


def test_algorithm_without_a_safety_critic_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained("sac", "spillguard/PourCoffee-v0", tmp_path / "runs")
    assert main([str(run), "-o", str(tmp_path / "bundle"), "--threshold", "0.1"]) == 1
    assert "trains no safety critic" in capsys.readouterr().err
