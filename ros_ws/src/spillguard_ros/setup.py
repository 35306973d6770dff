"""Lets colcon build the package; pip users install the root project instead.

`lib/spillguard_ros/<node>` is what `ros2 run` and launch start: colcon makes it from the console scripts, a
plain `pip install` of this folder takes the stubs in `scripts/`.
"""

from glob import glob

from setuptools import setup

NAME = "spillguard_ros"
NODES = ("operator_page", "policy", "safety_monitor", "sim_arm")

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py") + glob("launch/*.xml")),
        (f"share/{NAME}/launch/params", glob("launch/params/*.yaml")),
        (f"lib/{NAME}", glob("scripts/*")),
    ],
    install_requires=["setuptools", "numpy", "mcap"],
    zip_safe=False,
    maintainer="Spillguard developers",
    maintainer_email="maintainers@spillguard.dev",
    description="ROS 2 nodes of Spillguard: policy, safety monitor, simulated arm, operator page.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{node} = {NAME}.{node}:main" for node in NODES]},
)
