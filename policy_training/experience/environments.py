"""The one place where environments are made, and the interface that every learner sees.

Observations are finite float32 vectors, actions lie in [-1, 1] along each axis, rewards and costs are plain
numbers, and every episode ends. Spaces and values that differ are converted where that is possible; where it
is not, the error names the environment. Numpy only, so that a worker process starts without torch.
"""

import logging
import math
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[np.float32]
STEP_BUDGET = 1_000
"""Steps after which an episode is truncated if the environment has no time limit; usual in MuJoCo tasks."""
NAMESPACE = "spillguard/"

logger = logging.getLogger(__name__)
_told: set[str] = set()  # environments without a time limit that were reported already


class EnvironmentFaultError(ValueError):
    """An environment that cannot be made, has unsupported spaces, or returned something invalid."""


def full_name(env_id: str) -> str:
    """The id under which an environment is registered; ours may be given without their namespace."""
    from sim.registration import ENVIRONMENTS

    ours = NAMESPACE + env_id
    return ours if ours in ENVIRONMENTS and env_id not in gymnasium.registry else env_id


def make_env(env_id: str, options: Mapping[str, float | str | bool] | None = None) -> "LearnersEnv":
    """An environment by its id, with its keyword arguments, without Gymnasium's per-step checks.

    ``module:Id-v0`` imports the module first, from the current folder, too. Raises `EnvironmentFaultError`.
    """
    name = full_name(env_id)
    module, colon, local = name.partition(":")
    if colon and (":" in local or not all(part.isidentifier() for part in module.split("."))):
        raise EnvironmentFaultError(
            f"{env_id!r} is no module:Id-v0; the module is named as in Python's import, such as my_tasks.pour"
        )
    if ":" in name and not {"", os.getcwd()} & {*sys.path}:
        sys.path.append(os.getcwd())  # last, so that no file there shadows an installed module
    keywords: dict[str, Any] = dict(options or {})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the error message repeats it
            return LearnersEnv(gymnasium.make(name, disable_env_checker=True, **keywords), env_id)
    except EnvironmentFaultError:
        raise
    except gymnasium.error.UnregisteredEnv as error:
        known = ", ".join(sorted(k for k in gymnasium.registry if k.startswith(NAMESPACE)))
        raise EnvironmentFaultError(
            f"unknown environment {env_id!r}: {error} Ours are {known}; yours is module:Id-v0, with the "
            "module in the current folder or installed"
        ) from error
    except (gymnasium.error.Error, ImportError) as error:
        raise EnvironmentFaultError(f"{env_id}: {error}") from error
    except Exception as error:
        what = f"does not take {keywords}" if isinstance(error, TypeError) and keywords else "cannot be made"
        raise EnvironmentFaultError(f"{env_id} {what}: {_words(error)}") from error


