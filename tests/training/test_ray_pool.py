"""The same jobs on a real Ray cluster of two nodes, on this machine."""

import csv
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from policy_training.files import read_json
from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.many_runs import RunIndex
from policy_training.pool import Pool, completed, ordered
from policy_training.runs.config import read_config
from policy_training.sweeps.command import main
from tests.training.test_pool import dies, dies_once, saves_itself, slow_first, wait_for

TIMES = ("seconds", "cpu_seconds", "minutes")
SPEC = """
schema: 1
seeds: [1, 2]
grid:
  - {algo: sac_lag, env: spillguard/Nav2D-v0, steps: 300, warmup: 100, log-every: 100, checkpoint-every: 100}
  - {algo: ppo_lag, env: spillguard/Nav2D-v0, steps: 1000, samples: 500}
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Pool]:
    """A pool on a cluster of two nodes with a processor each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield Pool(launcher="ray", address=cluster.address)
        ray.shutdown()
        cluster.shutdown()


def where(number: int) -> tuple[int, str]:
    """The node that did it."""
    time.sleep(1.0)
    return number, ray.get_runtime_context().get_node_id()


def test_jobs_are_shared_by_the_nodes_and_answered_in_their_order(two_nodes: Pool, tmp_path: Path) -> None:
    found = list(ordered(where, [(number,) for number in range(6)], two_nodes))
    assert [number for number, _ in found] == list(range(6))
    assert len({node for _, node in found}) == 2
    assert [*ordered(slow_first, [(str(tmp_path), n, 3) for n in range(3)], two_nodes)] == [0, 1, 2]


def test_a_job_whose_worker_was_killed_is_begun_again_and_one_that_kills_every_time_ends_with_words(
    two_nodes: Pool, tmp_path: Path
) -> None:
    found = sorted(completed(dies_once, [(str(tmp_path), number) for number in range(4)], two_nodes))
    assert found == [(number, 10 * number) for number in range(4)] and (tmp_path / "died").exists()
    with pytest.raises(RuntimeError, match="a job was lost 4 times"):
        list(completed(dies, [(1,)], two_nodes))


def test_an_error_is_raised_as_it_is(two_nodes: Pool) -> None:
    with pytest.raises(ValueError, match=r"^could not convert string to float: 'x'$"):
        list(ordered(float, [("1",), ("x",)], two_nodes))


def test_an_interruption_lets_jobs_save_themselves(two_nodes: Pool, tmp_path: Path) -> None:
    begun = lambda: [*tmp_path.glob("*.begun")]  # noqa: E731
    with interruptible() as stop:

        def interrupt() -> None:
            wait_for(lambda: len(begun()) == 2)
            stop.set()

        threading.Thread(target=interrupt).start()
        with pytest.raises(InterruptedTrainingError):
            list(completed(saves_itself, [(str(tmp_path), number) for number in range(6)], two_nodes))
    assert len(begun()) == len([*tmp_path.glob("*.saved")]) == 2


def figures(run: Path) -> list[dict[str, Any]]:
    """Rows of progress.csv without times."""
    with (run / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def test_a_sweep_on_two_nodes_gives_the_figures_of_one_here(two_nodes: Pool, tmp_path: Path) -> None:
    spec, here, there = tmp_path / "spec.yaml", tmp_path / "here", tmp_path / "there"
    spec.write_text(SPEC)
    assert main([str(spec), "-o", str(here), "--workers", "1"]) == 0
    assert main([str(spec), "-o", str(there), "--launcher", "ray", "--address", two_nodes.address]) == 0
    runs, index = [path.parent for path in here.glob("*/*/*/config.json")], RunIndex(there)
    assert len(runs) == 4
    for run in runs:
        other = index.of(read_config(run))
        assert other is not None and "worker" not in str(read_json(other / "provenance.json")["command"])
        assert len(figures(run)) > 0 and figures(other) == figures(run)
