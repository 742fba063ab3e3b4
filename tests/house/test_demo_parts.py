import os
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest

from wattcast_core.errors import WattcastError
from wattcast_tools.demo import toml_text
from wattcast_tools.demo.processes import Processes

SLEEP = "import time; time.sleep(60)"


def test_written_tables_are_read_back_the_same():
    table = {
        "name": 'a "quoted" name',
        "clock": {"segments": [[1.0, 2.0, 75.0]]},
        "feed": [{"id": "A", "limit_w": 4000.5, "lab": True}, {"id": "B", "limit_w": 1.0}],
    }
    assert tomllib.loads(toml_text.dumps(table)) == table


def test_no_child_outlives_the_demo(tmp_path):
    with Processes(tmp_path) as processes:
        processes.start("sleeper", [sys.executable, "-c", SLEEP])
        pid = processes.pid("sleeper")
        processes.check()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_dies_is_named_with_the_end_of_its_log(tmp_path):
    with Processes(tmp_path) as processes:
        processes.start("broken", [sys.executable, "-c", "raise SystemExit('port 7 is taken')"])
        with pytest.raises(WattcastError, match=r"broken ended with 1:\n  port 7 is taken"):
            processes.wait_file(tmp_path / "never", patience_s=5)


def test_children_end_when_the_demo_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from wattcast_tools.demo.processes import Processes\n"
        f"p = Processes(Path({str(tmp_path)!r})); p.start('c', [sys.executable, '-c', {SLEEP!r}])\n"
        "print(p.pid('c'), flush=True); time.sleep(60)"
    )
    with Processes(tmp_path) as processes:
        processes.start("demo", [sys.executable, "-c", code])
        deadline = time.monotonic() + 10
        while not processes.log("demo").read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        child = int(processes.log("demo").read_text())
        os.kill(processes.pid("demo"), signal.SIGKILL)
        while time.monotonic() < deadline and _alive(child):
            time.sleep(0.02)
        assert not _alive(child)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
