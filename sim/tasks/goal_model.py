"""MJCF of the goal tasks: a floor, a robot, a vase, and markers without contacts.

Sizes, densities, joints, actuators and sensors are Safety-Gymnasium 1.0.0's. Goal and hazards touch nothing,
so they are sites: they need no collision check, and moving them needs no recompilation.
"""

from dataclasses import dataclass

from sim.tasks.goal_rules import GOAL_RADIUS, HAZARD_RADIUS, HAZARDS

SUBSTEPS = 10  # simulation steps per control step
SLEEP = 1e-9  # [m/s] below which a vase is not simulated: its position is then constant within 1e-11 m
ROBOT_HEIGHT = 0.1  # [m] of the robot's centre when placed
VASE_HEIGHT = 0.1 - 4e-5  # [m] of a vase at rest, slightly penetrating the floor
GOAL_HEIGHT, HAZARD_HEIGHT = 0.16, 0.02  # [m] of their centres; visual only


@dataclass(frozen=True)
class GoalRobot:
    """One robot: its MJCF and how its observation is built from its sensors."""

    timestep: float  # [s]
    defaults: str
    body: str
    sensors: str  # in the order of the observation
    actuators: str
    direct: int  # sensor values copied to the observation; a quaternion follows, or nothing
    width: int  # of the sensors' part of the observation


IMU = """
    <accelerometer site="robot"/>
    <velocimeter site="robot"/>
    <gyro site="robot"/>
    <magnetometer site="robot"/>"""

POINT = GoalRobot(
    timestep=0.002,
    defaults="""
    <geom condim="6" density="1"/>
    <motor ctrlrange="-1 1" forcerange="-0.05 0.05"/>
    <velocity ctrlrange="-1 1" forcerange="-0.05 0.05"/>""",
    body="""
      <joint name="forward" type="slide" axis="1 0 0" damping="0.01"/>
      <joint name="sideways" type="slide" axis="0 1 0" damping="0.01"/>
      <joint name="turn" type="hinge" axis="0 0 1" damping="0.005"/>
      <geom name="ball" type="sphere" size="0.1" friction="1 0.01 0.01" rgba="0.74 0.04 0.18 1"/>
      <geom name="nose" type="box" pos="0.1 0 0" size="0.05 0.05 0.05" rgba="0 0.15 0.4 1"/>""",
    sensors=IMU,
    actuators="""
    <motor name="push" site="robot" gear="0.3 0 0 0 0 0"/>
    <velocity name="turn" jointinparent="turn" gear="0.3"/>""",
    direct=12,
    width=12,
)

CAR = GoalRobot(
    timestep=0.004,
    defaults="""
    <geom condim="6" density="5"/>
    <joint damping="0.001"/>
    <motor ctrlrange="-1 1" forcerange="-0.02 0.02"/>""",
    body="""
      <joint name="base" type="free" damping="0"/>
      <geom name="chassis" type="box" size="0.1 0.1 0.05" rgba="0.74 0.04 0.18 1"/>
      <geom name="back_bumper" type="box" pos="0 0.15 0" size="0.1 0.01 0.05" rgba="0 0.15 0.4 1"/>
      <geom name="back_link" type="box" pos="0 0.125 0" size="0.01 0.025 0.03" rgba="0 0.15 0.4 1"/>
      <geom name="front_bumper" type="box" pos="0 -0.165 0" size="0.05 0.01 0.05" rgba="0 0.15 0.4 1"/>
      <geom name="front_link" type="box" pos="0 -0.13 0.04" size="0.05 0.03 0.01" rgba="0 0.15 0.4 1"/>
      <body name="left_wheel" pos="-0.1 0.1 -0.05">
        <joint name="left" type="hinge" axis="1 0 0"/>
        <geom type="cylinder" fromto="-0.055 0 0 -0.005 0 0" size="0.05" rgba="0.74 0.04 0.18 1"/>
      </body>
      <body name="right_wheel" pos="0.1 0.1 -0.05">
        <joint name="right" type="hinge" axis="1 0 0"/>
        <geom type="cylinder" fromto="0.005 0 0 0.055 0 0" size="0.05" rgba="0.74 0.04 0.18 1"/>
      </body>
      <body name="caster" pos="0 -0.1 -0.05">
        <joint name="caster" type="ball"/>
        <geom type="sphere" size="0.05" rgba="0.74 0.04 0.18 1"/>
      </body>""",
    sensors=IMU + """
    <ballangvel joint="caster"/>
    <ballquat joint="caster"/>""",
    actuators="""
    <motor name="left" jointinparent="left"/>
    <motor name="right" jointinparent="right"/>""",
    direct=15,
    width=24,
)  # fmt: skip


def _marker(name: str, height: float, radius: float, half_height: float, colour: str) -> str:
    size = f"{radius} {half_height}"
    return f'<site name="{name}" type="cylinder" pos="0 0 {height}" size="{size}" rgba="{colour}"/>'


def goal_model_xml(robot: GoalRobot) -> str:
    """The world with everything at its origin: set the layout before stepping."""
    hazards = "\n    ".join(
        _marker(f"hazard{n}", HAZARD_HEIGHT, HAZARD_RADIUS, 0.01, "0.1 0.2 1 0.35") for n in range(HAZARDS)
    )
    return f"""
<mujoco model="goal">
  <compiler angle="radian"/>
  <option timestep="{robot.timestep}" sleep_tolerance="{SLEEP}"><flag sleep="enable"/></option>
  <default>{robot.defaults}
  </default>
  <statistic center="0 0 0" extent="4" meansize="0.23"/>
  <visual>
    <global offwidth="1280" offheight="960"/>
    <headlight ambient="0.45 0.45 0.45" diffuse="0.5 0.5 0.5" specular="0 0 0"/>
  </visual>
  <worldbody>
    <camera name="overview" pos="0 -3.0 3.5" xyaxes="1 0 0 0 0.78 0.63"/>
    <geom name="floor" type="plane" size="12 12 0.1" rgba="0.93 0.92 0.9 1"/>
    {_marker("goal", GOAL_HEIGHT, GOAL_RADIUS, 0.15, "0.1 0.8 0.2 0.35")}
    {hazards}
    <body name="robot" pos="0 0 {ROBOT_HEIGHT}">
      <site name="robot" size="0.03" rgba="0 0 0 0"/>{robot.body}
    </body>
    <body name="vase" pos="0 0 {VASE_HEIGHT}">
      <freejoint name="vase"/>
      <geom name="vase" type="box" size="0.1 0.1 0.1" density="0.001" rgba="0 0.8 0.85 1"/>
    </body>
  </worldbody>
  <sensor>{robot.sensors}
  </sensor>
  <actuator>{robot.actuators}
  </actuator>
</mujoco>"""
