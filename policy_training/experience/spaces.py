"""Sizes and scaling of an environment's spaces."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policy_training.experience.environments import make_env


@dataclass(frozen=True)
class Spaces:
    """Sizes of an environment and the scaling of its observation."""

    obs_size: int
    action_size: int
    shift: NDArray[np.float32]  # (O,)
    scale: NDArray[np.float32]  # (O,) > 0
    action_bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Lowest and highest action (A,) of the environment, to which [-1, 1] is scaled; None for no scaling."""

    def __post_init__(self) -> None:
        fits = self.shift.shape == self.scale.shape == (self.obs_size,)
        if not (fits and np.isfinite((self.shift, self.scale)).all() and (self.scale > 0.0).all()):
            raise ValueError(
                f"shift, scale must be ({self.obs_size},), finite, scale > 0: got {self.shift}, {self.scale}"
            )

    @staticmethod
    def unscaled(obs_size: int, action_size: int) -> "Spaces":
        """No shift, unit scale."""
        return Spaces(obs_size, action_size, np.zeros(obs_size, np.float32), np.ones(obs_size, np.float32))


def environment_spaces(env_id: str, options: Mapping[str, float | str | bool] | None = None) -> Spaces:
    """Sizes, scaling and bounds; an environment that defines no scaling gets none."""
    env = make_env(env_id, options)
    scaling = getattr(env.unwrapped, "observation_scaling", None)
    env.close()
    sizes = env.size, len(env.low)
    spaces = Spaces.unscaled(*sizes) if scaling is None else _scaled(env_id, sizes, scaling)
    bounds = (tuple(env.low.tolist()), tuple(env.high.tolist())) if env.scaled else None
    return replace(spaces, action_bounds=bounds)


def _scaled(env_id: str, sizes: tuple[int, int], scaling: object) -> Spaces:
    try:
        shift, scale = (np.array(part, dtype=np.float32) for part in scaling)  # type: ignore[attr-defined]
        return Spaces(*sizes, shift, scale)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{env_id}: observation_scaling must be a shift and a scale of {sizes[0]} numbers each, finite, "
            f"scale > 0; got {scaling!r} ({error})"
        ) from error
