"""Environment ids. Importing this module registers them (Gymnasium 1.x does not look up entry points):

``import sim.registration`` and then ``gymnasium.make("spillguard/PourCoffee-v0")``, or in one call
``gymnasium.make("sim.registration:spillguard/PourCoffee-v0")``.
"""

import gymnasium

ENVIRONMENTS = {
    "spillguard/Nav2D-v0": ("sim.tasks.nav2d:Nav2DEnv", 60),
    "spillguard/OneStep-v0": ("sim.tasks.one_step:OneStepEnv", 1),
    "spillguard/HastyNav2D-v0": ("sim.tasks.nav2d:HastyNav2DEnv", 60),
    "spillguard/PourCoffee-v0": ("sim.pouring.pour_env:PourCoffeeEnv", 200),
    "spillguard/Reach-v0": ("sim.reaching.reach_env:ReachEnv", 150),
    "spillguard/Carry-v0": ("sim.reaching.reach_env:CarryEnv", 150),
    "spillguard/ReachPillars-v0": ("sim.reaching.reach_env:ReachPillarsEnv", 150),
    "spillguard/SafetyWalker2d-v0": ("sim.tasks.safety_mujoco:SafetyWalker2dEnv", 1000),
    "spillguard/SafetyHumanoidStandup-v0": ("sim.tasks.safety_mujoco:SafetyHumanoidStandupEnv", 1000),
    "spillguard/SafetyReacher-v0": ("sim.tasks.safety_mujoco:SafetyReacherEnv", 1000),
    "spillguard/SafetyHopper-v0": ("sim.tasks.safety_mujoco:SafetyHopperEnv", 1000),
    "spillguard/SafetyAnt-v0": ("sim.tasks.safety_mujoco:SafetyAntEnv", 1000),
    "spillguard/SafetyHalfCheetah-v0": ("sim.tasks.safety_mujoco:SafetyHalfCheetahEnv", 1000),
    "spillguard/SafetyHumanoid-v0": ("sim.tasks.safety_mujoco:SafetyHumanoidEnv", 1000),
    "spillguard/SafetyPusher-v0": ("sim.tasks.safety_mujoco:SafetyPusherEnv", 1000),
    "spillguard/SafetyHopperVelocity-v0": ("sim.tasks.velocity:SafetyHopperVelocityEnv", 1000),
    "spillguard/SafetyWalker2dVelocity-v0": ("sim.tasks.velocity:SafetyWalker2dVelocityEnv", 1000),
    "spillguard/SafetyAntVelocity-v0": ("sim.tasks.velocity:SafetyAntVelocityEnv", 1000),
    "spillguard/SafetyHalfCheetahVelocity-v0": ("sim.tasks.velocity:SafetyHalfCheetahVelocityEnv", 1000),
    "spillguard/SafetySwimmerVelocity-v0": ("sim.tasks.velocity:SafetySwimmerVelocityEnv", 1000),
    "spillguard/SafetyHumanoidVelocity-v0": ("sim.tasks.velocity:SafetyHumanoidVelocityEnv", 1000),
    "spillguard/SafetyCarGoal1-v0": ("sim.tasks.goal_env:CarGoalEnv", 1000),
    "spillguard/SafetyPointGoal1-v0": ("sim.tasks.goal_env:PointGoalEnv", 1000),
}
"""Entry point and number of steps after which an episode is truncated."""


def ensure_registered() -> None:
    """Register the environments that are not yet registered."""
    for name, (entry_point, steps) in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(id=name, entry_point=entry_point, max_episode_steps=steps)


ensure_registered()
