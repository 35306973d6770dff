"""A real Gen3 through ros2_kortex's bringup, the policy and the safety monitor.

``ros2 launch spillguard_ros pour_kinova.launch.py bundle:=DIRECTORY robot_ip:=192.168.1.10``. The lab gives
load cell, wrist payload and target pose (arguments load_cell, wrist, target). use_fake_hardware:=true needs
no arm: the driver mirrors commands to states. Its topics have no namespace, hence driver_prefix "/".

The driver comes first: where it cannot be started (a package is missing, a gripper unknown) nothing else is.
One of its processes that fails later ends the launch, and our nodes end with the launch, however it ends.

The defaults of driver_status and driver_controller are what its controller manager says on Jazzy and later;
on Humble it says nothing: driver_status:="" there, and driver_parameter:=open_loop_control. Where a second
controller manager runs, give each a name of its own, or set diagnostic_updater.use_fqn on both, which makes
that status "/NAMESPACE/controller_manager: Controllers Activity". The frames of load cell and wrist stand in
the parameter files (argument params).
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    PathJoinSubstitution,
    PythonExpression,
)
from launch_ros.substitutions import FindPackageShare

HERE = Path(__file__).parent
CONTROLLER = PythonExpression([
    "'forward_position_controller' if '", LaunchConfiguration("output"), "' == 'positions' ",
    "else 'joint_trajectory_controller'",
])  # fmt: skip
DRIVER_ARGUMENTS = {
    "robot_ip": (None, "Address of the arm; it ships with 192.168.1.10."),
    "use_fake_hardware": ("false", "No arm: the driver mirrors commands to states."),
    "gripper": ("robotiq_2f_85", "Gripper that holds the cup; empty: none."),
    "launch_rviz": ("false", "Show the arm in RViz."),
    "controllers_file": (str(HERE / "controllers.yaml"), "Controllers of the arm, a full path."),
}
NODE_ARGUMENTS = {
    "output": (
        "trajectory",
        "What the arm is given: trajectory, or positions, for which another controller is started.",
    ),
    "shadow": ("false", "Look on while somebody else moves the arm; nothing of ours can command it."),
    "speed_scale": ("1.0", "Share of its speed at which every motion is made, 0.01 to 1.0."),
    "driver_prefix": ("/", "What stands before the driver's topics."),
    "driver_status": (
        "controller_manager: Controllers Activity",
        "Full name of the controller manager's status on /diagnostics; empty: none is awaited.",
    ),
    "driver_controller": (
        CONTROLLER,
        "Full name of the controller that this status has to call active.",
    ),
    "driver_parameter": (
        "interpolate_from_desired_state",
        "Boolean parameter of the trajectory controller that has to be true; empty: none is asked for.",
    ),
}


def generate_launch_description() -> LaunchDescription:
    """Driver, then nodes. The transport holds for every process of this launch, so it is set before."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in {**NODE_ARGUMENTS, **DRIVER_ARGUMENTS}.items()
    ]
    transport = "FASTDDS_BUILTIN_TRANSPORTS"
    bringup = PathJoinSubstitution([FindPackageShare("kortex_bringup"), "launch", "gen3.launch.py"])
    driver = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(bringup),
        launch_arguments={
            **{name: LaunchConfiguration(name) for name in DRIVER_ARGUMENTS},
            "dof": "7",
            "robot_controller": CONTROLLER,
        }.items(),
    )
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(HERE / "pour_nodes.launch.py")),
        launch_arguments={name: LaunchConfiguration(name) for name in ("bundle", *NODE_ARGUMENTS)}.items(),
    )
    return LaunchDescription([
        DeclareLaunchArgument("bundle", description="Directory of the bundle to run."),
        *declared,
        SetEnvironmentVariable(transport, EnvironmentVariable(transport, default_value="UDPv4")),
        driver,
        nodes,
    ])  # fmt: skip
