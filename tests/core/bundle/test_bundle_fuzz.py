"""A damaged bundle is refused with a `BundleError`, or it loads; nothing else comes out of the loader."""

import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import BundleError
from tests.core.bundle.mutations import damaged, place, restored

LONGEST_MESSAGE = 1100


def outcome(bundle: Path) -> str:
    """ "loaded" or "refused"; any other exception passes through, and the test fails."""
    try:
        load_bundle(bundle).manifest.to_json()
    except BundleError as error:
        text = str(error)
        assert text.startswith(f"bundle {bundle}: ") and len(text) < LONGEST_MESSAGE + len(str(bundle))
        return "refused"
    return "loaded"


def outcomes(exported: Path, folder: Path, name: str, seeds: range) -> Counter[str]:
    found: Counter[str] = Counter()
    data = (exported / name).read_bytes()
    for seed in seeds:
        restored(exported, folder)
        place(folder, name, damaged(name, data, random.Random(f"{name} {seed}")))
        try:
            found[outcome(folder)] += 1
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: {type(error).__name__} came out") from error
    return found


@pytest.mark.parametrize(("name", "count"), [("manifest.json", 150), ("guard.xml", 120)])
def test_damaged_text_is_refused_or_loads(exported: Path, tmp_path: Path, name: str, count: int) -> None:
    found = outcomes(exported, tmp_path / "bundle", name, range(count))
    assert found["refused"] > count // 2


@pytest.mark.parametrize("name", ["policy.onnx", "safety_critic.onnx", "samples.npz"])
def test_damaged_numbers_are_refused_or_load(exported: Path, tmp_path: Path, name: str) -> None:
    """Each of these is tried in a process of its own, so some at a time."""
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(outcomes, exported, tmp_path / str(k), name, range(k, 24, workers))
            for k in range(workers)
        ]
        found = sum((job.result() for job in jobs), Counter())
    assert found.total() == 24 and found["refused"] > 8
