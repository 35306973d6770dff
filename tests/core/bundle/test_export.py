"""What export writes is what torch computes, whole or not at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policy_training.deployment.export import Contents, export_bundle
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import BundleError, Manifest

OBS = np.random.default_rng(1).normal(size=(64, 14)).astype(np.float32)
ACTION = np.random.default_rng(2).uniform(-1, 1, size=(64, 4)).astype(np.float32)


def test_policy_in_the_bundle_equals_torch(exported: Path, contents: Contents) -> None:
    with torch.no_grad():
        wanted = contents.policy(torch.as_tensor(OBS)).numpy()
    np.testing.assert_allclose(load_bundle(exported).policy(OBS), wanted, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_critic_in_the_bundle_equals_torch_at_any_batch_size(
    exported: Path, contents: Contents, batch: int
) -> None:
    obs, action = OBS[:batch], ACTION[:batch]
    with torch.no_grad():
        wanted = contents.safety_critic(torch.as_tensor(obs), torch.as_tensor(action)).numpy()
    np.testing.assert_allclose(load_bundle(exported).critic(obs, action), wanted, atol=1e-5)


def test_manifest_survives_json_with_every_digit(exported: Path) -> None:
    manifest = load_bundle(exported).manifest
    assert manifest.threshold.value == 0.1 + 0.2
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_bundle_holds_no_path_of_the_machine_that_made_it(exported: Path) -> None:
    here = str(Path(__file__).resolve().parents[3]).encode()
    for file in exported.iterdir():
        data = file.read_bytes()
        assert here not in data and b"site-packages" not in data, file.name


def test_graphs_are_one_file_each(exported: Path) -> None:
    names = {"policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz", "manifest.json"}
    assert {file.name for file in exported.iterdir()} == names


class Forgetful(nn.Module):
    """Gives another output every time it is asked, so a recording cannot be reproduced."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, obs: Tensor) -> Tensor:
        self.asked += 1
        return torch.tanh(obs[:, :4] + self.asked)


def test_export_refuses_a_graph_that_differs_from_torch_and_leaves_nothing(
    contents: Contents, tmp_path: Path
) -> None:
    wrong = dataclasses.replace(contents, policy=Forgetful())
    with pytest.raises(BundleError, match=r"policy\.onnx differs from its recorded output by"):
        export_bundle(wrong, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_failed_export_keeps_the_bundle_that_was_there(contents: Contents, bundle: Path) -> None:
    before = (bundle / "policy.onnx").read_bytes()
    with pytest.raises(BundleError):
        export_bundle(dataclasses.replace(contents, policy=Forgetful()), bundle, overwrite=True)
    assert (bundle / "policy.onnx").read_bytes() == before
    assert [file.name for file in bundle.parent.iterdir()] == ["bundle"]


def test_export_does_not_replace_a_bundle_unasked(contents: Contents, bundle: Path) -> None:
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_bundle(contents, bundle)


def test_export_deletes_nobody_elses_folder_beside_it(contents: Contents, tmp_path: Path) -> None:
    for name in (".bundle.part", ".bundle.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("precious")
    for overwrite in (False, True):
        export_bundle(contents, tmp_path / "bundle", overwrite=overwrite)
        load_bundle(tmp_path / "bundle")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".bundle.old", ".bundle.part", "bundle"]
    assert all((tmp_path / name / "notes").is_file() for name in (".bundle.part", ".bundle.old"))
