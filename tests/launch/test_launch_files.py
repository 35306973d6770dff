"""What holds of the launch files without the launch system: names, files and parameters fit the nodes."""

import ast
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
NODES = {
    "safety_monitor": "MonitorParameters", "policy": "PolicyParameters", "sim_arm": "SimArmParameters",
    "operator_page": "PageParameters",
}  # fmt: skip
FROM_LAUNCH = {  # parameters that a launch argument sets
    "safety_monitor": {"bundle", "public_key", "record", "driver_status"},
    "policy": {"bundle", "public_key"},
    "sim_arm": {"seed", "speed"},
    "operator_page": {"bundle", "public_key"},
}
# Declared by kortex_bringup's gen3.launch.py (ros2_kortex 1fdbef3, April 2026).
KORTEX_ARGUMENTS = {
    "robot_type", "robot_ip", "dof", "use_fake_hardware", "fake_sensor_commands", "robot_controller",
    "controllers_file", "gripper", "gripper_joint_name", "use_internal_bus_gripper_comm",
    "gripper_max_velocity", "gripper_max_force", "launch_rviz",
}  # fmt: skip


def tree(name: str) -> ast.Module:
    return ast.parse((LAUNCH / name).read_text())


def constant(name: str, variable: str) -> dict[str, tuple[str | None, str]]:
    """A module's dictionary of arguments, defaults that are computed read as None."""
    for statement in tree(name).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == variable:  # type: ignore[attr-defined]
            pairs = zip(statement.value.keys, statement.value.values, strict=True)  # type: ignore[attr-defined]
            return {
                key.value: tuple(
                    item.value if isinstance(item, ast.Constant) else None for item in value.elts
                )
                for key, value in pairs
            }
    raise KeyError(variable)


def parameters(node: str) -> dict[str, object]:
    """The node's own file of parameters."""
    (content,) = yaml.safe_load((LAUNCH / "params" / f"{node}.yaml").read_text()).values()
    return content["ros__parameters"]


def declared(node: str) -> dict[str, bool]:
    """Parameters that the node declares: is each one required?"""
    pytest.importorskip("rclpy")
    own = getattr(import_module(f"spillguard_ros.{node}"), NODES[node])
    scheduling = import_module("spillguard_ros.realtime").Scheduling
    return {entry.name: entry.default is MISSING for cls in (own, scheduling) for entry in fields(cls)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_launch_files_compile_and_describe(file: Path) -> None:
    functions = [n.name for n in tree(file.name).body if isinstance(n, ast.FunctionDef)]
    compile(file.read_text(), file.name, "exec")
    assert "generate_launch_description" in functions


def test_the_promised_arguments_are_there() -> None:
    assert {"bundle", "params", "namespace", "record"} <= set(constant("pour_nodes.launch.py", "ARGUMENTS"))
    assert {"robot_ip", "use_fake_hardware"} <= set(constant("pour_kinova.launch.py", "DRIVER_ARGUMENTS"))


def test_what_has_no_safe_default_has_none() -> None:
    assert constant("pour_nodes.launch.py", "ARGUMENTS")["bundle"][0] is None
    kinova = constant("pour_kinova.launch.py", "DRIVER_ARGUMENTS")
    assert kinova["robot_ip"][0] is None
    assert kinova["use_fake_hardware"][0] == "false"


def test_the_driver_is_given_only_arguments_that_it_declares() -> None:
    given = set(constant("pour_kinova.launch.py", "DRIVER_ARGUMENTS")) | {"dof", "robot_controller"}
    assert given <= KORTEX_ARGUMENTS


@pytest.mark.parametrize("node", NODES)
def test_parameter_files_hold_what_the_node_declares(node: str) -> None:
    assert set(parameters(node)) <= set(declared(node))


@pytest.mark.parametrize("node", NODES)
def test_every_required_parameter_is_set_by_file_or_launch(node: str) -> None:
    required = {name for name, needed in declared(node).items() if needed}
    assert required <= set(parameters(node)) | FROM_LAUNCH[node]


@pytest.mark.parametrize("node", NODES)
def test_launch_sets_only_parameters_that_the_node_declares(node: str) -> None:
    assert FROM_LAUNCH[node] <= set(declared(node))
    assert all(f'"{name}"' in "".join(f.read_text() for f in FILES) for name in FROM_LAUNCH[node])


def test_nodes_of_the_launch_files_are_installed_as_executables() -> None:
    setup = (ROOT / "ros_ws/src/spillguard_ros/setup.py").read_text()
    for node in NODES:
        assert f'"{node}"' in setup
        assert (ROOT / "ros_ws/src/spillguard_ros/scripts" / node).stat().st_mode & 0o111
