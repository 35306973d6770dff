"""Experience collection: actions to the environments, transitions to the replay, and prior episodes."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from policy_training.checkpoint import State
from policy_training.experience.costs import SCALAR, costs_of
from policy_training.experience.environments import Array, make_env
from policy_training.experience.episodes import TRAINING_SEEDS, ActionRule, transitions
from policy_training.experience.replay import Memory
from policy_training.experience.scripted import scripted_controller
from policy_training.experience.workers import EnvPool, Step
from policy_training.networks.squashed import Actor
from policy_training.runs.config import RunConfig

WINDOW = 50  # finished episodes behind the figures of the progress bar
SEED_RANGE = 1_000_000
logger = logging.getLogger(__name__)
Potential = Callable[[Array], NDArray[np.floating]]  # obs (N, O) -> (N,)


def episode_seed(run_seed: int, env_index: int, episode: int) -> int:
    """Seed of one training episode, below the validation and held-out ranges."""
    word = np.random.SeedSequence((run_seed, env_index, episode)).generate_state(1)[0]
    return TRAINING_SEEDS + int(word) % SEED_RANGE


class CorrelatedNoise:
    """Standard normal at every step, with `correlation` between steps. N independent rows of A."""

    def __init__(self, shape: tuple[int, int], correlation: float, rng: np.random.Generator) -> None:
        self.correlation, self.rng = correlation, rng
        self.value = rng.standard_normal(shape)

    def next(self, restart: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The next value (N, A); rows in `restart` (N,) are drawn anew."""
        fresh = self.rng.standard_normal(self.value.shape)
        rho = np.where(restart, 0.0, self.correlation)[:, None]
        self.value = rho * self.value + np.sqrt(1.0 - rho**2) * fresh
        return self.value.astype(np.float32)


def shaped(
    reward: Array, obs: Array, next_obs: Array, end: Array, weight: float, gamma: float, phi: Potential
) -> Array:
    """r + weight (gamma Phi(s') - Phi(s)), Phi = 0 at a terminal state, so that no optimal policy changes.
    Ng, Harada, Russell 1999. All (N,)."""
    return np.asarray(reward + weight * (gamma * (1.0 - end) * phi(next_obs) - phi(obs)), dtype=np.float32)


