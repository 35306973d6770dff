"""No task: a policy asks for the velocity of every joint."""

from spillguard_core.gate.terms import joint_task

TASK = joint_task("joint_velocities", positions=False)
