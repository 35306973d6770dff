"""Lets colcon build the package; pip users install the root project instead."""

from setuptools import find_packages, setup

NAME = "spillguard_description"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(),
    package_data={NAME: ["py.typed", "robots/*/*.yaml", "robots/*/*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="Spillguard developers",
    maintainer_email="maintainers@spillguard.dev",
    description="Arms as data: joint names, hard limits, rest posture, and a world model of their own shape.",
    license="Apache-2.0",
)
