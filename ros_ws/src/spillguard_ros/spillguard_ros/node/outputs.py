"""What the arm's controller is given: whole trajectories, or positions at a rate."""

from enum import Enum

FORWARD_CONTROLLER = "forward_position_controller"
POSITIONS = f"{FORWARD_CONTROLLER}/commands"
"""std_msgs/Float64MultiArray, one position [rad] a joint, in the order of the robot's joints."""


class Output(Enum):
    """The monitor publishes trajectories in both cases."""

    TRAJECTORY = "trajectory"  # they go to a joint trajectory controller
    POSITIONS = (
        "positions"  # the position streamer makes positions of them, for a forward position controller
    )

    @classmethod
    def named(cls, text: str) -> "Output":
        """ValueError for a name that is none."""
        names = [output.value for output in cls]
        if text not in names:
            raise ValueError(f"output is {text!r}, it has to be {' or '.join(names)}")
        return cls(text)
