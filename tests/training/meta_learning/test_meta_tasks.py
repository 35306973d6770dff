"""Gridworlds, Catch and the agents that play them: every rule by hand, the loss by plain formulas."""

import math

import numpy as np
import pytest
import torch

from policy_training.meta_learning.a2c import (
    GAMMA,
    LAM,
    GameNetwork,
    GameRollout,
    boards,
    gradients,
    lambda_returns,
    losses,
)
from policy_training.meta_learning.gridworlds import MOVES, GridLayout, Gridworlds
from policy_training.meta_learning.tasks import TASKS, Game, find_tasks

LAYOUT = GridLayout(rows=3, columns=4, pairs=1, respawn=0.0, limit=50)


def observed(games: Game, shape: tuple[int, ...]) -> np.ndarray:
    """Observations (E, ..) as arrays of ones and zeros."""
    index, weight = (torch.from_numpy(values) for values in games.marks())
    return boards(index, weight, math.prod(shape)).view(-1, *shape).numpy()


def world(count: int = 1, layout: GridLayout = LAYOUT) -> Gridworlds:
    """Agent in a corner, objects where it is not."""
    games = Gridworlds(layout, count, np.random.default_rng(0))
    games.agent[:], games.place[:] = 0, (5, 11)  # (0, 0); (1, 1) and (2, 3)
    return games


def test_a_wall_leaves_the_agent_where_it_is() -> None:
    ends = []
    for action in range(9):
        games = world()
        games.step(np.array([action]))
        ends.append(divmod(int(games.agent[0]), LAYOUT.columns))
    corner = [(max(r, 0), max(c, 0)) for r, c in MOVES.tolist()]
    assert ends[:5] == corner[:5] and ends[8] == (1, 1) and ends[5] == (0, 0)


def test_an_object_is_taken_once_and_the_bad_one_ends_every_second_episode() -> None:
    games = world(4000)
    games.agent[:2000], games.agent[2000:] = 0, 6  # (0, 0), (1, 2)
    move = np.full(4000, 8)  # down and right: onto (1, 1), onto (2, 3)
    reward, ended = games.step(move)
    assert (reward[:2000] == 1.0).all() and (reward[2000:] == -1.0).all() and not ended[:2000].any()
    assert 0.45 < ended[2000:].mean() < 0.55
    reward, _ = games.step(np.zeros(4000, dtype=np.int64))
    assert (reward[:2000] == 0.0).all() and not games.present[:2000, 0].any()  # respawn is 0


def test_an_episode_that_ends_begins_anew_on_cells_of_its_own() -> None:
    games = Gridworlds(GridLayout(2, 2, 1, respawn=0.0, limit=3), 500, np.random.default_rng(0))
    for _ in range(2):
        games.step(np.zeros(500, dtype=np.int64))
    before = games.time.copy()
    _, ended = games.step(np.zeros(500, dtype=np.int64))
    assert (ended == (before == 2)).all() and ended.any()
    assert all(len(set(row)) == 3 for row in games.cells[ended].tolist()) and (games.time[ended] == 0).all()


def test_absent_objects_come_back_at_their_rate() -> None:
    games = Gridworlds(GridLayout(3, 4, 1, respawn=0.25, limit=10**6), 8000, np.random.default_rng(1))
    games.agent[:], games.place[:], games.present[:] = 0, 11, False
    games.step(np.zeros(8000, dtype=np.int64))
    assert abs(games.present.mean() - 0.25) < 0.02
    found = np.bincount(games.place[games.present], minlength=12)
    assert found.min() > 0.7 * found.mean()  # any cell, the agent's own included


def test_an_observation_has_a_map_for_every_object_and_one_for_the_agent() -> None:
    games = world()
    games.present[0, 1] = False
    maps = observed(games, LAYOUT.planes)[0]
    assert [np.argwhere(m).tolist() for m in maps] == [[[2, 2]], [], [[1, 1]]]  # border cells come first


@pytest.mark.parametrize("name", ["small_dense_long", "big_dense_short", "catch"])
@pytest.mark.parametrize("games", [3, 5])
def test_the_policy_that_acts_is_the_network_that_learns(name: str, games: int) -> None:
    task, rng = TASKS[name], torch.Generator().manual_seed(1)
    theta = task.network.initial(3, rng) + 0.1 * torch.randn(3, task.network.size, generator=rng)
    world = task.game(3 * games, np.random.default_rng(1))
    for _ in range(30):  # some objects are gone
        world.step(np.full(3 * games, task.network.actions - 1))
    index, weight = (torch.from_numpy(values).view(3, games, -1) for values in world.marks())
    logits, _ = task.network(theta, boards(index, weight, task.network.obs_size))
    torch.testing.assert_close(task.network.policy(theta)(index, weight), logits.permute(2, 0, 1))


