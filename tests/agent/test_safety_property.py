"""Whatever happens, no write breaks an interlock: judged by an oracle of its own.

Two switches of one rack hang on the same two feeds. The world below them is physical: sources fail
and return, switches obey, refuse, move by themselves or are set by hand, meters go silent, clocks
and tokens are wrong, the agent is killed and starts from what it kept.
"""

from dataclasses import replace

from hypothesis import currently_in_test_context, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from switch import IDENTITY, LIMITS, START_S, commissioned, moment, order

from wattcast_agent.safety import machine, persist
from wattcast_agent.safety.reading import Reading, Source
from wattcast_agent.safety.state import Answer, Kept, Safety, Write
from wattcast_core.commands import Outcome
from wattcast_core.units import from_epoch_s

NAMES = ("ats", "ats2")
SIDES = st.sampled_from("AB")
SWITCHES = st.sampled_from(NAMES)
EXPIRY_S = st.sampled_from([-1.0, 3.0, 30.0, 300.0, 300.0])
BARRING = (Outcome.UNKNOWN, Outcome.MOVED_THEN_RETURNED, Outcome.PREFERENCE_SET_NOT_MOVED)
FAULTS = (
    *("dumb", "deaf", "crossed", "local", "firmware", "flips", "by hand", "battery", "unfit"),
    *("feed dies", "out of phase", "clock"),
)
LIMITS_OF = {name: replace(LIMITS, id=name, max_per_hour=3) for name in NAMES}


def note(text):
    if currently_in_test_context():
        event(text)


class Switch:
    """What stands in the rack."""

    def __init__(self):
        self.active = self.preferred = "A"
        self.load_a, self.identity, self.local = 6.0, IDENTITY, ""
        self.obeys, self.readable, self.crossed = True, True, False
        self.available = {"A": True, "B": True}
        self.ups = {"A": "", "B": ""}

    def settle(self, volts):
        """It follows its preference if it can, and leaves a dead source."""
        other = "B" if self.active == "A" else "A"
        if volts[self.active] < 100 <= volts[other]:
            self.active = other
        elif self.obeys and self.preferred != self.active and volts[self.preferred] > 200:
            self.active = self.preferred

    def goes_wrong(self, what, side):
        other = "B" if self.active == "A" else "A"
        changes = {
            "dumb": {"readable": False},
            "deaf": {"obeys": False},
            "crossed": {"crossed": True},
            "local": {"local": "remote control is off at the switch"},
            "firmware": {"identity": f"{IDENTITY}.1"},
            "flips": {"active": other},
            "by hand": {"preferred": side},
            "battery": {"ups": {**self.ups, side: "UPS ups is on battery"}},
            "unfit": {"available": {**self.available, side: False}},
        }
        for name, value in changes[what].items():
            setattr(self, name, value)


