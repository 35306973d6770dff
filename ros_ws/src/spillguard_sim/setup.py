"""Lets colcon build the package; pip users install the root project instead.

The simulated cell itself is in the root project's `sim`, which must be installed as well.
"""

from glob import glob

from setuptools import setup

NAME = "spillguard_sim"
NODES = ("any_arm", "sim_arm")

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"lib/{NAME}", glob("scripts/*")),
    ],
    install_requires=["setuptools", "numpy", "mujoco"],
    zip_safe=False,
    maintainer="Spillguard developers",
    maintainer_email="maintainers@spillguard.dev",
    description="Simulated arm of Spillguard behind the topics of its driver, and the demo.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{node} = {NAME}.{node}:main" for node in NODES]},
)
