"""Lets colcon build the package; pip users install the root project instead."""

from setuptools import find_packages, setup

NAME = "spillguard_core"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(),
    package_data={NAME: ["py.typed", "launch/*.xml", "launch/*.yaml", "launch/params/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "onnxruntime", "mujoco", "pyyaml"],
    zip_safe=False,
    maintainer="Spillguard developers",
    maintainer_email="maintainers@spillguard.dev",
    description="Robot side of Spillguard without ROS: observation, kinematics, bundle and safety gate.",
    license="Apache-2.0",
)
