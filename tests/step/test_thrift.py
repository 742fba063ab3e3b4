"""Money in the decision cycle: prices of the meters reach planning, and a move may save money.

Safety comes first, no switch is ever transferred for money, and what is doubtful moves nothing.
"""

from dataclasses import dataclass, field, replace

import decision_room as room
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import AdoptPlan, CommandAts, RaiseEvent, StartMove
from wattcast_coordinator.risk.judgement import judge_room
from wattcast_coordinator.step import State
from wattcast_coordinator.study.judged import excess

CHEAP_C = {"A": (0.4,) * 24, "B": (0.4,) * 24, "C": (0.1,) * 24}
ROOMY = {"limit_w": 3000.0, "limit_n1_w": 5000.0}


@dataclass
class PricedRoom(room.Room):
    """A room whose feeds have meters."""

    hourly: dict = field(default_factory=dict)

    def inputs(self):
        now = {feed: costs[0] for feed, costs in self.hourly.items()}
        return replace(super().inputs(), price_per_kwh=now, hourly_per_kwh=self.hourly)


def priced(hourly=CHEAP_C, *, mode="automatic", watts=lambda *_: 60.0, limits=ROOMY, **decision):
    settings = {"money_moves": "automatic", "disruption_money": 0.01} | decision
    return PricedRoom(
        room.site(**limits, mode=mode), watts=watts, hourly=hourly, decision=Decision(**settings)
    )


def started(effects):
    return [e.move for e in effects if isinstance(e, StartMove)]


def kinds(effects):
    return [e.kind for e in effects if isinstance(e, RaiseEvent)]


def instance_prices(simulated):
    graph = simulated.graph
    problem = build(graph, simulated.inputs(), simulated.decision, Standing())
    return {feed: problem.instance.price_per_kwh[graph.node[feed]] for feed in graph.feeds}


def test_the_meters_prices_reach_the_planning_problem():
    assert instance_prices(priced()) == {"A": 0.4, "B": 0.4, "C": 0.1}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_price_that_is_missing_leaves_the_site_files_and_never_0(bad):
    assert instance_prices(priced({"A": (bad,) * 24, "C": (0.1,) * 24})) == {
        "A": 0.2, "B": 0.2, "C": 0.1,
    }  # fmt: skip


def test_a_negative_price_counts_as_0_where_load_is_placed():
    assert instance_prices(priced({"A": (-0.3,) * 24}))["A"] == 0


def test_a_workload_moves_to_cheaper_feeds_while_the_room_is_safe():
    simulated = priced()
    _, effects = simulated.run(6)
    moves = started(effects)
    assert moves
    cords = {s.id: {c[-1] for c in s.cords} for s in simulated.site.server}
    for move in moves:
        assert "C" in cords[move.target]
        assert "saved in the hours whose prices are known" in move.why


def test_one_move_an_hour_and_no_transfer():
    _, effects = priced().run(17)  # an hour and a half
    assert 1 <= len(started(effects)) <= 2
    assert not any(isinstance(e, CommandAts) for e in effects)


@pytest.mark.parametrize(
    "options",
    [
        {"money_moves": "off"},
        {"disruption_money": 10.0},  # nothing is worth that
        {"hourly": {}},
        {"hourly": dict.fromkeys("ABC", (0.3,) * 24)},  # nothing to gain
        {"hourly": {f: (-0.3 - k,) * 24 for k, f in enumerate("ABC")}},  # waste is no gain
        {"mode": "observe"},
    ],
    ids=lambda o: next(iter(o.items()))[0],
)
def test_nothing_moves_without_a_reason(options):
    _, effects = priced(**options).run(6)
    assert not started(effects)


def test_a_short_cheap_spell_does_not_pay_for_moving_there_and_back():
    spell = {"A": (0.4,) * 24, "B": (0.4,) * 24, "C": (0.1, *(0.4,) * 23)}
    assert not started(priced(spell).run(6)[1])


def test_advice_is_given_and_nothing_done_in_mode_advise():
    _, effects = priced(money_moves="advise").run(6)
    assert not started(effects)
    assert any(isinstance(e, AdoptPlan) for e in effects)
    assert "plan_advised" in kinds(effects)


def test_a_room_with_any_risk_is_planned_for_safety_not_for_money():
    heating = room.ramp(start=-9, rise_w=3.0, top_w=120.0)
    simulated = priced(watts=heating, limits={"limit_w": 1200.0, "limit_n1_w": 1800.0})
    _, effects = simulated.run(12)
    adopted = [e.plan for e in effects if isinstance(e, AdoptPlan)]
    assert adopted
    assert all(plan.cures for plan in adopted)


def test_a_server_without_a_forecast_or_a_lost_feed_stops_money_moves():
    simulated = priced()
    simulated.silent = {"r0s0"}
    assert not started(simulated.run(6)[1])
    simulated = priced()
    simulated.dark = {"B"}
    assert not started(simulated.run(6)[1])


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.floats(-0.5, 1.5), min_size=3, max_size=3),
    st.floats(900, 2500),
    st.floats(1400, 3000),
    st.integers(40, 110),
)
def test_no_price_ever_makes_a_room_less_safe(price, limit_w, limit_n1_w, watts):
    hourly = {feed: (p,) * 24 for feed, p in zip("ABC", price, strict=True)}
    limits = {"limit_w": limit_w, "limit_n1_w": limit_n1_w}
    simulated = priced(hourly, watts=lambda *_: watts, limits=limits, disruption_money=0.001)
    state = State()
    for _ in range(5):
        state, _ = simulated.cycle(state)
        problem = build(simulated.graph, simulated.inputs(), simulated.decision, Standing())
        judged = judge_room(simulated.graph, problem.evidence, frozenset())
        if simulated.now_step == 1:
            before = {(o.node, o.contingency): excess(o) for o in judged.over()}
        for over in judged.over():
            assert excess(over) <= before.get((over.node, over.contingency), -1) + 1e-6
