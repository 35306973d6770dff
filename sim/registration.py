"""Names of the environments, found by Gymnasium through the entry point ``gymnasium.envs``."""

import gymnasium
from gymnasium.envs.registration import namespace

NAMESPACE = "spillguard"


def register() -> None:
    """Register every environment. Gymnasium puts the entry point's name in front: ``spillguard/<name>``."""
    gymnasium.register(id="Nav2D-v0", entry_point="sim.nav2d:Nav2DEnv", max_episode_steps=60)
    gymnasium.register(id="PourCoffee-v0", entry_point="sim.pour_env:PourCoffeeEnv", max_episode_steps=200)


def ensure_registered() -> None:
    """The same for a source tree that is on the path without being installed. Does nothing when it is."""
    if f"{NAMESPACE}/Nav2D-v0" in gymnasium.registry:
        return
    with namespace(NAMESPACE):
        register()
