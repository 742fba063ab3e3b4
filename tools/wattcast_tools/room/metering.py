"""What the room's meters show: gain error, quantised, sometimes stuck or silent. Pure."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from wattcast_tools.room.layout import VOLTAGE_V, Layout
from wattcast_tools.room.model import World
from wattcast_tools.room.routing import FloatArray

SLOT_S = 75.0  # data seconds one disturbance lasts: a real second at the demo's speed
POWER_STEP_W = 0.1
_STUCK, _NAN, _SILENT = 0.01, 0.0025, 0.0025  # share of slots
_GAIN = 0.004


class Health(IntEnum):
    """How a meter does in the present slot."""

    GOOD = 0
    STUCK = 1
    NAN = 2
    SILENT = 3


@dataclass(frozen=True)
class MeterIndex:
    """Where each meter stands in the arrays.

    Attributes:
        cords: (server, side) -> meter; side 0 or 1 for dual-corded servers, 0 behind an ATS.
        inlets: rack PDU -> meter.
        sources: (ATS, inlet 0 or 1) -> meter.
    """

    cords: dict[tuple[str, int], int]
    inlets: dict[str, int]
    sources: dict[tuple[str, int], int]

    @classmethod
    def of(cls, layout: Layout) -> "MeterIndex":
        """Number a layout's meters: cords first, then inlets, then ATS sources."""
        cords = [
            (s.id, side) for s in layout.servers for side in range(1 if s.share_a is None else 2)
        ]
        sources = [(s.id, inlet) for s in layout.switches for inlet in (0, 1)]
        first = len(cords)
        inlets = {p.id: first + i for i, p in enumerate(layout.pdus)}
        first += len(inlets)
        return cls(
            {key: i for i, key in enumerate(cords)},
            inlets,
            {key: first + i for i, key in enumerate(sources)},
        )

    @property
    def count(self) -> int:
        """Number of meters."""
        return len(self.cords) + len(self.inlets) + len(self.sources)


class Metering:
    """All meters of the room.

    Attributes:
        power_w: [meter] last shown power; a stuck meter repeats itself.
        voltage_v: [meter]; 0 where the supply is dead.
        energy_wh: [meter] since the history began (true, as energy registers integrate inside).
        health: [meter] a value of ``Health``.
    """

    def __init__(self, world: World) -> None:
        self.index = MeterIndex.of(world.layout)
        # Its own stream: metering more or less often never changes what happens.
        self._rng = np.random.default_rng([world.scenario.noise_seed, 1])
        self._world = world
        count = self.index.count
        self._gain = 1.0 + _GAIN * self._rng.uniform(-1.0, 1.0, count)
        self._phase = self._rng.uniform(0.0, 6.28, len(world.layout.feeds))
        self._slot = 0
        self._last_s = world.now_s
        self.health = np.zeros(count, dtype=np.int64)
        self.power_w = np.zeros(count)
        self.voltage_v = np.zeros(count)
        self.energy_wh = np.zeros(count)
        self._wire()
        self.sample()

    def _wire(self) -> None:
        """Which rack PDU each meter hangs on."""
        world, index = self._world, self.index
        server_at = world.server_index
        self._cord_server = np.array([server_at[s] for s, _ in index.cords])
        self._cord_side = np.array([side for _, side in index.cords])
        self._switch = np.array([world.switch_index[s] for s, _ in index.sources])
        self._inlet = np.array([inlet for _, inlet in index.sources])
        sides = {world.switch_index[s.id]: s.pdus for s in world.layout.switches}
        pdu_at = {p.id: i for i, p in enumerate(world.layout.pdus)}
        self._source_pdu = np.array(
            [pdu_at[sides[int(s)][int(i)]] for s, i in zip(self._switch, self._inlet, strict=True)]
        )

    def sample(self) -> None:
        """Read every meter once at the world's present time."""
        world = self._world
        true_w, on = self._true()
        self.energy_wh += true_w * (world.now_s - self._last_s) / 3600.0
        self._last_s = world.now_s
        if int(world.now_s // SLOT_S) != self._slot:
            self._slot = int(world.now_s // SLOT_S)
            self._disturb()
        shown = np.round(true_w * self._gain / POWER_STEP_W) * POWER_STEP_W
        self.power_w = np.where(self.health == Health.STUCK, self.power_w, shown)
        turn = self._phase + world.now_s / 900.0
        feed_v = VOLTAGE_V + 1.5 * np.sin(turn) + 0.4 * np.sin(7.3 * turn)
        self.voltage_v = np.where(on >= 0, np.round(feed_v[on], 1), 0.0)

    def readings_w(self) -> FloatArray:
        """[meter] power as a master gets it: NaN where the meter gives none."""
        return np.where(self.health >= Health.NAN, np.nan, self.power_w)

    def _disturb(self) -> None:
        draw = self._rng.random(len(self.health))
        edges = np.cumsum([_STUCK, _NAN, _SILENT])
        kinds = np.array([Health.STUCK, Health.NAN, Health.SILENT, Health.GOOD])
        self.health = kinds[np.searchsorted(edges, draw, side="right")]

    def _true(self) -> tuple[FloatArray, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
        """[meter] true power, and the feed it has voltage from (-1: none)."""
        world, router = self._world, self._world.router
        live = world.pdu_live()
        switch_of = router.switch_of[self._cord_server]
        inlet = np.asarray(world.active)[switch_of]
        side = np.where(switch_of >= 0, inlet, self._cord_side)
        cord_pdu = router.sides[self._cord_server, side]
        share = world.routes.share[0][self._cord_server, cord_pdu]
        cord_w = world.loads.server_w[self._cord_server] * share
        behind = np.bincount(
            router.switch_of[router.switch_of >= 0],
            world.loads.server_w[router.switch_of >= 0],
            len(world.layout.switches),
        )
        source_w = behind[self._switch] * (np.asarray(world.active)[self._switch] == self._inlet)
        pdus = np.concatenate([cord_pdu, np.arange(len(live)), self._source_pdu])
        on = np.where(live[pdus], router.feed_of[pdus], -1)
        return np.concatenate([cord_w, world.loads.pdu_w, source_w]), on
