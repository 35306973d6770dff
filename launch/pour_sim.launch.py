"""Simulated cell, policy and safety monitor.

``ros2 launch spillguard_ros pour_sim.launch.py bundle:=DIRECTORY``, and then, for the monitor starts closed,
call its services ``safety_monitor/reset`` and ``safety_monitor/resume``.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

HERE = Path(__file__).parent


def generate_launch_description() -> LaunchDescription:
    """All arguments of `pour_nodes.launch.py` may be given, too."""
    declared = [
        DeclareLaunchArgument("bundle", description="Directory of the bundle to run."),
        DeclareLaunchArgument(
            "output",
            default_value="trajectory",
            description="What the arm's controller is given: trajectory or positions.",
        ),
        DeclareLaunchArgument(
            "shadow",
            default_value="false",
            description="Look on while somebody else moves the arm; nothing of ours can command it.",
        ),
        DeclareLaunchArgument(
            "speed_scale",
            default_value="1.0",
            description="Share of its speed at which every motion is made, 0.01 to 1.0.",
        ),
        DeclareLaunchArgument("seed", default_value="0", description="Of the sequence of randomised cells."),
        DeclareLaunchArgument(
            "domain",
            default_value="pours",
            description="What they differ in: nominal, pours, full, or a file.",
        ),
        DeclareLaunchArgument(
            "driver_status",
            default_value="controller_manager: Controllers Activity",
            description="Full name of the simulated driver's status on /diagnostics; empty: none is awaited.",
        ),
        DeclareLaunchArgument(
            "driver_parameter",
            default_value="interpolate_from_desired_state",
            description="Parameter of the simulated controller that has to be true; empty: none is asked.",
        ),
    ]
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "pour_nodes.launch.py")),
        launch_arguments={
            name: LaunchConfiguration(name)
            for name in ("bundle", "output", "shadow", "speed_scale", "driver_status", "driver_parameter")
        }.items(),
    )
    sim_arm = Node(
        package="spillguard_sim",
        executable="sim_arm",
        name="sim_arm",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            PathJoinSubstitution([LaunchConfiguration("params"), "sim_arm.yaml"]),
            {
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "domain": ParameterValue(LaunchConfiguration("domain"), value_type=str),
                "output": ParameterValue(LaunchConfiguration("output"), value_type=str),
                "joint_prefix": ParameterValue(LaunchConfiguration("joint_prefix"), value_type=str),
            },
        ],
    )
    return LaunchDescription([*declared, nodes, sim_arm])
