"""Whatever happens, no write breaks an interlock: judged by an oracle of its own."""

from hypothesis import given, settings
from hypothesis import strategies as st
from switch import ALIVE, DEAD, IDLE, LIMITS, START_S, Rack, moment, order, reading

from wattcast_agent.safety import machine, persist

SOURCES = st.sampled_from([ALIVE, IDLE, DEAD])
READ = st.tuples(
    st.just("read"),
    st.sampled_from(["A", "B", "", "A", "B"]),
    st.sampled_from(["A", "B"]),
    SOURCES,
    SOURCES,
    st.sampled_from(["", "", "", "no answer"]),
    st.sampled_from(["", "", "", "", "fault"]),
)
ORDER = st.tuples(
    st.just("order"),
    st.integers(1, 12),  # ids come again
    st.integers(0, 4),  # and tokens fall
    st.sampled_from(["A", "B"]),
    st.sampled_from([-1.0, 3.0, 30.0, 300.0]),
)
RESTART = st.tuples(st.just("restart"))
WROTE = st.tuples(st.just("wrote"), st.booleans())
EVENT = st.one_of(READ, READ, READ, ORDER, ORDER, RESTART, WROTE)
PAUSE = st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 40.0, 400.0])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(PAUSE, EVENT), max_size=60))
def test_no_sequence_of_events_leads_to_an_unsafe_write(events):
    rack, second = Rack(), 0.0
    highest, written, times, readings = 0, set(), [], []
    for pause, (kind, *what) in events:
        second += pause
        count = len(rack.writes)
        if kind == "read":
            active, preferred, a, b, doubt, fault = what
            one = reading(
                second, active, preferred, sources={"A": a, "B": b}, doubt=doubt, fault=fault
            )
            if not readings or one.at > readings[-1].at:
                readings.append(one)
            rack.read(one)
            rack.tick(second)
        elif kind == "order":
            number, token, to, lasts = what
            highest = max(highest, token)
            rack.order(order(number, token, to=to, expires=second + lasts), second)
        elif kind == "wrote" and rack.writes:
            told = machine.wrote(
                rack.safety, rack.writes[-1], moment(second), "no answer", sent=what[0]
            )
            rack._took(told)
        elif kind == "restart":
            kept = persist.load(persist.dump(rack.safety.kept))
            rack._took(machine.resume(kept, moment(second)))
            readings = []
        for command in rack.writes[count:]:
            newest = readings[-1]
            assert command.token == highest
            assert START_S + second < command.expires_real_s
            assert command.id not in written
            assert not newest.doubt
            assert not newest.fault
            assert newest.active == command.from_source
            assert newest.sources[command.to_source].voltage_v >= LIMITS.voltage_min_v
            assert START_S + second - newest.at.timestamp() < 2.0
            assert sum(not (r.doubt or r.fault) for r in readings[-3:]) >= 2
            assert all(second - t >= LIMITS.dwell_s for t in times)
            assert sum(second - t < 3600 for t in times) < LIMITS.max_per_hour
            written.add(command.id)
            times.append(second)
