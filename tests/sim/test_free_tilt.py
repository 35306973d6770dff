"""Origin of the free tilt: at which tilt the fullest cups begin to pour."""

import numpy as np
import yaml

from sim.pouring import cell_model
from sim.pouring.deployed_config import PARAMETERS
from sim.pouring.pour_env import PourCoffeeEnv

NOTHING_RUNS_OUT = 1.4  # [rad]
SLOWLY = np.array([0.0, 0.0, 0.0, 0.5], dtype=np.float32)  # 0.6 rad/s


def test_nothing_rises_over_the_rim_of_the_fullest_cups_before_they_lean_far():
    env, leans = PourCoffeeEnv(full_share=1.0), []
    for seed in range(6):
        obs, _ = env.reset(seed=seed)
        inside = True
        while inside:
            obs, *_ = env.step(SLOWLY)
            held = (env.cell._granules - env.cell._cup_position) @ env.cell._cup_rotation
            inside = bool((held[:, 2] < cell_model.SOURCE_HEIGHT / 2).all())
        leans.append(np.arctan2(obs[6], obs[7]))
    assert min(leans) > NOTHING_RUNS_OUT and max(leans) < 2.0
    deployed = yaml.safe_load(PARAMETERS.read_text())["/**"]["ros__parameters"]["free_tilt"]
    assert deployed < NOTHING_RUNS_OUT - 0.3  # shaken cups pour sooner
