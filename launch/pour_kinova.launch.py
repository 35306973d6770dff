"""A Kinova Gen3 through ros2_kortex's bringup, the policy and the safety monitor.

``ros2 launch spillguard_ros pour_kinova.launch.py bundle:=DIRECTORY robot_ip:=192.168.1.10``. The lab gives
load cell, wrist payload and target pose (arguments load_cell, wrist, target). use_fake_hardware:=true needs
no arm: the driver mirrors commands to states. Its topics have no namespace, hence driver_prefix "/".
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

HERE = Path(__file__).parent
DRIVER_ARGUMENTS = {
    "robot_ip": (None, "Address of the arm; it ships with 192.168.1.10."),
    "use_fake_hardware": ("false", "No arm: the driver mirrors commands to states."),
    "gripper": ("robotiq_2f_85", "Gripper that holds the cup; empty: none."),
    "launch_rviz": ("false", "Show the arm in RViz."),
}


def generate_launch_description() -> LaunchDescription:
    """The nodes first, since they set the DDS transport for every process of this launch."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in DRIVER_ARGUMENTS.items()
    ]
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "pour_nodes.launch.py")),
        launch_arguments={
            "bundle": LaunchConfiguration("bundle"),
            "driver_prefix": "/",
            "driver_status": LaunchConfiguration("driver_status"),
        }.items(),
    )
    bringup = PathJoinSubstitution([FindPackageShare("kortex_bringup"), "launch", "gen3.launch.py"])
    driver = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(bringup),
        launch_arguments={
            **{name: LaunchConfiguration(name) for name in DRIVER_ARGUMENTS},
            "dof": "7",
            "robot_controller": "joint_trajectory_controller",
        }.items(),
    )
    bundle = DeclareLaunchArgument("bundle", description="Directory of the bundle to run.")
    status = DeclareLaunchArgument(
        "driver_status",
        default_value="Controllers Activity",
        description="Status of the controller manager on /diagnostics; empty: none is awaited.",
    )
    return LaunchDescription([bundle, status, *declared, nodes, driver])
