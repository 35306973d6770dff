"""One exported bundle for all tests here; each test damages a copy of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policy_training.deployment.export import Contents, export_bundle
from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import Actor, DeterministicPolicy, EnsembleCritic, SafetyCritic
from sim.pouring.cell_model import guard_model_xml
from spillguard_core.bundle.bundle import sha256
from spillguard_core.bundle.manifest import Manifest, Provenance, Threshold
from spillguard_core.gate.task import observation_scaling, observation_width
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_core.tasks.pouring.observation import POUR_TERMS
from tests.core.bundle.certificates import certified_of

SMALL = (16, 16)


@pytest.fixture(scope="session")
def contents() -> Contents:
    torch.manual_seed(0)
    shift, scale = observation_scaling(POURING, POUR_TERMS)
    width = observation_width(POURING, POUR_TERMS)
    spaces = Spaces(width, 4, shift, scale)
    spread = np.random.default_rng(0).normal(size=(32, width)).astype(np.float32)
    return Contents(
        policy=DeterministicPolicy(Actor(spaces, SMALL)),
        safety_critic=SafetyCritic(EnsembleCritic(spaces, SMALL, layer_norm=True), "max"),
        observations=shift + scale * spread,
        guard_xml=guard_model_xml(),
        task="spillguard/PourCoffee-v0",
        terms=POUR_TERMS,
        threshold=Threshold(0.1 + 0.2, "uncalibrated"),  # 0.30000000000000004: every digit must survive
        provenance=Provenance("meta_sac_lag", 1, "0" * 40, {"gamma": 0.99}, {"torch": torch.__version__}, {}),
    )


@pytest.fixture(scope="session")
def exported(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(contents, tmp_path_factory.mktemp("exported") / "bundle")


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def edit(bundle: Path) -> Callable[[Edit], None]:
    """Change the manifest in place, and bring the hashes up to date with the files."""

    def apply(change: Edit) -> None:
        path = bundle / "manifest.json"
        raw = json.loads(path.read_text())
        raw["files"] = {name: sha256((bundle / name).read_bytes()) for name in raw["files"]}
        change(raw)
        path.write_text(json.dumps(raw))

    return apply


@pytest.fixture(scope="module")
def certified(exported: Path) -> Manifest:
    """Threshold 0.3 of 400 episodes with 30 violations, 2 of them missed."""
    return certified_of(exported)
