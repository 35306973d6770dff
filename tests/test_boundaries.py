"""The architecture as tests: who imports whom, what runs without the training stack, one version, pins."""

import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""
TRAINING = {"torch", "gymnasium", "onnx", "onnxscript", "tensorboard", "stable_baselines3"}
IMPORT_ALL = """
import importlib, pkgutil
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def normal(requirement: str) -> str:
    """The package's name alone, as in constraints.txt."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_core_imports_without_the_training_stack_and_without_ros() -> None:
    blocked = TRAINING | {"rclpy"}
    done = run_python(BLOCK.format(blocked=blocked) + IMPORT_ALL.format(package="spillguard_core"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["spillguard_ros", "spillguard_sim"])
def test_nodes_import_without_the_training_stack(package: str) -> None:
    pytest.importorskip("rclpy")
    done = run_python(BLOCK.format(blocked=TRAINING) + IMPORT_ALL.format(package=package))
    assert done.returncode == 0, done.stderr


def test_demo_starts_without_the_training_stack() -> None:
    pytest.importorskip("rclpy")
    code = "sys.argv = ['spillguard', 'demo', '--help']\nfrom spillguard.cli import main\nsys.exit(main())"
    done = run_python(BLOCK.format(blocked=TRAINING) + code)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_importing_sim_is_light() -> None:
    done = run_python("import sys, sim; print(sorted({'gymnasium', 'torch'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin) for pin in pins)
    names = [normal(pin) for pin in pins]
    assert len(set(names)) == len(names)
    extras = PROJECT["optional-dependencies"].values()
    wanted = [*PROJECT["dependencies"], *(name for extra in extras for name in extra)]
    assert {normal(name) for name in wanted} - {"spillguard"} <= set(names)


def test_colcon_packages_carry_the_version_of_the_distribution() -> None:
    for package in ("spillguard_core", "spillguard_ros", "spillguard_sim"):
        folder = ROOT / "ros_ws/src" / package
        assert ElementTree.parse(folder / "package.xml").findtext("version") == PROJECT["version"]
        assert f'version="{PROJECT["version"]}"' in (folder / "setup.py").read_text()


def test_readme_names_the_commands_that_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)`?", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= targets
