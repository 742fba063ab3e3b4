"""Modbus devices nobody told the profile of: each family is told from all others by its registers.

The servers answer functions 3 and 4 alike, as many meters do, so that only the values tell.
"""

import struct

import pytest

from wattcast_agent.devices.login import Login
from wattcast_agent.devices.session import open_session
from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Device
from wattcast_core.errors import ForeignDevice, Unreachable
from wattcast_core.modbus.registers import encode_number

pytestmark = pytest.mark.integration
PROFILES = [p for p in load_profiles().values() if p.protocol == "modbus"]
TEXT = {"socomec_diris": {0xC350: [0x53, 0x4F, 0x43, 0x4F]}}  # S, O, C, O: a character a register
FIRST = {"raritan_xerus_pdu": {0: [1, 1, 1, 1, 0]}, "raritan_xerus_ts": {0: [1, 2, 0, 0, 1]}}


def registers_of(profile):
    """What its first vector says, and a plausible value where a check looks for a range."""
    words = {}
    for start, block in profile.vector[0].registers.items():
        words |= {int(start, 0) + i: word for i, word in enumerate(block)}
    for check in profile.probe:
        value = (max(check.minimum, 0) + check.maximum) / 2 if check.is_range else None
        if value is not None:
            value = value if check.type.startswith("f") else int(value)
            order = check.word_order or profile.transport.word_order
            block = encode_number(value, check.type, order)
            words = {check.address + i: w for i, w in enumerate(block)} | words
    for start, block in (TEXT.get(profile.name, {}) | FIRST.get(profile.name, {})).items():
        words |= {start + i: word for i, word in enumerate(block)}
    if profile.name == "socomec_atys_p_m":
        words[0x5001] = 0x10  # automatic
    return words


def blocks_of(words):
    """Consecutive registers together, as the simulator wants them."""
    blocks = {}
    for address in sorted(words):
        last = next(reversed(blocks), None)
        if last is not None and last + len(blocks[last]) == address:
            blocks[last].append(words[address])
        else:
            blocks[address] = [words[address]]
    return blocks


@pytest.fixture
def meet(start, bench):
    """Identifies a device with these registers: the name of its profile."""

    async def _meet(blocks):
        box = await start(bench.Box({1: blocks}))
        device = Device("it", "", url=f"modbus-tcp://127.0.0.1:{box.port}")
        session = await open_session(device, Login(), PROFILES, 9.0)
        await session.close()
        return session.profile.name

    return _meet


KNOWN_AT_REST = [p for p in PROFILES if p.name != "abb_otm"]  # that one shows zeros then


@pytest.mark.parametrize("profile", KNOWN_AT_REST, ids=lambda p: p.name)
async def test_a_family_is_told_from_all_others(meet, profile):
    assert await meet(blocks_of(registers_of(profile))) == profile.name


@pytest.mark.parametrize("profile", KNOWN_AT_REST, ids=lambda p: p.name)
async def test_a_family_is_told_where_all_other_registers_show_zero(meet, profile):
    zeros = dict.fromkeys([*range(0x6000), *range(0xC000, 0xD000)], 0)
    assert await meet(blocks_of(zeros | registers_of(profile))) == profile.name


async def test_a_device_of_zeros_is_none(meet):
    with pytest.raises(ForeignDevice, match="no device that a profile fits"):
        await meet({0: [0] * 120, 0x0BB0: [0] * 120, 0x5B00: [0] * 60})


async def test_a_device_that_ignores_what_it_does_not_know_is_still_found(start, bench):
    """Some do not answer a wrong register at all: each such question costs its time."""
    volts = struct.unpack(">2H", struct.pack(">f", 230.5))
    hertz = struct.unpack(">2H", struct.pack(">f", 50.0))
    known = {0: volts, 0x46: hertz}

    def reply(transaction, unit, pdu):
        function, address, count = struct.unpack(">BHH", pdu[:5])
        words = known.get(address, ())[:count] if function == 4 else ()
        data = struct.pack(f">{len(words)}H", *words)
        return bench.wrap(transaction, unit, bytes([function, len(data)]) + data) if words else b""

    box = await start(bench.RawBox(reply))
    device = Device("it", "", url=f"modbus-tcp://127.0.0.1:{box.port}")
    meters = [p for p in PROFILES if p.name in ("eastron_sdm630", "janitza_umg", "xy_md02")]
    session = await open_session(device, Login(), meters, 0.9)
    assert session.profile.name == "eastron_sdm630"
    await session.close()


async def test_nobody_there_is_found_out_soon(start, bench):
    box = await start(bench.RawBox(lambda *_: b""))
    device = Device("it", "", url=f"modbus-tcp://127.0.0.1:{box.port}")
    with pytest.raises(Unreachable, match="no valid answer"):
        await open_session(device, Login(), PROFILES, 0.6)
    assert box.connections == 2
