"""The room of the benchmark: racks of servers, and what their agents say, step by step."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from wattcast_configs.site import Feed, Pdu, Server, Site
from wattcast_core.columns import IntArray, SampleColumns, SignatureColumns, milliseconds
from wattcast_core.messages import Batch
from wattcast_core.signature import FEATURES, Tags
from wattcast_core.units import FloatArray

STEP_S = 10.0
START = datetime(2026, 1, 5, tzinfo=UTC)
_FEEDS = "ABCDEFGH"
_CORDS = 2
VALUES = len(FEATURES) + 4 * _CORDS  # watts, volts, amperes and power factor of each cord
POWER = ("inlet.1.power_w",)
_PDU = (
    *POWER,
    "inlet.1.apparent_power_va",
    "inlet.1.energy_wh",
    "inlet.1.L1.current_a",
    "inlet.1.L2.current_a",
    "inlet.1.L3.current_a",
)


@dataclass(frozen=True, slots=True)
class Room:
    """Racks of servers on two rack PDUs each."""

    racks: int = 25
    servers: int = 40

    def rack(self, number: int) -> str:
        """Id of a rack."""
        return f"r{number:03}"

    def names(self, number: int) -> tuple[str, ...]:
        """Ids of a rack's servers."""
        return tuple(f"{self.rack(number)}-s{n:02}" for n in range(self.servers))

    def pdus(self, number: int) -> dict[str, str]:
        """Rack PDU -> its feed."""
        feeds = (_FEEDS[number % 8], _FEEDS[(number + 1) % 8])
        return {f"{self.rack(number)}-{feed}": feed for feed in feeds}

    def site(self) -> Site:
        """As a site file would say it."""
        racks = range(self.racks)
        pdus = [(r, pdu, feed) for r in racks for pdu, feed in self.pdus(r).items()]
        return Site(
            name="bench",
            feed=tuple(Feed(f, 1e6, 1e6) for f in _FEEDS),
            pdu=tuple(Pdu(pdu, self.rack(r), feed, 2e4, 2e4) for r, pdu, feed in pdus),
            server=tuple(
                Server(name, self.rack(r), tuple(self.pdus(r)), (0.5, 0.5), 100.0, 400.0)
                for r in racks
                for name in self.names(r)
            ),
        )


class Agent:
    """What the agent of one rack reads: arbitrary but repeatable numbers."""

    def __init__(self, room: Room, number: int) -> None:
        self.id = f"agent-{room.rack(number)}"
        self.names, self._pdus = room.names(number), tuple(room.pdus(number))
        self._rng = np.random.default_rng(number)
        n = len(self.names)
        self._tags = (
            Tags("bench", room.rack(number), "shop", "1.2", "debian 12", 3, "high"),
            Tags("bench", room.rack(number), "batch", "7", "debian 12", 1, "low"),
        )
        self._tag = np.arange(n, dtype=np.int64) % 2
        self._values = self._rng.uniform(0, 1e6, (len(FEATURES), n))

    def batch(self, step: int) -> Batch:
        """All of one step."""
        return Batch(0, samples=self.samples([step]), signatures=self.signatures([step]))

    def signatures(self, steps: list[int]) -> SignatureColumns:
        """The rack's servers at these steps."""
        n, m = len(self.names), len(steps)
        step = np.repeat(np.array(steps, np.int64), n)
        watts = power_w(np.tile(np.arange(n), m), step)
        cords_w = np.repeat(watts / _CORDS, _CORDS)
        return SignatureColumns(
            server=self.names * m,
            at_ms=milliseconds(START) + step * round(1000 * STEP_S),
            step_s=np.full(n * m, STEP_S),
            values=np.tile(self._values, m) + step,
            cords=np.full(n * m, _CORDS),
            cords_w=cords_w,
            cords_v=np.full(n * m * _CORDS, 230.1),
            cords_a=cords_w / 230.1,
            cords_pf=np.full(n * m * _CORDS, 0.98),
            tags=np.tile(self._tag, m),
            tag_sets=self._tags,
            quality=np.zeros(n * m, np.int64),
        )

    def samples(self, steps: list[int], names: tuple[str, ...] = _PDU) -> SampleColumns:
        """The rack PDUs' own meters at these steps."""
        each = [(pdu, name) for pdu in self._pdus for name in names] * len(steps)
        at_ms = [milliseconds(START + timedelta(seconds=STEP_S * step)) for step in steps]
        return SampleColumns(
            source=tuple(pdu for pdu, _ in each),
            quantity=tuple(name for _, name in each),
            value=self._rng.uniform(1, 9000, len(each)),
            at_ms=np.repeat(at_ms, len(each) // len(steps)),
            quality=np.zeros(len(each), np.int64),
        )


def power_w(server: IntArray | int, step: IntArray | int) -> FloatArray:
    """What a server draws at a step: whole watts, so that sums are exact."""
    return np.asarray(100.0 + 2 * ((np.asarray(server) * 7 + np.asarray(step)) % 100))
