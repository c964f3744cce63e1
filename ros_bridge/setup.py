"""The package `simgym_ros`, for `colcon build` as for pip."""

from glob import glob

from setuptools import find_packages, setup

NAME = "simgym_ros"
NODES = ("goggles", "policy", "robot")

setup(
    name=NAME,
    version="0.1.0",
    description="ROS 2 nodes of simgym",
    license="Apache-2.0",
    maintainer="simgym maintainers",
    maintainer_email="maintainers@simgym.invalid",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    install_requires=["setuptools", "simgym"],
    zip_safe=True,
    entry_points={"console_scripts": [f"{node} = {NAME}.{node}:main" for node in NODES]},
)