class LearnersEnv(gymnasium.Wrapper[Array, Array, Any, Any]):
    """float32 observations, actions in [-1, 1], numbers as reward and costs, and an end to every episode. An
    action beyond [-1, 1] is clipped here and nowhere before: a Gaussian policy learns from the action that it
    sampled.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        self.name = name
        self.low, self.high = _action_bounds(env.action_space, name)
        self.size = _vector_size(env.observation_space, name)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, self.low.shape, np.float32)
        self.scaled = bool((self.low != -1.0).any() or (self.high != 1.0).any())
        self.budget = math.inf if _has_time_limit(env) else STEP_BUDGET
        self.count, self.seed = 0, -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """The first observation (O,)."""
        self.count, self.seed = 0, -1 if seed is None else seed
        try:
            obs, info = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:
            raise self._fault(f"reset raised {_words(error)}") from error
        return self._observed(obs), info

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step. action (A,) -> observation (O,), reward, terminated, truncated, info.

        `EnvironmentFaultError` for an invalid result of the environment; FloatingPointError for an action
        that is not finite, which is the policy's fault.
        """
        self.count += 1
        outer = self._outer(action)
        try:
            values: Any = self.env.step(outer)
        except (Exception, SystemExit) as error:
            raise self._fault(f"step raised {_words(error)}") from error
        if not (isinstance(values, tuple) and len(values) == 5 and isinstance(values[4], dict)):
            raise self._fault(
                "step must return observation, reward, terminated, truncated and a dict of info; for the six "
                "values of Safety-Gymnasium there is sim.tasks.adapters.from_six"
            )
        obs, reward, terminated, truncated, info = values
        reward, info = self._number("the reward", reward), self._with_plain_costs(info)
        terminated, truncated = self._flag("terminated", terminated), self._flag("truncated", truncated)
        if "success" in info:
            info["success"] = self._flag("success", info["success"])
        ended = terminated or truncated
        if self.count >= self.budget and not ended:
            truncated = True
            self._tell_of_budget()
        return self._observed(obs), reward, terminated, truncated, info

    def _outer(self, action: Array) -> NDArray[Any]:
        """An action within the environment's own bounds."""
        inside: NDArray[Any] = np.minimum(np.maximum(action, -1.0), 1.0)  # np.clip takes five times as long
        if not math.isfinite(inside.dot(inside)):
            raise FloatingPointError(f"{self._place()}: the action is {action!r}; it must be finite")
        if not self.scaled:
            return inside
        share = 0.5 * (inside.astype(np.float64) + 1.0)
        there = (self.low * (1.0 - share) + self.high * share).astype(self.env.action_space.dtype)
        return np.minimum(np.maximum(there, self.low), self.high).astype(there.dtype)

    def _observed(self, obs: Any) -> Array:
        """A copy, because some environments write every observation into the same memory."""
        try:
            with np.errstate(over="ignore"):  # reported below
                vector = np.array(obs, dtype=np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._fault(f"the observation is {obs!r}; it must be {self.size} numbers") from error
        if vector.shape != (self.size,):
            raise self._fault(f"the observation has shape {vector.shape}; it must be ({self.size},)")
        # The product is fast, but overflows for huge numbers: hence the second check.
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(vector.dot(vector))
        if not math.isfinite(square) and not np.isfinite(vector).all():
            worst = np.asarray(obs)[~np.isfinite(vector)][0]
            raise self._fault(f"the observation holds {worst}; it must be finite, as float32, too")
        return vector

    def _number(self, what: str, value: Any) -> float:
        if isinstance(value, float) and math.isfinite(value):
            return value
        if not isinstance(value, int | np.number | np.bool_) and np.shape(value) != ():
            raise self._fault(f"{what} is {value!r}, of shape {np.shape(value)}; it must be one number")
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._fault(f"{what} is no number that a float can hold: {error}") from error
        if not math.isfinite(number):
            raise self._fault(f"{what} is {number}; it must be finite")
        return number

    def _flag(self, what: str, value: Any) -> bool:
        if np.shape(value) != ():
            raise self._fault(f"{what} is {value!r}, of shape {np.shape(value)}; it must be true or false")
        return bool(value)

    def _with_plain_costs(self, info: dict[str, Any]) -> dict[str, Any]:
        if "cost" in info:
            info["cost"] = self._number("the cost", info["cost"])
        terms = info.get("cost_terms", {})
        if not isinstance(terms, Mapping):
            raise self._fault(f"cost_terms is {terms!r}; it must be a dict of numbers by name")
        if {*map(type, terms.values())} - {float}:
            info["cost_terms"] = {k: self._number(f"the cost {k!r}", v) for k, v in terms.items()}
        return info

    def _tell_of_budget(self) -> None:
        if self.name not in _told:
            _told.add(self.name)
            logger.warning(
                "%s has no time limit, so its episodes are truncated after %d steps; register it with "
                "max_episode_steps to choose another one", self.name, STEP_BUDGET,
            )  # fmt: skip

    def _fault(self, what: str) -> EnvironmentFaultError:
        return EnvironmentFaultError(f"{self._place()}: {what}")

    def _place(self) -> str:
        where = f"step {self.count} of the episode from seed {self.seed}" if self.count else "reset"
        if not self.count and self.seed >= 0:
            where += f" with seed {self.seed}"
        return f"{self.name}, {where}"


def _action_bounds(space: spaces.Space[Any], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest action (A,), float64."""
    if not (
        isinstance(space, spaces.Box)
        and len(space.shape) == 1
        and space.shape[0] >= 1
        and np.issubdtype(space.dtype, np.floating)
        and np.isfinite((space.low, space.high)).all()
        and (space.low < space.high).all()
    ):
        raise EnvironmentFaultError(
            f"{name} has the action space {space}; allowed is a Box of floats along one axis with finite "
            "bounds, for example Box(-2.0, 2.0, (3,), float32)"
        )
    return space.low.astype(np.float64), space.high.astype(np.float64)


def _vector_size(space: spaces.Space[Any], name: str) -> int:
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1 and space.shape[0] >= 1):
        raise EnvironmentFaultError(
            f"{name} has the observation space {space}; allowed is a Box along one axis. "
            "gymnasium.wrappers.FlattenObservation makes one of most others"
        )
    return int(space.shape[0])


def _has_time_limit(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether Gymnasium truncates its episodes."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return True
        env = env.env
    return False


def _words(error: BaseException) -> str:
    """Type, message and location of an error that an environment raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
