"""Common base of the locomotion tasks: a Gymnasium MuJoCo environment with named costs."""

import math
from typing import Any, ClassVar

import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

# The models were made for a MuJoCo version in which contacts begin at the larger margin of two geoms; now the
# two margins add up. Within each model all geoms have the same margin.
MARGIN_SCALE = 0.5


def squared_sum(values: Array) -> float:
    """Sum of squares of a vector. (A,) -> scalar."""
    return float(values.dot(values))


def cost_info(**terms: float) -> dict[str, Any]:
    """The entries of ``info``: each cost by its name, and their sum."""
    return {"cost": float(sum(terms.values())), "cost_terms": terms}


class CostEnv(MujocoEnv, EzPickle):
    """Mixin in front of one of Gymnasium's v5 classes, which provides physics, observation and reward.

    A step raises ValueError for an action that is not finite, before anything moves.
    """

    options: ClassVar[dict[str, Any]] = {}  # for the constructor of the v5 class
    cost_names: ClassVar[tuple[str, ...]]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(**self.options, render_mode=render_mode)
        self.model.geom_margin *= MARGIN_SCALE
        EzPickle.__init__(self, render_mode)  # the v5 class has recorded its own arguments

    def do_simulation(self, ctrl: Array, n_frames: int) -> None:
        """Refuse a non-finite action, then step."""
        # The product detects NaN and infinity fast; a huge finite action overflows, hence the second check.
        if not math.isfinite(ctrl.dot(ctrl)) and not np.isfinite(ctrl).all():
            raise ValueError(f"action is {ctrl!r}; it must be finite")
        super().do_simulation(ctrl, n_frames)

    def _get_reset_info(self) -> dict[str, Any]:
        return {**super()._get_reset_info(), **cost_info(**dict.fromkeys(self.cost_names, 0.0))}
