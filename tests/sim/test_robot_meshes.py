"""Every shape of a URDF arrives: all objects of a mesh file, mirrored meshes, shapes of a link `world`."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from sim.robots.meshes import link_triangles
from sim.robots.urdf import read_arm

FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
CUBE = 2.0 * np.indices((2, 2, 2)).reshape(3, -1).T - 1.0
FIRST, SECOND = 0.03 * CUBE + [0.01, 0.02, 0.1], [0.03, 0.03, 0.05] * CUBE + [0.0, 0.2, 0.3]  # [m]


def urdf(folder: Path, shape: str, root: str = "base") -> Path:
    """A root with a shape of its own, and one link that turns on it."""
    path = folder / "arm.urdf"
    path.write_text(f"""<robot name="arm">
      <link name="{root}"><collision><geometry><box size="0.2 0.2 0.1"/></geometry></collision></link>
      <link name="arm"><collision><geometry>{shape}</geometry></collision></link>
      <joint name="turn" type="revolute"><parent link="{root}"/><child link="arm"/>
      <origin xyz="0 0 0.1"/><axis xyz="0 0 1"/><limit lower="-1" upper="1" velocity="1"/></joint></robot>""")
    return path


def obj(*parts: np.ndarray, key: str = "o", negative: bool = False) -> str:
    """Boxes as quadrilaterals, each an object or group of its own."""
    text, count = "# made up\nvn 0 0 1\n", 0
    for number, corners in enumerate(parts):
        text += f"{key} part{number}\n" + "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
        for face in ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)):
            named = [corner - 9 if negative else corner + count for corner in face]
            text += "f " + " ".join(f"{corner}//1" for corner in named) + "\n"
        count += len(corners)
    return text


def stl(corners: np.ndarray) -> bytes:
    hull = ConvexHull(corners)
    table = np.zeros(len(hull.simplices), FACET)
    table["corners"] = corners[hull.simplices]
    return bytes(80) + len(table).to_bytes(4, "little") + table.tobytes()


def corners_of(path: Path, link: str = "arm") -> np.ndarray:
    arm = read_arm(path)
    found = link_triangles(arm.model, arm.body(link)).reshape(-1, 3)
    return np.unique(np.round(found, 6), axis=0)


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether both have the same corners, in any order."""
    return found == pytest.approx(np.unique(np.round(wanted, 6), axis=0), abs=2e-6)


@pytest.mark.parametrize("key", ["o", "g"])
@pytest.mark.parametrize("negative", [False, True])
def test_every_object_of_an_obj_file_is_read(key, negative, tmp_path):
    (tmp_path / "two.obj").write_text(obj(FIRST, SECOND, key=key, negative=negative))
    found = corners_of(urdf(tmp_path, '<mesh filename="two.obj"/>'))
    assert same(found, np.concatenate([FIRST, SECOND]))


@pytest.mark.parametrize("signs", [(1, 1, -1), (-1, -1, 1), (-1, -1, -1), (1, -2, 1)])
@pytest.mark.parametrize("ending", ["obj", "stl"])
def test_a_mirrored_mesh_is_where_its_scale_puts_it(signs, ending, tmp_path):
    if ending == "obj":
        (tmp_path / "one.obj").write_text(obj(FIRST))
    else:
        (tmp_path / "one.stl").write_bytes(stl(FIRST))
    scale = " ".join(map(str, signs))
    found = corners_of(urdf(tmp_path, f'<mesh filename="one.{ending}" scale="{scale}"/>'))
    assert same(found, FIRST * signs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0 0 0\n", "has no faces"),
        ("v 0 0 0\nf 1 2 3\n", "name a corner that is not there"),
        ("v 0 0 0\nf 1 1\n", "line 2 is no face"),
        ("v 0 zero 0\nf 1 1 1\n", "cannot be read"),
        ("v 0 0 0\nsurf 0 1 0 1 1 2 3 4\n", "line 2 begins a free-form surface"),
    ],
)
def test_what_is_no_surface_in_an_obj_file_is_told(text, words, tmp_path):
    (tmp_path / "bad.obj").write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_arm(urdf(tmp_path, '<mesh filename="bad.obj"/>'))
    assert "bad.obj" in str(error.value) and "\n" not in str(error.value)


def test_shapes_of_a_root_named_world_are_kept(tmp_path):
    found = corners_of(urdf(tmp_path, '<sphere radius="0.05"/>', root="world"), "world")
    assert same(found, [0.1, 0.1, 0.05] * CUBE)
