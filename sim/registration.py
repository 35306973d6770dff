"""Names of the environments. Importing this module registers them (Gymnasium 1.x looks up no entry points):

``import sim.registration`` and then ``gymnasium.make("spillguard/PourCoffee-v0")``, or both in one with
``gymnasium.make("sim.registration:spillguard/PourCoffee-v0")``.
"""

import gymnasium

ENVIRONMENTS = {
    "spillguard/Nav2D-v0": ("sim.nav2d:Nav2DEnv", 60),
    "spillguard/PourCoffee-v0": ("sim.pour_env:PourCoffeeEnv", 200),
}
"""Entry point and number of steps after which an episode is truncated."""


def ensure_registered() -> None:
    """Register what is not yet registered."""
    for name, (entry_point, steps) in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point=entry_point, max_episode_steps=steps)


ensure_registered()