class Collector:
    """Acts in N environments and fills the memory. Its state is small: seeds, counters, actions so far."""

    def __init__(self, config: RunConfig, pool: EnvPool, memory: Memory) -> None:
        loop = config.off_policy
        self.config, self.pool, self.memory = config, pool, memory
        self.count = loop.envs
        self.rng = np.random.default_rng((config.seed, 1))
        correlation = loop.noise_correlation if loop.exploration_noise == "coloured" else 0.0
        self.noise = CorrelatedNoise((self.count, memory.action_size), correlation, self.rng)
        self.shape = reward_shaping(config)
        self.episode = [0] * self.count
        self.actions: list[list[Array]] = [[] for _ in range(self.count)]
        self.restart = np.ones(self.count, dtype=bool)
        self.sums = np.zeros((self.count, 2))  # return, cost of the unfinished episodes
        self.random = np.zeros(self.count, dtype=bool)  # whether any of their actions was random
        self.finished: deque[tuple[float, float, float]] = deque(maxlen=WINDOW)
        self.totals = {"episodes": 0, "violations": 0}
        self.obs = np.zeros((self.count, memory.obs_size), dtype=np.float32)
        self.action = np.zeros((self.count, memory.action_size), dtype=np.float32)

    def begin(self) -> None:
        """Start the first episodes, or, after `load_state_dict`, continue the unfinished ones."""
        width = self.memory.action_size
        done = [np.array(a, dtype=np.float32).reshape(-1, width) for a in self.actions]
        obs = self.pool.begin([self._seed(i, self.episode[i]) for i in range(self.count)], done)
        resumed = any(self.totals.values()) or any(map(len, done))
        for i in range(self.count):
            if resumed and not np.array_equal(obs[i], self.obs[i]):
                logger.warning(
                    "an episode did not replay bit-equally (other package versions?); a new one is started"
                )
                self.episode[i], self.actions[i] = self.episode[i] + 1, []
                self.sums[i], self.random[i], self.restart[i] = 0.0, False, True
                obs[i] = self.pool.begin_one(i, self._seed(i, self.episode[i]))
                self.memory.add_initial(obs[i : i + 1])
        if not resumed:
            self.memory.add_initial(obs)
        self.obs = obs

    def send(self, actor: Actor | None) -> None:
        """Start a step with the actor's actions, or with random ones. The environments run meanwhile."""
        noise = self.noise.next(self.restart)
        if actor is None:
            self.random[:] = True
            colour = self.config.off_policy.exploration_noise == "coloured"
            self.action = (
                np.tanh(noise) if colour else self.rng.uniform(-1.0, 1.0, noise.shape).astype(np.float32)
            )
        else:
            with torch.no_grad():
                self.action = actor.fused(torch.from_numpy(self.obs), torch.from_numpy(noise))[0].numpy()
        self.pool.send(self.action, [self._seed(i, self.episode[i] + 1) for i in range(self.count)])

    def receive(self) -> Step:
        """Finish the step and store it."""
        step = self.pool.receive()
        end = step.terminated.astype(np.float32)
        if not (np.isfinite(step.reward).all() and np.isfinite(step.costs).all()):
            told = f"reward {step.reward.tolist()}, cost {step.costs.tolist()}"
            raise FloatingPointError(f"the environment returned {told}; they must be finite")
        reward = self.shape(step.reward.astype(np.float32), self.obs, step.next_obs, end)
        self.memory.add(self.obs, self.action, step.next_obs, reward, step.costs.astype(np.float32), end)
        self.sums += np.column_stack((step.reward, step.cost))
        self.restart = step.ended
        for i in range(self.count):
            self.actions[i].append(self.action[i].copy())
        for i in np.flatnonzero(step.ended).tolist():
            self._finish(i, bool(step.success[i]))
        if step.ended.any():
            self.memory.add_initial(step.obs[step.ended])
        self.obs = step.obs
        return step

    def figures(self) -> dict[str, float]:
        """Means over the last episodes, and totals."""
        names = ("return", "cost", "success")
        means = np.mean(self.finished, axis=0) if self.finished else np.full(3, np.nan)
        return {
            **dict(zip(names, map(float, means), strict=True)),
            **{k: float(v) for k, v in self.totals.items()},
        }

    def _finish(self, i: int, success: bool) -> None:
        self.finished.append((float(self.sums[i, 0]), float(self.sums[i, 1]), float(success)))
        self.totals["episodes"] += 1
        violated = bool(self.sums[i, 1] > 0.0)
        self.totals["violations"] += violated
        if not self.random[i]:
            self.memory.finished_episode(violated=violated, success=success)
        self.sums[i], self.random[i] = 0.0, False
        self.episode[i] += 1
        self.actions[i] = []

    def _seed(self, i: int, episode: int) -> int:
        return episode_seed(self.config.seed, i, episode)

    def state_dict(self) -> State:
        """Everything that an exact resume needs."""
        return {
            "episode": list(self.episode), "actions": [torch.from_numpy(np.array(a)) for a in self.actions],
            "restart": torch.from_numpy(self.restart.copy()), "sums": torch.from_numpy(self.sums.copy()),
            "random": torch.from_numpy(self.random.copy()),
            "finished": list(self.finished), "totals": dict(self.totals),
            "obs": torch.from_numpy(self.obs.copy()),
            "noise": torch.from_numpy(self.noise.value.copy()), "rng": self.rng.bit_generator.state,
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        """Inverse of `state_dict`; `begin` then replays the unfinished episodes."""
        self.episode, self.totals = list(state["episode"]), dict(state["totals"])
        self.actions = [list(a.numpy()) for a in state["actions"]]
        self.restart, self.sums = state["restart"].numpy().copy(), state["sums"].numpy().copy()
        self.random = state["random"].numpy().copy() if "random" in state else self.random
        self.finished = deque((tuple(f) for f in state["finished"]), maxlen=WINDOW)
        self.obs, self.noise.value = state["obs"].numpy().copy(), state["noise"].numpy().copy()
        self.rng.bit_generator.state = state["rng"]


def reward_shaping(config: RunConfig) -> Callable[[Array, Array, Array, Array], Array]:
    """The configured reward shaping: (reward, obs, next_obs, end) -> reward."""
    weight, gamma = config.off_policy.shaping, config.algorithm.gamma
    if weight == 0.0:
        return lambda reward, obs, next_obs, end: reward
    from sim.scripted import POTENTIALS

    if config.env not in POTENTIALS:
        raise ValueError(
            f"{config.env} has no potential for shaping; these have one: {', '.join(POTENTIALS)}"
        )
    phi = POTENTIALS[config.env]
    return lambda reward, obs, next_obs, end: shaped(reward, obs, next_obs, end, weight, gamma, phi)


def record_prior(config: RunConfig, memory: Memory) -> dict[str, float]:
    """Noisy episodes of the scripted controller into the memory. Returns success and violation rate.
    `InterruptedTrainingError` if the stop flag is set before the last one has ended; the memory is then
    unchanged.
    """
    loop, controller, shape = config.off_policy, scripted_controller(config.env), reward_shaping(config)
    rng = np.random.default_rng((config.seed, 2))
    env = make_env(config.env, loop.training_env)
    successes = violations = 0
    recorded = []
    for episode in track(range(loop.prior_episodes), "prior episodes", disable=not loop.progress):
        # 0, 0.5, 1 and 1.5 times the noise in turn: the controller at its best, and recoveries
        scale = 0.5 * loop.prior_noise * (episode % 4)
        noise = CorrelatedNoise((1, memory.action_size), loop.noise_correlation, rng)
        seed = episode_seed(config.seed, -1 % SEED_RANGE, episode)
        rows: list[tuple[Any, ...]] = []
        for step in transitions(env, _noisy(controller, noise, scale), seed):
            costs = costs_of(step.info, config.costs(), len(rows)) or [float(step.info.get(SCALAR, 0.0))]
            end = float(step.terminated)
            rows.append((step.obs, step.action, step.next_obs, float(step.reward), costs, end))
        columns = [np.array(c, dtype=np.float32) for c in zip(*rows, strict=True)]
        columns[3] = shape(columns[3], columns[0], columns[2], columns[5])
        recorded.append((rows[0][0], columns))
        successes += bool(step.info.get("success", False))
        violations += bool(columns[4][:, 0].max() > 0.0)
    env.close()
    for first, columns in recorded:
        memory.add_initial(first[None])
        memory.add(*columns, prior=True)
    count = max(loop.prior_episodes, 1)
    return {"prior_success": successes / count, "prior_violations": violations / count}


def _noisy(controller: ActionRule, noise: CorrelatedNoise, scale: float) -> ActionRule:
    """The controller with `scale` times the noise on its actions."""

    def rule(obs: Array) -> Array:
        wanted = controller(obs) + scale * noise.next(np.zeros(1, dtype=bool))[0]
        return np.clip(wanted, -1.0, 1.0).astype(np.float32)

    return rule
