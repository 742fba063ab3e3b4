"""The judge, loaded from its pinned copy, and rooms that it makes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wattcast_coordinator.plan import Solution
from wattcast_coordinator.topology.instance import Instance, from_arrays

JUDGE = Path(__file__).parent.parent / "judge" / "plan_check.py"
Arrays = dict[str, Any]


@pytest.fixture(scope="session")
def judge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan_check", JUDGE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_room(judge: ModuleType) -> Callable[..., Arrays]:
    def make(**options: Any) -> Arrays:
        arrays = judge.make(**options)
        return {k: np.asarray(v) for k, v in arrays.items() if not k.startswith("_")}

    return make


@pytest.fixture(scope="session")
def verdict(judge: ModuleType) -> Callable[[Arrays, Solution], dict[str, Any]]:
    def check(arrays: Arrays, solution: Solution) -> dict[str, Any]:
        plan = {
            "moves": [{"workload": w, "to": s, "start_s": t} for w, s, t in solution.moves],
            "ats": [{"node": n, "source": s, "start_s": t} for n, s, t in solution.ats],
        }
        return judge.check(dict(arrays), plan)

    return check


@pytest.fixture(scope="session")
def as_instance() -> Callable[[Arrays], Instance]:
    return lambda arrays: from_arrays(arrays, "test room")