class World(RuleBasedStateMachine):
    """A rack under test, and what an honest observer notes beside it."""

    @initialize()
    def begin(self):
        self.second = 0.0
        self.volts = {"A": 230.0, "B": 230.0}
        self.phase_deg, self.clock = 3.0, ""
        self.switches = {name: Switch() for name in NAMES}
        kept = Kept()
        for name in NAMES:
            more = commissioned(LIMITS_OF[name]).commissions
            kept = replace(kept, commissions={**kept.commissions, **more})
        self.safety = Safety(kept)
        self.seen = {name: [] for name in NAMES}
        self.highest, self.number, self.sent = 0, 0, []
        self.written, self.barred, self.held = {}, set(), set()
        self.times = {name: [] for name in NAMES}
        self.results = {}

    @property
    def now(self):
        return replace(moment(self.second), clock=self.clock)

    # -- the world --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, 0.4, 20.0, 400.0]))
    def poll(self, seconds):
        self.second += seconds
        for name, switch in self.switches.items():
            switch.settle(self.volts)
            one = self.look(switch)
            self.seen[name].append(one)
            self.safety = machine.read(self.safety, name, one, LIMITS_OF[name])
            self.took(machine.advance(self.safety, name, self.now, LIMITS_OF[name]))

    @rule(count=st.integers(3, 70))
    def polls(self, count):
        for _ in range(count):
            self.poll(1.0)

    def look(self, switch):
        shown = switch.active if not switch.crossed else ("B" if switch.active == "A" else "A")
        sources = {
            side: Source(
                self.volts[side],
                50.0 if self.volts[side] else 0.0,
                switch.load_a if side == shown else 0.0,
                switch.available[side],
                switch.ups[side],
            )
            for side in "AB"
        }
        return Reading(
            from_epoch_s(START_S + self.second),
            switch.active,
            switch.preferred,
            self.phase_deg,
            sources,
            doubt="" if switch.readable else "no answer",
            local=switch.local,
            identity=switch.identity,
        )

    @rule(side=SIDES, volts=st.sampled_from([0.0, 190.0, 230.0, 230.0, 230.0]))
    def source(self, side, volts):
        self.volts[side] = volts

    @rule(degrees=st.sampled_from([3.0, 3.0, 3.0, -90.0, float("nan")]))
    def phase(self, degrees):
        self.phase_deg = degrees

    @rule(name=SWITCHES, load_a=st.sampled_from([0.0, 6.0, 6.0, 15.0, 17.0]))
    def load(self, name, load_a):
        self.switches[name].load_a = load_a

    @rule(
        name=SWITCHES,
        what=st.sampled_from(FAULTS),
        side=SIDES,
    )
    def goes_wrong(self, name, what, side):
        if what == "feed dies":
            self.volts[side] = 0.0
        elif what == "out of phase":
            self.phase_deg = 120.0
        elif what == "clock":
            self.clock = "5 s behind the coordinator's"
        else:
            self.switches[name].goes_wrong(what, side)

    @rule(name=SWITCHES)
    def is_mended(self, name):
        old = self.switches[name]
        new = self.switches[name] = Switch()
        new.active, new.preferred, new.identity = old.active, old.preferred, old.identity

    # -- people and processes ---------------------------------------------------------------

    @rule(name=SWITCHES, side=SIDES, age=st.sampled_from([0, 0, 0, 0, -1, 1]), lasts=EXPIRY_S)
    def order(self, name, side, age, lasts):
        self.number += 1
        expires = self.second + lasts
        self.give(order(self.number, max(0, 3 + age), to=side, expires=expires, ats=name))

    @rule(name=SWITCHES)
    def fitting_order(self, name):
        """Away from where it stands: the others are mostly refused."""
        side = "A" if self.switches[name].active == "B" else "B"
        self.order(name, side, 0, 30.0)

    @rule(
        name=SWITCHES,
        lull=st.sampled_from([0, 400]),
        fault=st.sampled_from([None, *FAULTS]),
        side=SIDES,
        before=st.booleans(),
        watched=st.sampled_from([1, 8, 70]),
    )
    def episode(self, name, lull, fault, side, before, watched):
        """All is well at first: what goes wrong now meets a command under way, or about to be."""
        self.volts, self.phase_deg, self.clock = {"A": 230.0, "B": 230.0}, 3.0, ""
        for each in NAMES:
            self.is_mended(each)
        self.second += lull
        self.polls(3)
        if fault and before:
            self.goes_wrong(name, fault, side)
            self.poll(1.0)
        self.fitting_order(name)
        if fault and not before:
            self.goes_wrong(name, fault, side)
        self.polls(watched)

    @rule(data=st.data())
    def repeat(self, data):
        if self.sent:
            self.give(data.draw(st.sampled_from(self.sent)))

    def give(self, command):
        self.sent.append(command)
        self.highest = max(self.highest, command.token)
        self.took(machine.order(self.safety, command, self.now, LIMITS_OF[command.ats]))

    @rule(name=SWITCHES)
    def hold(self, name):
        self.held ^= {name}
        self.safety = replace(self.safety, holds=dict.fromkeys(self.held, "set at the rack"))

    @rule(name=SWITCHES)
    def release(self, name):
        self.barred.discard(name)
        self.safety = machine.release(self.safety, [name])

    @rule(text=st.sampled_from(["", "", "5 s behind the coordinator's"]))
    def clock_is(self, text):
        self.clock = text

    @rule(name=SWITCHES, sent=st.booleans())
    def write_fails(self, name, sent):
        running = self.safety.kept.running.get(name)
        if running is not None and running.command.id in self.written:
            answer = machine.wrote(self.safety, running.command, self.now, "no answer", sent=sent)
            self.took(answer)

    @rule()
    def restart(self):
        kept = persist.load(persist.dump(self.safety.kept))
        holds = self.safety.holds
        self.took(machine.resume(kept, self.now))
        self.safety = replace(self.safety, holds=holds)
        self.seen = {name: [] for name in NAMES}

    # -- the oracle -------------------------------------------------------------------------

    def took(self, outcome):
        """A write is judged at the moment it is asked for, then carried out."""
        self.safety, acts = outcome
        for act in acts:
            if isinstance(act, Write):
                self.judge(act.command)
                self.switches[act.command.ats].preferred = act.command.to_source
            elif isinstance(act, Answer):
                self.answered(act.result)

    def judge(self, command):
        name, readings = command.ats, self.seen[command.ats]
        newest = readings[-1]
        assert command.token == self.highest > 0
        assert START_S + self.second < command.expires_real_s
        assert not self.clock
        assert command.id not in self.written
        assert name not in self.held
        assert name not in self.barred
        assert START_S + self.second - newest.at.timestamp() < 2.0
        assert self.is_safe(newest, command)
        assert sum(self.is_safe(r, command) for r in readings[-3:]) >= 2
        assert all(self.second - t >= LIMITS.dwell_s for t in self.times[name])
        assert sum(self.second - t < 3600 for t in self.times[name]) < 3
        others = [c for c in self.written.values() if c.id not in self.results and c.ats != name]
        assert all(c.to_source != command.to_source for c in others), "two to one feed"
        assert all(c.id in self.results for c in self.written.values() if c.ats == name)
        self.written[command.id] = command
        self.times[name].append(self.second)
        note("a write")

    def is_safe(self, reading, command):
        target, left = (reading.sources[s] for s in (command.to_source, command.from_source))
        output_a = target.current_a + left.current_a
        return (
            not (reading.doubt or reading.local or reading.fault)
            and reading.identity == IDENTITY
            and reading.active == command.from_source
            and 207 <= target.voltage_v <= 253
            and 49.5 <= target.frequency_hz <= 50.5
            and bool(target.available)
            and not target.ups
            and abs(reading.phase_deg) <= 20
            and output_a <= 16
            and target.current_a <= max(0.3, 0.1 * output_a)
        )

    def answered(self, result):
        if result.id in self.results:
            assert result == self.results[result.id], "an id has one result"
            return
        self.results[result.id] = result
        if result.id not in self.written:
            assert result.outcome is Outcome.REFUSED
            return
        note(f"{result.outcome}")
        if result.outcome in BARRING:
            self.barred.add(result.ats)
        if result.outcome is Outcome.TRANSFERRED:
            newest, to_source = self.seen[result.ats][-1], self.written[result.id].to_source
            assert newest.active == to_source
            other = newest.sources["A" if to_source == "B" else "B"]
            assert other.current_a <= max(0.3, 0.1 * newest.output_a)

    @invariant()
    def what_is_kept_can_be_read_again(self):
        if hasattr(self, "safety"):
            assert persist.load(persist.dump(self.safety.kept)) == self.safety.kept


World.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestNoSequenceOfEventsLeadsToAnUnsafeWrite = World.TestCase


def test_the_events_do_lead_to_writes():
    world = World()
    world.begin()
    world.polls(3)
    world.fitting_order("ats")
    assert list(world.written) == ["c1"]
    world.polls(66)
    assert world.results["c1"].outcome is Outcome.TRANSFERRED
    world.fitting_order("ats2")
    world.polls(3)
    assert len(world.written) == 2
