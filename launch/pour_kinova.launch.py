"""A Kinova Gen3 through ros2_kortex's bringup, the policy and the safety monitor.

``ros2 launch spillguard_ros pour_kinova.launch.py bundle:=DIRECTORY robot_ip:=192.168.1.10``. The lab gives
load cell, wrist payload and target pose (arguments load_cell, wrist, target). use_fake_hardware:=true needs
no arm: the driver mirrors commands to states. Its topics have no namespace, hence driver_prefix "/".

The defaults of driver_status and driver_controller are what its controller manager says on Jazzy and later;
on Humble it says nothing: driver_status:="" there. Where a second controller manager runs, give each a name
of its own, or set diagnostic_updater.use_fqn on both, which makes that status
"/NAMESPACE/controller_manager: Controllers Activity". The frames of load cell and wrist stand in the
parameter files (argument params).
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
            "driver_controller": LaunchConfiguration("driver_controller"),
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
        default_value="controller_manager: Controllers Activity",
        description="Full name of the controller manager's status on /diagnostics; empty: none is awaited.",
    )
    controller = DeclareLaunchArgument(
        "driver_controller",
        default_value="joint_trajectory_controller",
        description="Full name of the controller that this status has to call active.",
    )
    return LaunchDescription([bundle, status, controller, *declared, nodes, driver])
