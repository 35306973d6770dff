"""The scripted controller of an environment, or a refusal."""

from policy_training.experience.environments import full_name
from policy_training.experience.episodes import ActionRule


def scripted_controller(env_id: str) -> ActionRule:
    """The controller that solves an environment from its observation."""
    from sim.scripted import CONTROLLERS

    name = full_name(env_id)
    if name not in CONTROLLERS:
        raise ValueError(f"{env_id} has no scripted controller; these have one: {', '.join(CONTROLLERS)}")
    return CONTROLLERS[name]
