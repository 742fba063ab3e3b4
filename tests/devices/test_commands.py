"""Commands that need a register set before and restored after: the ABB OTM's."""

from dataclasses import replace

import pytest

from wattcast_agent.devices.poller import Poller
from wattcast_configs.profile import Point
from wattcast_core.errors import Refused, Unreachable
from wattcast_core.units import from_epoch_s

pytestmark = pytest.mark.integration
NOW = from_epoch_s(1_700_000_000)
MODE, CONTROL, POSITION, AVAILABLE = 33, 32, 40, 41
OTM = {25: [0], 32: [0, 0], 40: [1, 1]}


def with_a_position(profile):
    """As if a register with the position were known: only then can a transfer be verified."""
    sources = {1: "A", 2: "B"}
    position = Point(
        "ats.active_source",
        address=POSITION,
        type="u16",
        map={str(raw): word for raw, word in sources.items()},
    )
    available = Point(
        "ats.source.B.available", address=AVAILABLE, type="u16", map={"0": "no", "1": "yes"}
    )
    return replace(profile, point=(*profile.point, position, available))


@pytest.fixture
async def otm(start, bench, profiles):
    """Starts a switch and its poller; gives both."""
    made = []

    async def _otm(*, known=True):
        box = await start(bench.Box({1: OTM}))
        found = dict(profiles)
        if known:
            found["abb_otm"] = with_a_position(found["abb_otm"])
        device = bench.Device("ats", "abb_otm", "127.0.0.1", box.port, lab=True)
        rack = bench.rack_of(device)
        options = {"budget_real_s": 20.0, "patience_real_s": 20.0}
        made.append(Poller(rack, found, lambda: NOW, **options))
        await made[-1].poll()
        return box, made[-1]

    yield _otm
    for poller in made:
        await poller.close()


async def test_the_mode_is_set_before_and_restored_after(otm):
    box, poller = await otm()
    await poller.prefer("ats", "B")
    assert box.writes == [(MODE, 1), (CONTROL, 3), (MODE, 0)]
    assert await box.get(1, MODE) == 0


async def test_the_mode_is_restored_though_the_command_is_refused(otm, monkeypatch):
    box, poller = await otm()
    refuse_one_write(poller, monkeypatch, CONTROL)
    with pytest.raises(Refused, match="refused prefer_source B"):
        await poller.prefer("ats", "B")
    assert box.writes == [(MODE, 1), (MODE, 0)]
    assert await box.get(1, MODE) == 0


async def test_a_mode_that_could_not_be_restored_is_told(otm, monkeypatch):
    _, poller = await otm()
    refuse_one_write(poller, monkeypatch, MODE, value=0)
    with pytest.raises(Unreachable, match="register 33 could not be put back to 0; put it back by"):
        await poller.prefer("ats", "B")


def refuse_one_write(poller, monkeypatch, address, value=None):
    """The gateway sends that write to a register the device does not have."""
    gateway = poller._units["ats"]._gateway
    write = gateway.write

    async def astray(unit, order):
        wrong = order.address == address and value in (None, order.value)
        await write(unit, replace(order, address=0x9999) if wrong else order)

    monkeypatch.setattr(gateway, "write", astray)


async def test_without_a_position_nothing_is_written_for_that_reason(otm):
    box, poller = await otm(known=False)
    with pytest.raises(Refused, match=r"does not offer ats\.active_source"):
        await poller.prefer("ats", "B")
    assert not box.writes
    assert await box.get(1, MODE) == 0
