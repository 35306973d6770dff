"""`spillguard robot` on an arm that exists in this test alone: what is written, and what is refused."""

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from spillguard.cli import main as spillguard
from spillguard_core.bundle.guard import checked_xml
from spillguard_core.robot.arm import load_robot

INERTIAL = """<inertial><origin xyz="0 0 0.1"/><mass value="2.5"/>
    <inertia ixx="0.02" iyy="0.03" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>"""
# A base, a shoulder that turns about z, an upper arm that tilts about y, a wrist without end stops about x,
# and a gripper with one finger that slides along y.
URDF = f"""<robot name="made_up">
  <link name="world"/>
  <link name="base"><collision><geometry><box size="0.2 0.2 0.1"/></geometry></collision>{INERTIAL}</link>
  <link name="shoulder"><collision><origin xyz="0 0 0.1"/>
    <geometry><cylinder radius="0.05" length="0.2"/></geometry></collision>{INERTIAL}</link>
  <link name="upper"><visual><origin xyz="0 0.01 0.2" rpy="0 0 0.3"/><geometry>
    <mesh filename="package://made_up_description/meshes/upper.stl" scale="0.001 0.001 0.001"/>
    </geometry></visual>{INERTIAL}</link>
  <link name="wrist"><collision><geometry><sphere radius="0.04"/></geometry></collision>{INERTIAL}</link>
  <link name="finger"><collision><origin xyz="0.05 0 0"/><geometry><box size="0.06 0.01 0.02"/></geometry>
    </collision>{INERTIAL}</link>
  <link name="tip"/>
  <joint name="stand" type="fixed"><parent link="world"/><child link="base"/><origin xyz="0 0 0.05"/></joint>
  <joint name="turn" type="revolute"><parent link="base"/><child link="shoulder"/><origin xyz="0 0 0.1"/>
    <axis xyz="0 0 1"/><limit lower="-2" upper="2.5" velocity="1.5" effort="10"/></joint>
  <joint name="tilt" type="revolute"><parent link="shoulder"/><child link="upper"/>
    <origin xyz="0.02 0.12 0.2" rpy="0.1 0 0"/>
    <axis xyz="0 1 0"/><limit lower="-1" upper="1" velocity="1" effort="10"/></joint>
  <joint name="roll" type="continuous"><parent link="upper"/><child link="wrist"/><origin xyz="0 0 0.5"/>
    <axis xyz="1 0 0"/><limit velocity="2" effort="10"/></joint>
  <joint name="slide" type="prismatic"><parent link="wrist"/><child link="finger"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="0.04" velocity="0.1" effort="10"/></joint>
  <joint name="end" type="fixed"><parent link="wrist"/><child link="tip"/>
    <origin xyz="0.15 0 0" rpy="0 1 0"/></joint>
</robot>
"""
CORNERS = np.array(np.meshgrid([-40, 40], [-30, 30], [-200, 250])).reshape(3, -1).T.astype(float)  # [mm]


def stl(corners: np.ndarray) -> bytes:
    """The hull of points (N, 3) as a binary STL file."""
    facet = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = corners[ConvexHull(corners).simplices]
    table = np.zeros(len(triangles), facet)
    table["corners"] = triangles
    return bytes(80) + len(triangles).to_bytes(4, "little") + table.tobytes()


def written_urdf(folder: Path) -> Path:
    """Its package lies beside the folder of the URDF."""
    meshes = folder / "made_up_description/meshes"
    meshes.mkdir(parents=True)
    (meshes / "upper.stl").write_bytes(stl(CORNERS))
    path = folder / "urdf/made_up.urdf"
    path.parent.mkdir()
    path.write_text(URDF)
    return path


@pytest.fixture
def urdf(tmp_path) -> Path:
    return written_urdf(tmp_path)


@pytest.fixture(scope="module")
def arm(tmp_path_factory) -> Path:
    """Folder of the description, made with what is needed and nothing more."""
    path = written_urdf(tmp_path_factory.mktemp("made_up"))
    assert write(path, *GOOD) == 0
    return path.parent / "arm"


