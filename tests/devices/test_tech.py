"""The technician's command against a real Modbus TCP server."""

import asyncio
import json
import subprocess
import sys

import pytest

from wattcast_tools.main import main


def test_profiles_are_listed_with_their_certainty(capsys):
    assert main(["tech", "profiles", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["raritan_xerus_ts"]["certainty"] == "C"
    assert rows["raritan_xerus_ts"]["lab_only"]
    assert main(["tech", "profiles"]) == 0
    assert "prefer_source (lab only)" in capsys.readouterr().out


@pytest.mark.integration
async def test_read_prints_every_quantity(start, bench, capsys):
    box = await start(bench.Box({7: bench.sdm630(280)}))
    await box.put(7, 0x06, [0x7FC0, 0])
    words = ["tech", "read", "--profile", "eastron_sdm630", "--host", "127.0.0.1"]
    words += ["--port", str(box.port), "--unit", "7"]
    assert await asyncio.to_thread(main, [*words, "--json"]) == 0
    readings = {r["quantity"]: r for r in json.loads(capsys.readouterr().out)["readings"]}
    assert readings["inlet.1.power_w"] == {
        "quantity": "inlet.1.power_w",
        "value": 280.0,
        "unit": "W",
        "quality": "good",
    }
    assert readings["inlet.1.L1.current_a"]["value"] is None
    assert readings["inlet.1.L1.current_a"]["quality"] == "invalid"
    assert await asyncio.to_thread(main, words) == 0
    assert "power_w " in capsys.readouterr().out


@pytest.mark.integration
def test_nobody_there_is_exit_4_and_a_wrong_profile_exit_2(capsys):
    words = ["tech", "read", "--host", "127.0.0.1", "--port", "1", "--profile"]
    assert main([*words, "xy_md02"]) == 4
    assert "127.0.0.1:1: no connection" in capsys.readouterr().err
    assert main([*words, "xy_md2"]) == 2
    assert "did you mean 'xy_md02'" in capsys.readouterr().err


def test_the_module_imports_the_standard_library_only():
    code = "import sys, wattcast_tools.tech_cmd; print([m for m in sys.modules if 'pymodbus' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
