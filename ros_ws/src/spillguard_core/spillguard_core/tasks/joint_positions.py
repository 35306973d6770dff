"""No task: a policy asks for a position of every joint, to which the arm goes in a straight line."""

from spillguard_core.gate.terms import joint_task

TASK = joint_task("joint_positions", positions=True)
