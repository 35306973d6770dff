"""A model of Stable-Baselines3 as an ONNX graph: its deterministic action in the units of its environment.

Observations are normalised as its VecNormalize did; a squashed action is stretched to the bounds of the
action space, any other one is clipped to them, as the library's own `predict` does.
"""

import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from policy_training.deployment.onnx_graphs import write_checked

TRIED = 16  # observations on which graph and library are compared
AGREEMENT = 1e-4


class Deterministic(nn.Module):
    """obs (B, O) -> action (B, A) of a policy of Stable-Baselines3 with vector observations."""

    low: Tensor
    high: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, policy: Any, normalize: Any | None) -> None:
        super().__init__()
        self.policy, self.squashed = policy, bool(policy.squash_output)
        self.register_buffer("low", torch.as_tensor(policy.action_space.low))
        self.register_buffer("high", torch.as_tensor(policy.action_space.high))
        width = policy.observation_space.shape[0]
        mean, spread = np.zeros(width), np.ones(width)
        self.limit = float("inf")
        if normalize is not None and normalize.norm_obs:
            mean, spread = normalize.obs_rms.mean, np.sqrt(normalize.obs_rms.var + normalize.epsilon)
            self.limit = float(normalize.clip_obs)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("spread", torch.as_tensor(spread, dtype=torch.float32))

    def forward(self, obs: Tensor) -> Tensor:
        """The action in the units of the environment."""
        seen = ((obs - self.mean) / self.spread).clamp(-self.limit, self.limit)
        action = _mean(self.policy, seen)
        if self.squashed:
            return self.low + 0.5 * (action + 1.0) * (self.high - self.low)
        return torch.maximum(torch.minimum(action, self.high), self.low)


def _mean(policy: Any, obs: Tensor) -> Tensor:
    """The deterministic action (B, A), squashed where the policy's is. The library's own way to it makes
    distributions, which cannot be exported."""
    if hasattr(policy, "action_net"):  # PPO, A2C, TRPO
        features = policy.extract_features(obs, policy.pi_features_extractor)
        mean: Tensor = policy.action_net(policy.mlp_extractor.forward_actor(features))
        return torch.tanh(mean) if policy.squash_output else mean
    if hasattr(policy.actor, "get_action_dist_params"):  # SAC
        mean, _, _ = policy.actor.get_action_dist_params(obs)
        return torch.tanh(mean)
    mean = policy.actor(obs)  # TD3, DDPG
    return mean


def graph_of(model: Path, normalize: Path | None) -> bytes:
    """The ONNX graph of the model file. ValueError that says what cannot be used.

    Reading a model runs code that is in it: it has to come from somebody who is trusted.
    """
    policy: Any = _loaded(model).policy.to("cpu").eval()
    for what, space in (("observations", policy.observation_space), ("actions", policy.action_space)):
        if type(space).__name__ != "Box" or len(space.shape) != 1:
            raise ValueError(f"{model}: its {what} are {space}; needed is a Box of one dimension")
    if not (np.isfinite(policy.action_space.low).all() and np.isfinite(policy.action_space.high).all()):
        raise ValueError(f"{model}: its action space has no bounds, {policy.action_space}")
    statistics = None if normalize is None else _statistics(normalize, policy.observation_space.shape)
    module = Deterministic(policy, statistics).eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        obs = torch.as_tensor(
            module.mean
            + module.spread * torch.randn(TRIED, len(module.mean), generator=torch.Generator().manual_seed(0))
        )
        _compare(module, policy, statistics, obs)
        path = Path(folder) / "policy.onnx"
        write_checked(module, {"obs": obs}, "action", path)
        return path.read_bytes()


def _loaded(path: Path) -> Any:
    import stable_baselines3
    from stable_baselines3.common.base_class import BaseAlgorithm

    if not (path.is_file() and zipfile.is_zipfile(path)):  # a pipe would make its reader wait
        raise ValueError(f"{path} is no model of Stable-Baselines3: not a zip archive")
    names = [name for name in dir(stable_baselines3) if isinstance(getattr(stable_baselines3, name), type)]
    tried = []
    for name in names:
        kind = getattr(stable_baselines3, name)
        if issubclass(kind, BaseAlgorithm):
            try:
                return kind.load(path, device="cpu")
            except Exception as error:  # of another algorithm: whatever its parts do not fit
                tried.append(
                    f"{name}: {str(error).splitlines()[0][:80] if str(error) else type(error).__name__}"
                )
    raise ValueError(f"{path} is no model of {', '.join(names)} as far as they say: {'; '.join(tried[:3])}")


def _statistics(path: Path, shape: tuple[int, ...]) -> Any | None:
    """The VecNormalize of a file; None if it leaves observations as they are."""
    try:
        with path.open("rb") as file:
            found = pickle.load(file)
        normalizes = bool(found.__dict__["norm_obs"])
        got = found.__dict__["obs_rms"].mean.shape if normalizes else shape
    except OSError:
        raise
    except Exception as error:  # whatever a file that is something else does
        words = " ".join(str(error).split())[:120]
        raise ValueError(f"{path} is no VecNormalize of Stable-Baselines3: {words}") from error
    if got != shape:
        raise ValueError(f"{path} normalises observations of {got}, those of the model are {shape}")
    return found if normalizes else None


def _compare(module: Deterministic, policy: Any, statistics: Any, obs: Tensor) -> None:
    """ValueError if the module differs from the library's own way to an action."""
    seen = obs.numpy() if statistics is None else statistics.normalize_obs(obs.numpy())
    wanted, _ = policy.predict(seen, deterministic=True)
    error = float(np.abs(module(obs).numpy() - wanted).max())
    if not error <= AGREEMENT:
        raise ValueError(f"its action differs by {error:.1e} from what Stable-Baselines3 predicts")
