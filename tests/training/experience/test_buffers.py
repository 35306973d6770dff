"""Replay: what goes in comes out, in the right shares, and survives a checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from policy_training.checkpoint import load, save
from policy_training.experience.replay import Memory, MemoryConfig, Table

OBS, ACTION = 3, 2


def filled(count: int = 50, prior: int = 0, **config: float) -> Memory:
    """Transition i has observation (i, i, i); every tenth violates. Prior ones count from 1000."""
    memory = Memory(OBS, ACTION, seed=0, config=MemoryConfig(capacity=100, **config), prior=prior)
    for start, n, is_prior in ((0, count, False), (1000, prior, True)):
        i = np.arange(start, start + n, dtype=np.float32)
        obs = np.repeat(i[:, None], OBS, axis=1)
        cost = (i % 10 == 0).astype(np.float32)
        memory.add(obs, np.zeros((n, ACTION)), obs + 0.5, 2.0 * i, cost, cost, prior=is_prior)
    memory.add_initial(np.full((4, OBS), 7.0))
    return memory


def test_a_batch_holds_whole_transitions() -> None:
    b = filled().batch(200)
    torch.testing.assert_close(b.next_obs, b.obs + 0.5)
    torch.testing.assert_close(b.reward, 2.0 * b.obs[:, 0])
    torch.testing.assert_close(b.terminated, (b.obs[:, 0] % 10 == 0).float())
    assert b.action.shape == (200, ACTION)


def test_violations_and_initial_states_come_from_their_own_buffers() -> None:
    memory = filled()
    assert (memory.violations(32).obs[:, 0] % 10 == 0).all()
    assert (memory.violations(32).cost == 1.0).all()
    assert (memory.initial_states(8) == 7.0).all()


def test_no_violation_yet_means_no_rows() -> None:
    memory = Memory(OBS, ACTION, seed=0, config=MemoryConfig(capacity=10))
    assert memory.violations(8).obs.shape == (0, OBS)


@pytest.mark.parametrize(("fraction", "rows"), [(0.0, 0), (0.25, 16), (1.0, 64)])
def test_prior_episodes_fill_their_share_of_a_batch(fraction: float, rows: int) -> None:
    b = filled(prior=20, prior_fraction=fraction).batch(64)
    assert int((b.obs[:, 0] >= 1000).sum()) == rows == b.prior
    assert (b.obs[: b.prior, 0] >= 1000).all()


def test_the_meta_batch_comes_from_own_transitions_alone() -> None:
    assert (filled(prior=20).batch(64, prior_fraction=0.0).obs[:, 0] < 1000).all()


def test_prior_episodes_fill_everything_until_there_is_something_else() -> None:
    assert filled(count=0, prior=20).batch(8, prior_fraction=0.0).prior == 8


def test_the_newest_row_replaces_the_oldest() -> None:
    table = Table(3, 1)
    for i in range(5):
        table.add(np.array([[float(i)]], dtype=np.float32))
    assert sorted(table.rows[:, 0]) == [2.0, 3.0, 4.0]
    assert table.size == 3


def test_a_number_that_is_not_finite_is_refused() -> None:
    memory, one = filled(), np.ones((1, OBS))
    with pytest.raises(FloatingPointError, match="not finite"):
        memory.add(one, np.ones((1, ACTION)), one, np.array([np.nan]), np.zeros(1), np.zeros(1))


def test_memory_survives_a_checkpoint_with_its_generator(tmp_path: Path) -> None:
    memory, other = filled(prior=20), filled(count=1, prior=20)
    memory.batch(5)
    save(tmp_path / "m.pt", memory.state_dict())
    other.load_state_dict(load(tmp_path / "m.pt"))
    for _ in range(3):
        a, b = memory.batch(16), other.batch(16)
        assert torch.equal(a.obs, b.obs)
    assert torch.equal(memory.violations(9).obs, other.violations(9).obs)


def test_a_saved_buffer_of_another_shape_is_refused() -> None:
    memory = Memory(OBS + 1, ACTION, seed=0, config=MemoryConfig(capacity=100))
    with pytest.raises(ValueError, match="saved buffer"):
        memory.load_state_dict(filled().state_dict())


def test_shares_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="prior_fraction is nan"):
        MemoryConfig(prior_fraction=float("nan"))
