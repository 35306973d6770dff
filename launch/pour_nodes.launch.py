"""Policy and safety monitor: what simulated arm and Kinova have in common. Started through one of theirs.

With ``output:=positions`` the position streamer is a third node, for a driver that takes positions. All are
lifecycle nodes that configure and activate themselves (`autostart`). No event here re-activates a node: one
that an operator deactivates stays inactive. The monitor starts closed; an operator resets and resumes it.
What ends the launch ends the nodes, and what ends driver, monitor or streamer ends the launch.
``page:=true`` adds the operator page, on which nothing depends. ``shadow:=true`` looks on while somebody else
moves the arm, ``speed_scale:=0.1`` moves it at a tenth of its speed: see docs/commissioning.md.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, RegisterEventHandler, SetEnvironmentVariable, Shutdown
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    PathJoinSubstitution,
    PythonExpression,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONTROLLER = PythonExpression([
    "'forward_position_controller' if '", LaunchConfiguration("output"), "' == 'positions' ",
    "else 'joint_trajectory_controller'",
])  # fmt: skip
STARTER = "SPILLGUARD_STARTER"  # whose end, however it comes, our nodes do not outlive
ARGUMENTS = {
    "bundle": (None, "Directory of the bundle: policy, safety critic, world model and manifest."),
    "robot": ("gen3", "Name of the arm's description, or a folder with its robot.yaml."),
    "site": ("", "File of the lab's own table, walls and slow zones; empty: the fixtures of the bundle."),
    "params": (str(Path(__file__).parent / "params"), "Directory with one parameter file a node."),
    "namespace": ("", "Namespace of policy and safety monitor."),
    "policy": ("true", "Start the policy; false: something else proposes, as contract-test or excite do."),
    "record": ("", "MCAP file for the flight recording; empty: none."),
    "public_key": ("", "Ed25519 key that must have signed the bundle; empty: unsigned bundles are taken."),
    "operator_keys": (
        "",
        "Public key, or folder of *.pub, one of which must have signed a reset, a resume or a suspension of "
        "the critic; empty: anybody may ask.",
    ),
    "page_key": ("", "Private key with which the operator page signs; empty: its buttons sign nothing."),
    "allow_uncalibrated": ("false", "Take a bundle whose critic's threshold promises nothing."),
    "shadow": (
        "false",
        "Look on while somebody else moves the arm: everything runs and is recorded, nothing of ours can "
        "command it.",
    ),
    "speed_scale": ("1.0", "Share of its speed at which every motion is made, 0.01 to 1.0."),
    "patience": (
        "15.0",
        "[s] of motion at full speed after which the policy gives up, 0: never; at less speed it has as much "
        "longer, and in shadow, where the motion is not its own, it never does.",
    ),
    "output": (
        "trajectory",
        "What the arm's controller is given: trajectory (joint_trajectory_controller), or positions "
        "(forward_position_controller), which the position streamer makes of the monitor's trajectories.",
    ),
    "driver_prefix": (
        "",
        "What stands before the driver's topics joint_states and joint_trajectory_controller/..., "
        "forward_position_controller/...",
    ),
    "joint_prefix": (
        "",
        "What stands before the names of the arm's joints and of its base frame in messages, where a graph "
        "has several arms.",
    ),
    "driver_status": (
        "",
        "Full name of the status on /diagnostics in which the driver calls its controller active, "
        "'NODE: Controllers Activity' of a controller manager; empty: none is awaited.",
    ),
    "driver_controller": (
        CONTROLLER,
        "Full name of the controller that this status has to call active.",
    ),
    "driver_parameter": (
        "",
        "Boolean parameter of the trajectory controller that has to be true, interpolate_from_desired_state "
        "(before Jazzy open_loop_control); empty, or with output:=positions: none is asked for.",
    ),
    "load_cell": ("load_cell/wrench", "Topic of the load cell under the receiving cup, tared."),
    "wrist": ("wrist/wrench", "Topic of the payload felt at the wrist, tared."),
    "target": ("target_pose", "Topic of the receiving cup's rim centre in the base frame."),
    "page": ("false", "The operator page in the browser; its parameter file says where it listens."),
    "autostart": ("true", "Nodes configure and activate themselves."),
    "log_level": ("info", "Log level of the nodes."),
}


def text(name: str) -> ParameterValue:
    """An argument as a string parameter, also where it looks like something else."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def node(name: str, *more: dict[str, ParameterValue], condition: IfCondition | None = None) -> Node:
    """A node of this package with its parameter file and the driver's topic names."""
    driver = LaunchConfiguration("driver_prefix")
    command, positions = (
        "joint_trajectory_controller/joint_trajectory",
        "forward_position_controller/commands",
    )
    return Node(
        package="spillguard_ros",
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        condition=condition,
        parameters=[
            PathJoinSubstitution([LaunchConfiguration("params"), f"{name}.yaml"]),
            {"autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool)},
            *more,
        ],
        remappings=[
            ("joint_states", [driver, "joint_states"]),
            (command, [driver, command]),
            (positions, [driver, positions]),
            ("load_cell/wrench", LaunchConfiguration("load_cell")),
            ("wrist/wrench", LaunchConfiguration("wrist")),
            ("target_pose", LaunchConfiguration("target")),
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )


def ended(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """Without its driver, monitor or streamer the rest of the graph has nothing to do, so the launch ends.

    A policy may come back: until then the arm is held.
    """
    del context
    done = event.returncode == 0 and "spawner" in event.process_name
    if done or event.process_name.startswith(("policy", "operator_page", "rviz2")):
        return []
    return [Shutdown(reason=f"{event.process_name} ended with {event.returncode}")]


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    # With shared memory, Fast DDS lets a killed peer block the monitor's publish for up to a second.
    transport = "FASTDDS_BUILTIN_TRANSPORTS"
    environment = [
        SetEnvironmentVariable(STARTER, str(os.getpid())),
        SetEnvironmentVariable(transport, EnvironmentVariable(transport, default_value="UDPv4")),
        SetEnvironmentVariable("OMP_NUM_THREADS", EnvironmentVariable("OMP_NUM_THREADS", default_value="1")),
    ]
    bundle = {"bundle": text("bundle"), "public_key": text("public_key")}
    robot = {"robot": text("robot"), "joint_prefix": text("joint_prefix")}
    site = {"site": text("site")}
    driver = ("output", "driver_status", "driver_controller", "driver_parameter")
    told = {name: text(name) for name in ("record", "operator_keys", *driver)}
    # In shadow nothing that commands the arm is started, nor where it is not plain that this is no shadow.
    streamed = IfCondition(PythonExpression([
        "'", LaunchConfiguration("output"), "' == 'positions' and '", LaunchConfiguration("shadow"),
        "'.lower() == 'false'",
    ]))  # fmt: skip
    allowed = ParameterValue(LaunchConfiguration("allow_uncalibrated"), value_type=bool)
    shadow = {"shadow": ParameterValue(LaunchConfiguration("shadow"), value_type=bool)}
    slow = {"speed_scale": ParameterValue(LaunchConfiguration("speed_scale"), value_type=float)}
    patience = PythonExpression([
        "0.0 if '", LaunchConfiguration("shadow"), "'.lower() != 'false' else ",
        LaunchConfiguration("patience"), " / max(", LaunchConfiguration("speed_scale"), ", 0.01)",
    ])  # fmt: skip
    nodes = [
        node("safety_monitor", bundle, robot, site, told, {"allow_uncalibrated": allowed}, shadow, slow),
        node(
            "policy",
            bundle,
            robot,
            {"patience": ParameterValue(patience, value_type=float)},
            condition=IfCondition(LaunchConfiguration("policy")),
        ),
        node("position_streamer", robot, slow, condition=streamed),
        node(
            "operator_page",
            bundle,
            robot,
            site,
            {"key_file": text("page_key")},
            condition=IfCondition(LaunchConfiguration("page")),
        ),
    ]
    return LaunchDescription([
        *declared, *environment, RegisterEventHandler(OnProcessExit(on_exit=ended)), *nodes,
    ])  # fmt: skip
