"""Whatever happens, no write breaks an interlock: judged by an oracle of its own."""

from hypothesis import event, given, settings
from hypothesis import strategies as st
from switch import ALIVE, DEAD, IDLE, LIMITS, START_S, Rack, moment, order, reading

from wattcast_agent.safety import machine, persist

SIDE = st.sampled_from(["A", "B"])
SOURCE = st.sampled_from([ALIVE, IDLE, IDLE, DEAD])
READ = st.tuples(
    st.just("read"),
    st.sampled_from(["A", "B", "A", "B", ""]),
    SIDE,
    SOURCE,
    SOURCE,
    st.sampled_from(["", "", "", "", "no answer"]),
    st.sampled_from(["", "", "", "", "", "fault"]),
)
CALM = st.tuples(st.just("calm"), SIDE)
ORDER = st.tuples(
    st.just("order"),
    st.integers(1, 20),  # ids come again
    st.sampled_from([0, 2, 3, 3, 3, 4]),  # and tokens fall
    SIDE,
    st.sampled_from([-1.0, 3.0, 30.0, 300.0]),
)
EPISODE = st.tuples(st.just("episode"), st.integers(1, 20), st.integers(2, 4), SIDE)
WROTE = st.tuples(st.just("wrote"), st.booleans())
ODD = st.one_of(st.just(("restart",)), st.just(("release",)), WROTE)
EVENT = st.one_of(READ, CALM, ORDER, EPISODE, EPISODE, ODD)
PAUSE = st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.0, 40.0, 400.0])


class World:
    """A rack under test, and what an honest observer notes beside it."""

    def __init__(self):
        self.rack, self.second = Rack(), 0.0
        self.rack._took = self.took
        self.highest, self.written, self.times, self.readings = 0, set(), [], []

    def happen(self, kind, *what):
        getattr(self, kind)(*what)

    def took(self, outcome):
        """A write is judged at the moment it is asked for."""
        before = len(self.rack.writes)
        Rack._took(self.rack, outcome)
        for command in self.rack.writes[before:]:
            self.judge(command)

    def read(self, active, preferred, a, b, doubt="", fault=""):
        sources = {"A": a, "B": b}
        one = reading(self.second, active, preferred, sources=sources, doubt=doubt, fault=fault)
        if not self.readings or one.at > self.readings[-1].at:
            self.readings.append(one)
        self.rack.read(one)
        self.rack.tick(self.second)

    def calm(self, active):
        for _ in range(2):
            self.second += 1.0
            self.read(active, active, *((ALIVE, IDLE) if active == "A" else (IDLE, ALIVE)))

    def episode(self, number, token, to):
        """All that a transfer needs, if nothing before forbids it, and the switch follows."""
        self.release()
        self.calm("A" if to == "B" else "B")
        self.order(number, token, to, 30.0)
        self.calm(to)

    def release(self):
        self.rack.safety = machine.release(self.rack.safety, ["ats"])

    def order(self, number, token, to, lasts):
        self.highest = max(self.highest, token)
        command = order(number, token, to=to, expires=self.second + lasts)
        self.rack.order(command, self.second)

    def wrote(self, sent):
        if self.rack.writes:
            last, now = self.rack.writes[-1], moment(self.second)
            self.rack._took(machine.wrote(self.rack.safety, last, now, "no answer", sent=sent))

    def restart(self):
        kept = persist.load(persist.dump(self.rack.safety.kept))
        self.rack._took(machine.resume(kept, moment(self.second)))
        self.readings = []

    def judge(self, command):
        newest = self.readings[-1]
        assert command.token == self.highest
        assert START_S + self.second < command.expires_real_s
        assert command.id not in self.written
        assert not newest.doubt
        assert not newest.fault
        assert newest.active == command.from_source
        assert newest.sources[command.to_source].voltage_v >= LIMITS.voltage_min_v
        assert START_S + self.second - newest.at.timestamp() < 2.0
        assert sum(not (r.doubt or r.fault) for r in self.readings[-3:]) >= 2
        assert all(self.second - t >= LIMITS.dwell_s for t in self.times)
        assert sum(self.second - t < 3600 for t in self.times) < LIMITS.max_per_hour
        self.written.add(command.id)
        self.times.append(self.second)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PAUSE, EVENT), max_size=40))
def test_no_sequence_of_events_leads_to_an_unsafe_write(events):
    world = World()
    for pause, what in events:
        world.second += pause
        world.happen(*what)
    event(f"{len(world.times)} writes")


def test_the_events_do_lead_to_writes():
    world = World()
    for what in (("calm", "A"), ("order", 1, 3, "B", 30.0), ("calm", "B")):
        world.happen(*what)
    assert len(world.times) == 1