def test_random_play_in_the_small_world_is_worth_nothing() -> None:
    # the paper's code gives about -0.007 or nearer 0; 400,000 steps have a standard error of 0.0005
    games, rng = TASKS["small_dense_long"].game(400, np.random.default_rng(2)), np.random.default_rng(3)
    rewards = [games.step(rng.integers(9, size=400))[0].mean() for _ in range(1000)]
    assert -0.01 < np.mean(rewards) < 0.003


def test_catch_pays_who_stands_below_the_ball() -> None:
    games = TASKS["catch"].game(200, np.random.default_rng(0))
    for step in range(1, 19):
        side = np.sign(games.ball[:, 1] - games.paddle) + 1  # type: ignore[attr-defined]
        reward, ended = games.step(side)
        assert ended.all() == ended.any() == (step % 9 == 0)
        assert (reward == ended).all()
    assert observed(games, (10, 5)).sum(axis=(1, 2)).tolist() == [2.0] * 200


def test_lambda_returns_end_where_an_episode_does() -> None:
    reward, ended = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 1.0, 0.0])
    value = torch.tensor([9.0, 0.5, 7.0, 3.0])
    last = 2.0 + GAMMA * 3.0
    first = 1.0 + GAMMA * ((1.0 - LAM) * 0.5 + LAM * 0.0)
    assert lambda_returns(reward, ended, value).tolist() == pytest.approx([first, 0.0, last])


def test_filters_take_columns_as_channels() -> None:
    network = GameNetwork((5, 4, 6), actions=9, hidden=8, filters=3)
    rng = torch.Generator().manual_seed(0)
    theta, obs = network.initial(2, rng), torch.rand((2, 7, 5 * 4 * 6), generator=rng)
    logits, value = network(theta, obs)
    for unit in range(2):
        sizes = [int(np.prod(s)) for s in network.shapes]
        parts = [p.view(s) for p, s in zip(theta[unit].split(sizes), network.shapes, strict=True)]
        kernel = parts[0].view(2, 2, 6, 3).permute(3, 2, 0, 1)  # filter, channel, object, row
        maps = torch.nn.functional.pad(obs[unit].view(7, 5, 4, 6).permute(0, 3, 1, 2), (0, 1, 0, 1))
        x = torch.relu(torch.nn.functional.conv2d(maps, kernel, parts[1][0]))
        x = torch.relu(x.permute(0, 2, 3, 1).reshape(7, -1) @ parts[2] + parts[3])
        torch.testing.assert_close(logits[unit], x @ parts[4] + parts[5])
        torch.testing.assert_close(value[unit], (x @ parts[6] + parts[7])[:, 0])


def test_agents_do_not_see_each_other_s_loss() -> None:
    network, rng = TASKS["catch"].network, torch.Generator().manual_seed(1)
    theta = network.initial(2, rng)
    rollout = GameRollout(
        torch.rand((4, 2, 3, 50), generator=rng), torch.randint(3, (3, 2, 3), generator=rng),
        torch.randn((3, 2, 3), generator=rng), torch.zeros(3, 2, 3),
    )  # fmt: skip
    both, _ = gradients(network, theta, rollout, clip=0.0)
    alone = GameRollout(*(getattr(rollout, n)[:, 1:] for n in ("obs", "action", "reward", "ended")))
    torch.testing.assert_close(gradients(network, theta[1:], alone, clip=0.0)[0], both[1:])
    # the loss of one agent, written out
    logits, value = network(theta[:1], rollout.obs[:, 0].reshape(1, 12, 50))
    log_pi = torch.log_softmax(logits, -1).view(4, 3, 3)[:-1]
    td = lambda_returns(rollout.reward[:, 0], rollout.ended[:, 0], value.view(4, 3)) - value.view(4, 3)[:-1]
    chosen = log_pi.gather(-1, rollout.action[:, 0, :, None])[..., 0]
    entropy = -(log_pi.exp() * log_pi).sum(-1)
    expected = -(chosen * td).mean() + 0.5 * td.square().mean() - 0.01 * entropy.mean()
    torch.testing.assert_close(losses(network, theta, rollout)[0], expected)
    assert float(gradients(network, theta, rollout, clip=1e-3)[0].abs().max()) == pytest.approx(1e-3)


def test_tasks_are_found_by_their_names() -> None:
    assert [t.name for t in find_tasks("catch, small_dense_long")] == ["catch", "small_dense_long"]
    for bad in ("", "catch,catch", "chess"):
        with pytest.raises(ValueError, match="small_dense_short"):
            find_tasks(bad)