GOOD = ("--tool-link", "tip", "--fix", "slide=0.03")


def write(urdf: Path, *more: str, out: str = "arm") -> int:
    return spillguard(["robot", str(urdf), "-o", str(urdf.parent / out), *more])


def turned(axis: int, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    rotation = np.eye(3)
    rotation[i, i] = rotation[j, j] = cos
    rotation[i, j], rotation[j, i] = -sin, sin
    return rotation


def outside(model: mujoco.MjModel, link: str, points: np.ndarray) -> float:
    """[m] how far the worst of points (N, 3) in the frame of a link is outside its capsules."""
    found = []
    for geom in np.flatnonzero(model.geom_bodyid == model.body(link).id):
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
        local = (points - model.geom_pos[geom]) @ rotation.reshape(3, 3)
        local[:, 2] -= np.clip(local[:, 2], -model.geom_size[geom, 1], model.geom_size[geom, 1])
        found.append(np.linalg.norm(local, axis=1) - model.geom_size[geom, 0])
    return float(np.min(found, axis=0).max())


def test_the_robot_has_the_limits_of_its_urdf_and_says_what_was_chosen(arm):
    robot = load_robot(str(arm))
    assert (robot.name, robot.joint_names) == ("made_up", ("turn", "tilt", "roll"))
    assert robot.limits.position_min.tolist() == [-2.0, -1.0, -np.inf]
    assert robot.limits.position_max.tolist() == [2.5, 1.0, np.inf]
    assert robot.limits.velocity.tolist() == [1.5, 1.0, 2.0]
    assert robot.limits.jerk is None
    assert robot.rest.tolist() == [0.25, 0.0, 0.0]
    assert (robot.base_frame, robot.tool_site) == ("base", "tool")
    lines = (arm / "robot.yaml").read_text().splitlines()
    chosen = {line.partition(":")[0] for line in lines if "chosen here, not published" in line}
    assert chosen == {"acceleration", "workspace_min", "workspace_max", "rest"}


def test_the_lab_says_what_a_urdf_does_not_hold(urdf):
    words = ["--acceleration", "3", "--jerk", "100", "200", "300", "--rest", "0", "-0.5", "0.25"]
    words += ["--workspace-min", "-2", "-2", "-2", "--workspace-max", "2", "2", "2", "--velocity", "0.5"]
    assert write(urdf, *GOOD, *words, "--name", "mine", "--command-topic", "/left/trajectory") == 0
    robot = load_robot(str(urdf.parent / "arm"))
    assert robot.limits.acceleration.tolist() == [3.0] * 3
    assert robot.limits.velocity.tolist() == [0.5] * 3
    assert robot.limits.jerk is not None and robot.limits.jerk.tolist() == [100.0, 200.0, 300.0]
    assert robot.limits.workspace_min.tolist() == [-2.0] * 3
    assert robot.rest.tolist() == [0.0, -0.5, 0.25]
    assert (robot.name, robot.command_topic) == ("mine", "/left/trajectory")
    assert "chosen" not in (urdf.parent / "arm/robot.yaml").read_text()


def test_kinematics_and_inertia_are_those_of_the_urdf_in_the_base_frame(arm):
    model = mujoco.MjModel.from_xml_string(checked_xml((arm / "model.xml").read_bytes()))
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for turn, tilt, roll in rng.uniform(-1.0, 1.0, (20, 3)):
        for joint, angle in (("turn", turn), ("tilt", tilt), ("roll", roll)):
            data.joint(joint).qpos[0] = angle
        mujoco.mj_kinematics(model, data)
        upper = turned(2, turn) @ turned(0, 0.1) @ turned(1, tilt)
        wrist = upper @ turned(0, roll)
        place = np.array([0, 0, 0.1]) + turned(2, turn) @ [0.02, 0.12, 0.2] + upper @ [0, 0, 0.5]
        assert data.site("tool").xpos == pytest.approx(place + wrist @ [0.15, 0, 0], abs=1e-9)
        assert data.site("tool").xmat.reshape(3, 3) == pytest.approx(wrist @ turned(1, 1.0), abs=1e-9)
        assert data.body("finger").xpos == pytest.approx(place + wrist @ [0, 0.03, 0], abs=1e-9)
    for link in ("base", "shoulder", "upper", "wrist", "finger"):
        assert model.body(link).mass == pytest.approx(2.5)
        assert sorted(model.body(link).inertia) == pytest.approx([0.01, 0.02, 0.03])
        assert model.body(link).ipos == pytest.approx([0, 0, 0.1])


def test_every_shape_is_enclosed_wherever_its_link_has_it(arm):
    model = mujoco.MjModel.from_xml_path(str(arm / "model.xml"))
    turns = np.linspace(0.0, 2.0 * np.pi, 500)
    ring = np.column_stack([0.05 * np.cos(turns), 0.05 * np.sin(turns), np.zeros(500)])
    ball = np.random.default_rng(0).normal(size=(2_000, 3))
    signs = np.sign(CORNERS)
    points = {
        "base": signs * [0.1, 0.1, 0.05],
        "shoulder": np.concatenate([ring, ring + np.array([0, 0, 0.2])]),
        "upper": 1e-3 * CORNERS @ turned(2, 0.3).T + [0, 0.01, 0.2],
        "wrist": 0.04 * ball / np.linalg.norm(ball, axis=1)[:, None],
        "finger": signs * [0.03, 0.005, 0.01] + [0.05, 0, 0],
    }
    for link, found in points.items():
        assert -0.01 < outside(model, link, found) < 0.0


def test_a_margin_makes_every_capsule_thicker(arm, urdf):
    assert write(urdf, *GOOD, "--margin", "0.004") == 0
    thin, thick = (
        mujoco.MjModel.from_xml_path(str(path / "model.xml")) for path in (arm, urdf.parent / "arm")
    )
    assert thick.geom_size[:, 0] == pytest.approx(thin.geom_size[:, 0] + 0.004)


def test_only_the_base_and_what_turns_on_it_are_left_out_for_always_touching(urdf, capsys):
    """There MuJoCo filters nothing. A wrist inside its neighbour's neighbour stays, and is told."""
    near = '<origin xyz="0 0 0.5"/>\n    <axis xyz="1 0 0"/>'
    assert near in URDF
    urdf.write_text(URDF.replace(near, '<origin xyz="-0.02 -0.12 0"/>\n    <axis xyz="1 0 0"/>'))
    assert write(urdf, *GOOD) == 1
    said = capsys.readouterr().out
    assert "kept: shoulder and wrist, which touch in every sampled posture" in said
    assert "at rest shoulder touches wrist" in said
    model = mujoco.MjModel.from_xml_path(str(urdf.parent / "arm/model.xml"))
    pairs = [(pair >> 16, pair & 0xFFFF) for pair in model.exclude_signature.tolist()]
    names = {tuple(sorted(model.body(body).name for body in pair)) for pair in pairs}
    assert names <= {("base", "shoulder")}


def test_a_folder_that_is_there_is_kept_without_overwrite(arm, urdf, capsys):
    shutil.copytree(arm, urdf.parent / "arm")
    assert write(urdf, *GOOD, "--name", "other") == 1
    assert "take another folder, or --overwrite" in capsys.readouterr().err
    assert load_robot(str(urdf.parent / "arm")).name == "made_up"
    assert write(urdf, *GOOD, "--name", "other", "--overwrite") == 0
    assert load_robot(str(urdf.parent / "arm")).name == "other"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<robot ", '<robot xmlns:xacro="http://x/xacro"><xacro:arg name="a"/></robot><!-- ', "is not XML"),
        ('<link name="world"/>', '<xacro:macro xmlns:xacro="http://x/xacro"/>', "is a xacro; make the URDF"),
        ("robot", "sdf", "begins with <sdf>; a URDF begins with <robot>"),
        ("upper.stl", "lower.stl", "'package://made_up_description/meshes/lower.stl' was not found"),
        ('<limit lower="-1" upper="1" velocity="1" effort="10"/>', "", "'tilt' has no position limits"),
        ('velocity="1" ', "", "'tilt' has no velocity limit in the URDF; give it with --velocity"),
        ('lower="-1"', 'lower="low"', "limit lower of the joint 'tilt' is 'low', not a number"),
        ('"tilt" type="revolute"', '"tilt" type="prismatic"', "'tilt' is prismatic; hold it, --fix tilt="),
        ('"tilt" type="revolute"', '"tilt" type="floating"', "'tilt' is floating; allowed are revolute"),
        ('"slide" type="prismatic"', '"swing" type="revolute"', "'swing' is on a branch that does not"),
        ('<parent link="upper"/>', '<parent link="nowhere"/>', "names the link 'nowhere', which is not"),
        ('<child link="tip"/>', '<child link="upper"/>', "'upper' hangs on two joints; a URDF is a tree"),
        ('<sphere radius="0.04"/>', '<mesh filename="../made_up_description/meshes/bad.stl"/>', "bad.stl"),
        ('<cylinder radius="0.05" length="0.2"/>', "", "MuJoCo cannot use it"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_urdf_is_told_in_one_sentence(old, new, words, urdf, capsys):
    assert old in URDF
    (urdf.parents[1] / "made_up_description/meshes/bad.stl").write_bytes(b"solid, but not for long")
    urdf.write_text(URDF.replace(old, new))
    fix = ("--fix", "slide=0.03") if 'name="slide"' in urdf.read_text() else ()
    assert write(urdf, "--tool-link", "tip", *fix) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (urdf.parent / "arm").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "ends in finger, tip; say with --tool-link"),
        (("--tool-link", "tip"), "'slide' is prismatic; hold it, --fix slide=VALUE"),
        (("--tool-link", "hand"), "has no link 'hand'; it has world, base"),
        (("--tool-link", "base"), "no joint moves the link 'base'"),
        (("--tool-link", "tip", "--fix", "slide"), "--fix takes JOINT=VALUE with a number, got 'slide'"),
        (("--tool-link", "tip", "--fix", "slides=0"), "has no joint 'slides' to be held"),
        ((*GOOD, "--base-frame", "wrist"), "'wrist' moves with the arm, so it cannot be its base frame"),
        ((*GOOD, "--rest", "0", "0"), "--rest has 2 values; the arm has 3 joints"),
        ((*GOOD, "--rest", "0", "2", "0"), "--rest has 2 for tilt; allowed are -1 to 1"),
        (
            (*GOOD, "--acceleration", "1", "2"),
            "--acceleration has 2 values; give one for all, or one for each",
        ),
        ((*GOOD, "--jerk", "-1"), "limits are finite and positive"),
        ((*GOOD, "--velocity", "3"), "--velocity has 3 for turn; its URDF allows up to 1.5 rad/s"),
        ((*GOOD, "--margin", "-1"), "allowed are 0 to 0.1 m"),
    ],
)
def test_options_that_do_not_fit_the_arm_are_refused(options, words, urdf, capsys):
    assert write(urdf, *options) in (1, 2)
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (urdf.parent / "arm").exists()


def test_an_arm_that_is_not_well_at_rest_is_written_and_told(urdf, capsys):
    box = ("--workspace-min", "1", "1", "1", "--workspace-max", "2", "2", "2")
    assert write(urdf, *GOOD, *box) == 1
    assert "at rest the tool is at" in capsys.readouterr().out
    assert load_robot(str(urdf.parent / "arm")).name == "made_up"


def test_meshes_are_found_in_a_named_folder_and_text_ones_are_read(arm, urdf, tmp_path):
    pytest.importorskip("trimesh")
    import trimesh

    package = tmp_path / "made_up_description"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    package.rename(elsewhere / package.name)
    assert write(urdf, *GOOD) == 1
    mesh = elsewhere / package.name / "meshes/upper.stl"
    mesh.write_text(trimesh.load(mesh).export(file_type="stl_ascii"))
    assert write(urdf, *GOOD, "--meshes", str(elsewhere)) == 0
    binary, text = (
        mujoco.MjModel.from_xml_path(str(path / "model.xml")) for path in (arm, urdf.parent / "arm")
    )
    assert text.geom_size == pytest.approx(binary.geom_size, abs=1e-4)
