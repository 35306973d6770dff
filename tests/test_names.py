"""One class name means one thing in the whole repository."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmarks", "policy_training", "ros_ws/src", "sim", "spillguard", "studies")
BUILT = {"build", "install", "log"}  # copies that colcon makes


def test_no_two_modules_define_a_class_of_the_same_name() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if BUILT.isdisjoint(path.relative_to(ROOT).parts):
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.ClassDef):
                        places[node.name].add(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert {name: sorted(where) for name, where in places.items() if len(where) > 1} == {}
