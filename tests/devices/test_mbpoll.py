"""A second opinion on registers: libmodbus (mbpoll) reads the same device and must see the same."""

import asyncio
import importlib.util
import re
from pathlib import Path

import pytest

from wattcast_agent.devices.login import Login
from wattcast_agent.devices.session import open_session
from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Device
from wattcast_core.points import words_of
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s

pytestmark = [pytest.mark.integration, pytest.mark.apt("mbpoll")]
NOW = from_epoch_s(1_700_000_000)
KINDS = {"f32": ":float", "i32": ":int", "u32": ":int", "u16": "", "i16": ""}  # what mbpoll knows
_spec = importlib.util.spec_from_file_location(
    "identify", Path(__file__).with_name("test_identify_modbus.py")
)
identify = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(identify)


async def mbpoll(port, profile, point):
    """Raw value of a point as libmodbus reads it."""
    words = ["mbpoll", "-0", "-1", "-q", "-m", "tcp", "-p", str(port), "-a", "1", "-c", "1"]
    words += ["-t", f"{7 - profile.function_of(point)}{KINDS[point.type]}"]  # 3 reads 4x, 4 3x
    words += ["-B"] if (point.word_order or profile.transport.word_order) == "big" else []
    process = await asyncio.create_subprocess_exec(
        *words, "-r", str(point.address), "127.0.0.1", stdout=asyncio.subprocess.PIPE
    )
    printed = (await process.communicate())[0].decode()
    shown = re.search(rf"^\[{point.address}\]:\s+(\S+)(?: \((-\d+)\))?", printed, re.MULTILINE)
    assert shown, printed
    number = float(shown[2] or shown[1]) if point.type.startswith("i") else float(shown[1])
    return number + 2**32 if point.type == "u32" and number < 0 else number


@pytest.mark.parametrize(
    "profile", list(load_profiles(protocol="modbus").values()), ids=lambda p: p.name
)
async def test_libmodbus_sees_the_same_values(start, bench, profile):
    blocks = identify.blocks_of(identify.registers_of(profile))
    box = await start(bench.Box({1: blocks}))
    device = Device("it", "", url=f"modbus-tcp://127.0.0.1:{box.port}")
    session = await open_session(device, Login(), [profile], 9.0)
    samples, _ = await session.read(NOW)
    points = {p.quantity: p for p in session.unit.profile.point}
    await session.close()
    seen = {}
    for sample in samples:
        point = points[sample.quantity]
        if sample.quality is Quality.GOOD and point.type in KINDS:
            raw = await mbpoll(box.port, profile, point)
            seen[sample.quantity] = (
                words_of(sample.quantity).index(point.map[f"{raw:.0f}"])
                if point.map
                else raw * point.scale + point.offset
            )
    assert seen
    ours = {s.quantity: s.value for s in samples if s.quantity in seen}
    assert seen == pytest.approx(ours, rel=1e-5)
