"""Skips tests whose prerequisite is missing, naming it; in CI such a skip is a failure."""

import importlib.util
import os
import shutil

import pytest

APT = {"haproxy": "haproxy", "mbpoll": "mbpoll", "/lib/nut/dummy-ups": "nut-server"}


def _missing(item: pytest.Item) -> str:
    if item.get_closest_marker("train") and importlib.util.find_spec("tensorflow") is None:
        return "the extra train: pip install 'wattcast[train]'"
    marker = item.get_closest_marker("apt")
    if marker and not shutil.which(marker.args[0]):
        return f"{marker.args[0]}: apt-get install {APT.get(marker.args[0], marker.args[0])}"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = _missing(item)
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must have {missing}")
    if missing:
        pytest.skip(f"missing prerequisite: {missing}")
