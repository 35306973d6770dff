"""What holds of the launch files without the launch system: names, files and parameters fit the nodes."""

import ast
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from spillguard_core.robot.arm import load_robot
from spillguard_core.tasks.carry import carry
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_sim.graph import NODES as MODULES

CARRY = carry(load_robot("fr3"))
ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))
NODES = {
    "safety_monitor": "MonitorParameters", "policy": "PolicyParameters", "sim_arm": "SimArmParameters",
    "operator_page": "PageParameters", "position_streamer": "StreamerParameters",
}  # fmt: skip
FROM_LAUNCH = {  # parameters that a launch argument sets
    "safety_monitor": {
        "bundle", "robot", "site", "public_key", "record", "driver_status", "driver_controller",
        "driver_parameter", "allow_uncalibrated", "output", "joint_prefix", "shadow", "speed_scale",
        "operator_keys",
    },
    "policy": {"bundle", "robot", "public_key", "joint_prefix", "patience"},
    "sim_arm": {"seed", "output", "joint_prefix"},
    "position_streamer": {"robot", "joint_prefix", "speed_scale"},
    "operator_page": {"bundle", "robot", "site", "public_key", "joint_prefix", "key_file"},
}  # fmt: skip
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
    own = getattr(import_module(MODULES[node]), NODES[node])
    shared = [import_module("spillguard_ros.node.realtime").Scheduling]
    if node in ("safety_monitor", "policy"):
        shared.append(import_module("spillguard_ros.node.sensors").frame_parameters(POURING))
    if node == "safety_monitor":
        shared.append(
            import_module("spillguard_ros.monitor.parameters").settings_parameters(
                (*POURING.rules, *CARRY.rules)
            )
        )
    return {entry.name: entry.default is MISSING for cls in (own, *shared) for entry in fields(cls)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_launch_files_compile_and_describe(file: Path) -> None:
    functions = [n.name for n in tree(file.name).body if isinstance(n, ast.FunctionDef)]
    compile(file.read_text(), file.name, "exec")
    assert "generate_launch_description" in functions


def test_the_promised_arguments_are_there() -> None:
    promised = {"bundle", "robot", "site", "params", "namespace", "record", "allow_uncalibrated"}
    assert promised <= set(constant("pour_nodes.launch.py", "ARGUMENTS"))
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


def defaults(name: str) -> dict[str, str]:
    """Arguments that a launch file declares with a constant default."""
    calls = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Call)]
    declared = [call for call in calls if getattr(call.func, "id", "") == "DeclareLaunchArgument"]
    words = {
        call.args[0].value: {word.arg: word.value for word in call.keywords}
        for call in declared
        if isinstance(call.args[0], ast.Constant)
    }
    return {
        argument: given["default_value"].value
        for argument, given in words.items()
        if isinstance(given.get("default_value"), ast.Constant)
    }


def test_driver_is_named_in_full() -> None:
    """Exactly as the driver says it: a part of a name is another one's, too."""
    driver = import_module("spillguard_ros.monitor.driver")
    assert driver.CONTROLLERS == "controller_manager: Controllers Activity"
    kinova, simulated = constant("pour_kinova.launch.py", "NODE_ARGUMENTS"), defaults("pour_sim.launch.py")
    assert kinova["driver_status"][0] == simulated["driver_status"] == driver.CONTROLLERS
    assert kinova["driver_parameter"][0] == simulated["driver_parameter"] == driver.JOINS


def test_the_shipped_controllers_are_those_of_the_launch_and_join_to_the_last_command() -> None:
    """The names that the driver's bringup starts, and the parameter that the monitor asks for."""
    driver, arm = import_module("spillguard_ros.monitor.driver"), load_robot("gen3")
    outputs = import_module("spillguard_ros.node.outputs")
    shipped = yaml.safe_load((LAUNCH / "controllers.yaml").read_text())
    known = set(shipped["controller_manager"]["ros__parameters"]) - {"update_rate"}
    assert known == {
        "joint_state_broadcaster", driver.CONTROLLER, outputs.FORWARD_CONTROLLER, "twist_controller",
        "robotiq_gripper_controller", "fault_controller",
    }  # fmt: skip
    ours = shipped[driver.CONTROLLER]["ros__parameters"]
    assert ours[driver.JOINS] is True
    assert tuple(ours["joints"]) == arm.joint_names
    assert arm.command_topic.startswith(f"{driver.CONTROLLER}/")
    forward = shipped[outputs.FORWARD_CONTROLLER]["ros__parameters"]
    assert tuple(forward["joints"]) == arm.joint_names and forward["interface_name"] == "position"


