"""Models of Stable-Baselines3: the graph gives what the library itself predicts."""

import pickle
from pathlib import Path

import gymnasium
import numpy as np
import onnxruntime
import pytest
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policy_training.deployment.wrap.stable_baselines import graph_of


class Odd(gymnasium.Env):
    """Observations far from 0, actions far from [-1, 1]."""

    observation_space = spaces.Box(-100.0, 100.0, (5,), np.float32)
    action_space: spaces.Space = spaces.Box(
        np.array([-2.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32)
    )

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        return self.observe(), {}

    def observe(self) -> np.ndarray:
        return (10.0 + 5.0 * self.np_random.standard_normal(5)).astype(np.float32)

    def step(self, action):  # type: ignore[no-untyped-def]
        return self.observe(), 0.0, False, self.np_random.random() < 0.1, {}


class Choices(Odd):
    action_space = spaces.Discrete(3)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("kind", [PPO, A2C, SAC, TD3])
def test_the_graph_predicts_what_the_library_does(
    kind: type[BaseAlgorithm], normalized: bool, tmp_path: Path
) -> None:
    env = VecNormalize(DummyVecEnv([Odd]), norm_obs=normalized)
    model = kind("MlpPolicy", env, seed=1, device="cpu", policy_kwargs={"net_arch": [16]})
    env.reset()
    for _ in range(200):
        env.step([env.action_space.sample()])
    model.save(tmp_path / "model.zip")
    env.save(str(tmp_path / "norm.pkl"))
    graph = graph_of(tmp_path / "model.zip", tmp_path / "norm.pkl" if normalized else None)
    obs = (10.0 + 5.0 * np.random.default_rng(0).standard_normal((8, 5))).astype(np.float32)
    wanted, _ = model.predict(env.normalize_obs(obs), deterministic=True)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (action,) = session.run(["action"], {"obs": obs})
    np.testing.assert_allclose(action, wanted, atol=1e-4)
    assert (action >= Odd.action_space.low - 1e-5).all() and (action <= Odd.action_space.high + 1e-5).all()


def test_what_is_no_such_model_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no archive")
    with pytest.raises(ValueError, match="not a zip archive"):
        graph_of(tmp_path / "a.zip", None)
    DQN("MlpPolicy", DummyVecEnv([Choices]), device="cpu", buffer_size=10).save(tmp_path / "dqn.zip")
    with pytest.raises(ValueError, match="its actions are Discrete"):
        graph_of(tmp_path / "dqn.zip", None)
    PPO("MlpPolicy", DummyVecEnv([Odd]), device="cpu").save(tmp_path / "ppo.zip")
    (tmp_path / "n.pkl").write_bytes(pickle.dumps({"no": "statistics"}))
    with pytest.raises(ValueError, match="no VecNormalize"):
        graph_of(tmp_path / "ppo.zip", tmp_path / "n.pkl")
