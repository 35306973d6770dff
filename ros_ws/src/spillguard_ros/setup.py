"""Lets colcon build the package; pip users install the root project instead.

`ros2 run` and launch start `lib/spillguard_ros/<node>`: colcon generates it from the console scripts, a plain
`pip install` of this folder uses the stubs in `scripts/`.
"""

from glob import glob

from setuptools import find_packages, setup

NAME = "spillguard_ros"
NODES = {
    "operator_page": f"{NAME}.operator.page",
    "policy": f"{NAME}.policy",
    "position_streamer": f"{NAME}.position_streamer",
    "safety_monitor": f"{NAME}.monitor.safety_monitor",
}

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py") + glob("launch/*.xml") + glob("launch/*.yaml")),
        (f"share/{NAME}/launch/params", glob("launch/params/*.yaml")),
        (f"lib/{NAME}", glob("scripts/*")),
    ],
    install_requires=["setuptools", "numpy", "mcap"],
    zip_safe=False,
    maintainer="Spillguard developers",
    maintainer_email="maintainers@spillguard.dev",
    description="ROS 2 nodes of Spillguard: policy, safety monitor, position streamer, operator page.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{node} = {module}:main" for node, module in NODES.items()]},
)
