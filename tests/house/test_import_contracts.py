"""The import contracts really fail when broken: each case breaks one in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("agent", "coordinator", "core", "firmware_configs", "proto", "tools")
BREAKS = {
    "Parts": ("core/wattcast_core/units.py", "import wattcast_configs.strict"),
    "The core is pure": ("coordinator/wattcast_coordinator/ports.py", "import time"),
    "Agent flows one way": (
        "agent/wattcast_agent/signature/__init__.py",
        "import wattcast_agent.safety",
    ),
    "Coordinator flows one way": (
        "coordinator/wattcast_coordinator/risk/__init__.py",
        "import wattcast_coordinator.plan",
    ),
    "Protobuf stays at the edges": (
        "tools/wattcast_tools/main.py",
        "import wattcast_proto.v1.agent_pb2",
    ),
    "The room is independent": ("tools/wattcast_tools/room/__init__.py", "import wattcast_core"),
}


def _lint(root):
    paths = os.pathsep.join(str(root / folder) for folder in FOLDERS)
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path):
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("contract", BREAKS)
def test_a_broken_contract_is_named(tree, contract):
    file, line = BREAKS[contract]
    with (tree / file).open("a") as source:
        source.write(f"\n{line}\n")
    done = _lint(tree)
    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), done.stdout