@pytest.mark.parametrize("file", ["pour_nodes.launch.py", "pour_kinova.launch.py"])
@pytest.mark.parametrize("output", ["trajectory", "positions"])
def test_the_output_chooses_the_controller(file: str, output: str) -> None:
    """The expression that the launch system evaluates, with the argument in its place."""
    driver, outputs = (import_module(f"spillguard_ros.{name}") for name in ("monitor.driver", "node.outputs"))
    (expression,) = (
        statement.value.args[0].elts  # type: ignore[attr-defined]
        for statement in tree(file).body
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "CONTROLLER"  # type: ignore[attr-defined]
    )
    text = "".join(part.value if isinstance(part, ast.Constant) else output for part in expression)
    chosen = outputs.FORWARD_CONTROLLER if output == "positions" else driver.CONTROLLER
    assert ast.literal_eval(text.partition(" if ")[0]) == outputs.FORWARD_CONTROLLER
    assert eval(text) == chosen
    assert '"driver_controller": (\n        CONTROLLER,' in (LAUNCH / file).read_text()


def test_positions_are_streamed_to_the_drivers_topic_only_when_asked_for() -> None:
    outputs, source = (
        import_module("spillguard_ros.node.outputs"),
        (LAUNCH / "pour_nodes.launch.py").read_text(),
    )
    assert f'"{outputs.POSITIONS}"' in source and "(positions, [driver, positions])" in source
    assert 'node("position_streamer", robot, slow, condition=streamed)' in source
    assert constant("pour_nodes.launch.py", "ARGUMENTS")["output"][0] == outputs.Output.TRAJECTORY.value


def evaluated(variable: str, **given: str) -> object:
    """The expression that the launch system evaluates, with the arguments in their places."""
    (words,) = (
        next(node for node in ast.walk(statement) if isinstance(node, ast.List)).elts
        for statement in ast.walk(tree("pour_nodes.launch.py"))
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == variable
    )
    return eval("".join(w.value if isinstance(w, ast.Constant) else given[w.args[0].value] for w in words))


def handed_on(name: str) -> set[str]:
    """Arguments that a launch file passes to `pour_nodes.launch.py`."""
    text = (LAUNCH / name).read_text().partition('HERE / "pour_nodes.launch.py"')[2].partition(".items()")[0]
    own = set(constant(name, "NODE_ARGUMENTS")) if "*NODE_ARGUMENTS" in text else set()
    return own | {word for word in text.split('"') if word.isidentifier()}


@pytest.mark.parametrize("name", ["pour_sim.launch.py", "pour_kinova.launch.py"])
def test_shadow_and_speed_reach_the_monitor_from_every_launch_file(name: str) -> None:
    """Guarded and at full speed unless somebody says otherwise."""
    inner = constant("pour_nodes.launch.py", "ARGUMENTS")
    outer = (
        constant(name, "NODE_ARGUMENTS")
        if "kinova" in name
        else {argument: (default, "") for argument, default in defaults(name).items()}
    )
    assert inner["shadow"][0] == outer["shadow"][0] == "false"
    assert inner["speed_scale"][0] == outer["speed_scale"][0] == "1.0"
    assert {"shadow", "speed_scale"} <= handed_on(name)


@pytest.mark.parametrize(
    ("output", "shadow", "started"),
    [
        ("positions", "false", True),
        ("positions", "False", True),
        ("positions", "true", False),
        ("positions", "1", False),
        ("positions", "perhaps", False),
        ("trajectory", "false", False),
    ],
)
def test_nothing_that_commands_the_arm_is_started_in_shadow(output: str, shadow: str, started: bool) -> None:
    assert evaluated("streamed", output=output, shadow=shadow) is started


@pytest.mark.parametrize(
    ("shadow", "speed_scale", "patience"),
    [("false", "1.0", 15.0), ("false", "0.1", 150.0), ("true", "1.0", 0.0), ("True", "0.1", 0.0)],
)
def test_a_policy_that_is_slowed_has_as_much_longer_and_one_that_looks_on_gives_up_never(
    shadow: str, speed_scale: str, patience: float
) -> None:
    """A pour at a tenth of the speed takes longer than the patience at full speed."""
    whole = str(constant("pour_nodes.launch.py", "ARGUMENTS")["patience"][0])
    assert float(whole) == parameters("policy")["patience"]
    given = {"shadow": shadow, "speed_scale": speed_scale, "patience": whole}
    assert evaluated("patience", **given) == pytest.approx(patience)


def test_what_is_late_is_joined_before_the_monitor_stops_the_arm() -> None:
    """And the stream's own lag leaves the servos most of what the monitor allows."""
    monitor, streamer = parameters("safety_monitor"), parameters("position_streamer")
    limits = load_robot("gen3").limits
    assert limits.jerk is not None
    window = float((4.0 * limits.acceleration / limits.jerk).max())
    assert streamer["max_deviation"] < monitor["max_tracking_error"]
    assert streamer["delay"] + 0.5 * window <= monitor["tracking_lag"] / 3.0


def test_nodes_of_the_launch_files_are_installed_as_executables() -> None:
    for node in NODES:
        package = ROOT / "ros_ws/src" / MODULES[node].split(".")[0]
        assert f'"{node}"' in (package / "setup.py").read_text()
        stub = package / "scripts" / node
        assert stub.stat().st_mode & 0o111
        assert f"from {MODULES[node]} import main" in stub.read_text()
    sim = "".join((LAUNCH / "pour_sim.launch.py").read_text().split())
    assert 'package="spillguard_sim",executable="sim_arm"' in sim
