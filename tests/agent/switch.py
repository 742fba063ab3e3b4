"""A commissioned switch and readings of it, for the tests of the interlocks."""

from dataclasses import replace

from wattcast_agent.safety import machine
from wattcast_agent.safety.limits import Limits
from wattcast_agent.safety.reading import Reading, Source
from wattcast_agent.safety.state import Answer, Commission, Kept, Moment, Safety, Tell, Write
from wattcast_core.commands import AtsCommand
from wattcast_core.units import from_epoch_s

LIMITS = Limits(
    id="ats",
    rating_a=16.0,
    hold_up_ms=16.0,
    transfer_ms=12.0,
    dwell_s=300.0,
    max_per_hour=3,
    deadline_real_s=5.0,
    return_s=60.0,
    voltage_min_v=207.0,
    voltage_max_v=253.0,
    frequency_min_hz=49.5,
    frequency_max_hz=50.5,
    phase_max_deg=20.0,
    ups_a="none",
    ups_b="none",
    tested=("Maker Switch",),
    supplies=("feed-a", "feed-b"),
)
IDENTITY = "Maker Switch 1.0"
ALIVE, IDLE, DEAD = Source(230.0, 50.0, 6.0), Source(230.0, 50.0, 0.0), Source(0.0, 0.0, 0.0)
START_S = 1_000_000.0


def commissioned(limits=LIMITS, **change):
    proven = Commission(IDENTITY, limits.fingerprint, "A", "J. Doe", from_epoch_s(START_S - 1e5))
    return replace(Kept(commissions={limits.id: proven}), **change)


def order(number=1, token=5, *, to="B", expires=10.0, ats="ats", **change):
    source = "A" if to == "B" else "B"
    command = AtsCommand(f"c{number}", token, START_S + expires, ats, source, to)
    return replace(command, **change)


def moment(seconds):
    return Moment(from_epoch_s(START_S + seconds), START_S + seconds, 1.0)


def reading(seconds, active="A", preferred=None, **change):
    sources = {"A": IDLE, "B": IDLE} | ({active: ALIVE} if active else {})
    at = from_epoch_s(START_S + seconds)
    plain = Reading(at, active, preferred or active, 3.0, sources, identity=IDENTITY)
    return replace(plain, **change)


class Rack:
    """Feeds the state machine and collects what it asks for."""

    def __init__(self, kept=None, limits=LIMITS):
        self.safety = Safety(kept or commissioned(limits))
        self.limits = limits
        self.writes, self.results, self.told = [], [], []

    def read(self, *readings):
        for one in readings:
            self.safety = machine.read(self.safety, "ats", one, self.limits)

    def order(self, command, seconds):
        limits = self.limits if command.ats == "ats" else None
        self._took(machine.order(self.safety, command, moment(seconds), limits))

    def tick(self, seconds):
        self._took(machine.advance(self.safety, "ats", moment(seconds), self.limits))

    def see(self, seconds, *args, **change):
        self.read(reading(seconds, *args, **change))
        self.tick(seconds)

    def _took(self, outcome):
        self.safety, acts = outcome
        for act in acts:
            match act:
                case Write():
                    self.writes.append(act.command)
                case Answer():
                    self.results.append(act.result)
                case Tell():
                    self.told.append(act.text)
