"""The technician's command against a real Modbus TCP server."""

import asyncio
import json
import os
import pty
import shutil
import socket
import subprocess
import sys

import pytest

from wattcast_agent.devices import probe
from wattcast_agent.devices.modbus_unit import ModbusUnit
from wattcast_configs.profiles import BUILT_IN
from wattcast_core.errors import Unreachable
from wattcast_tools.main import main


def tech(*words):
    return asyncio.to_thread(main, ["tech", *words])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_profiles_are_listed_with_their_certainty(capsys):
    assert main(["tech", "profiles", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["raritan_xerus_ts"]["certainty"] == "C"
    assert rows["raritan_xerus_ts"]["lab_only"]
    assert "outlet.{n}.power_w" in rows["apc_rpdu2"]["quantities"]
    assert main(["tech", "profiles"]) == 0
    assert "prefer_source (lab only)" in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.parametrize("profile", [("--profile", "eastron_sdm630"), ()])
async def test_read_gives_every_point_once_with_unit_quality_and_time(
    start, bench, capsys, profile
):
    box = await start(bench.Box({7: bench.sdm630(280)}))
    await box.put(7, 0x06, [0x7FC0, 0])
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}?device_id=7", "--timeout", "30")
    assert await tech("read", *url, *profile, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"profile", "device", "points"}
    assert document["profile"] == "eastron_sdm630"
    power = document["points"]["inlet.1.power_w"]
    assert power.pop("time").endswith("+00:00")
    assert power == {"value": 280.0, "unit": "W", "quality": "good"}
    current = document["points"]["inlet.1.L1.current_a"]
    assert (current["value"], current["quality"]) == (None, "invalid")
    assert await tech("read", *url, *profile) == 0
    assert "inlet.1.power_w " in capsys.readouterr().out


@pytest.mark.integration
async def test_states_are_words_and_truths(start, bench, capsys):
    box = await start(bench.Box({1: bench.XERUS_TS}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--timeout", "30")
    assert await tech("probe", *url, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["profile"] == "raritan_xerus_ts"
    values = {name: point["value"] for name, point in document["points"].items()}
    assert values["ats.active_source"] == "A"
    assert document["commands"] == ["prefer_source"]
    assert await tech("probe", *url) == 0
    assert "commands: prefer_source A or B (lab only), if ats.active" in capsys.readouterr().out


@pytest.mark.integration
async def test_probe_tells_what_was_tried_and_why_it_does_not_fit(start, bench, capsys):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--timeout", "30")
    assert await tech("probe", *url) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["xy_md02", "fits"]
    assert any("eastron_sdm630" in x and "register 0x0046 shows nothing" in x for x in lines)
    assert any(line.startswith("env.1.temperature_c") for line in lines)
    strange = await start(bench.Box({1: {0x9000: [1, 2, 3]}}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{strange.port}", "--timeout", "30")
    assert await tech("probe", *url, "--json") == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["profile"], document["points"]) == (None, {})
    tried = {row["profile"]: row for row in document["candidates"]}
    assert not any(row["fits"] for row in tried.values())
    assert "0x0046" in tried["eastron_sdm630"]["why"]
    assert "no device that a profile fits" in printed.err


@pytest.mark.integration
async def test_watch_gives_a_document_a_line(start, bench, capsys):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--profile", "xy_md02")
    assert await tech("watch", *url, "--interval", "0.05", "--count", "3", "--json") == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(documents) == 3
    assert documents[2]["points"]["env.1.temperature_c"]["value"] == 24.6
    times = [d["points"]["env.1.temperature_c"]["time"] for d in documents]
    assert len(set(times)) == 3


@pytest.mark.integration
async def test_watch_without_a_terminal_prints_what_changed(start, bench, capsys, monkeypatch):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--profile", "xy_md02")
    read, reads = ModbusUnit.read, []

    async def warmer(unit):
        reads.append(unit)
        if len(reads) == 3:
            await box.put(1, 1, [250])
        return await read(unit)

    monkeypatch.setattr(ModbusUnit, "read", warmer)
    assert await tech("watch", *url, "--interval", "0.05", "--count", "3") == 0
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert told == [
        "env.1.temperature_c 24.6 degC good",
        "env.1.humidity_pct 51.2 % good",
        "no change",
        "env.1.temperature_c 25 degC good",
    ]


@pytest.mark.integration
@pytest.mark.slow
async def test_watch_in_a_terminal_is_a_live_table(start, bench):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = f"modbus-tcp://127.0.0.1:{box.port}"
    words = [sys.executable, "-m", "wattcast_tools.main", "tech", "watch", "--url", url]
    words += ["--profile", "xy_md02", "--interval", "0.1", "--count", "2"]
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *words, stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"}
    )
    os.close(terminal)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert "temperature_c\u00a0" in shown
    assert "\x1b[1m24.6" in shown  # good readings are bold
    assert "\x1b[1A" in shown  # the table is drawn over the one before


@pytest.mark.integration
@pytest.mark.parametrize(("count", "code"), [(3, 0), (2, 4)])
async def test_watch_goes_on_when_a_device_is_away(start, bench, capsys, monkeypatch, count, code):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--profile", "xy_md02")
    read, reads = ModbusUnit.read, []

    async def unplugged(unit):
        reads.append(unit)
        if len(reads) == 2:
            raise Unreachable("pulled out")
        return await read(unit)

    monkeypatch.setattr(ModbusUnit, "read", unplugged)
    assert await tech("watch", *url, "--interval", "0.05", "--count", str(count), "--json") == code
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == count - 1
    assert "pulled out" in printed.err


@pytest.mark.integration
async def test_a_device_of_a_rack_file_has_its_profile_beside_it(
    start, bench, capsys, tmp_path, monkeypatch
):
    box = await start(bench.Box({1: bench.XY_MD02}))
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(BUILT_IN / "xy_md02.toml", site / "our_sensor.toml")
    (site / "rack.toml").write_text(
        '[agent]\nid = "agent-r1"\nrack = "r1"\nstate_dir = "state"\n[[device]]\nid = "room"\n'
        f'profile = "our_sensor.toml"\nhost = "127.0.0.1"\nport = {box.port}\n'
        '[[server]]\nid = "s1"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert await tech("read", "--rack", "site/rack.toml", "--device", "room", "--json") == 0
    assert json.loads(capsys.readouterr().out)["profile"] == "our_sensor"


@pytest.mark.integration
async def test_a_device_of_another_family_is_refused_by_name(start, bench, capsys):
    box = await start(bench.Box({1: bench.XY_MD02}))
    url = ("--url", f"modbus-tcp://127.0.0.1:{box.port}", "--timeout", "30")
    assert await tech("read", *url, "--profile", "eastron_sdm630") == 3
    assert "register 0x0046 shows nothing, not 40..70" in capsys.readouterr().err
    box = await start(bench.Box({1: {0x9000: [1, 2, 3]}}))
    assert await tech("read", "--url", f"modbus-tcp://127.0.0.1:{box.port}") == 3
    assert "no device that a profile fits" in capsys.readouterr().err


@pytest.mark.integration
def test_nobody_there_is_exit_4_and_a_wrong_profile_exit_2(capsys):
    words = ["tech", "read", "--url", f"modbus-tcp://127.0.0.1:{free_port()}", "--profile"]
    assert main([*words, "xy_md02"]) == 4
    assert "refuses the connection: nothing listens there" in capsys.readouterr().err
    assert main([*words, "xy_md2"]) == 2
    assert "did you mean 'xy_md02'" in capsys.readouterr().err
    assert main([*words, "apc_ats"]) == 2
    assert "is reached by modbus, but apc_ats is for snmp" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--timeout", v) for v in ("0", "-3", "nan", "inf", "1e9", "soon")]
    + [("--interval", v) for v in ("0", "nan", "-1")]
    + [("--count", v) for v in ("-1", "1.5")],
)
def test_a_number_that_cannot_be_meant_is_exit_2(capsys, option, value):
    with pytest.raises(SystemExit) as end:
        main(["tech", "watch", "--url", "nut://127.0.0.1/x", f"{option}={value}"])
    assert end.value.code == 2
    assert f"{option}: {value}: give " in capsys.readouterr().err


def test_what_a_device_says_is_fit_for_a_terminal():
    assert probe.plain("PDU\x1b[31m\x1b]0;t\x07\r\nline 2\x00 µA") == "PDU [31m ]0;t line 2 µA"


@pytest.mark.integration
async def test_a_device_that_never_answers_is_exit_4_in_time(capsys):
    writers = []

    async def hear(reader, writer):
        writers.append(writer)
        await reader.read()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = asyncio.get_running_loop().time()
    url = ("--url", f"modbus-tcp://127.0.0.1:{port}", "--timeout", "1")
    assert await tech("read", *url) == 4
    assert asyncio.get_running_loop().time() - began < 5
    assert "no valid answer within" in capsys.readouterr().err
    for one in (server, *writers):
        one.close()
    await asyncio.sleep(0.01)  # lets the transports finish closing


def test_the_module_imports_the_standard_library_only():
    code = "import sys, wattcast_tools.tech_cmd; print([m for m in sys.modules if 'pymodbus' in m])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
