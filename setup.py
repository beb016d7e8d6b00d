"""The packaging shim: Beam's --setup_file and image builds look for it; the metadata is in pyproject.toml."""

from setuptools import setup

setup()
