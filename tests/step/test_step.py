import importlib.util
import json
import re
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import decision_room as room
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_configs.control import Decision
from wattcast_coordinator.aggregate.problem import build
from wattcast_coordinator.ports import (
    AdoptPlan,
    CommandAts,
    Move,
    MoveState,
    OfferShedList,
    Plan,
    RaiseEvent,
    StartMove,
    Transfer,
)
from wattcast_coordinator.risk.judgement import judge_room
from wattcast_coordinator.risk.violations import violations
from wattcast_coordinator.step import State, clear_lockout, step
from wattcast_coordinator.step.cycle import standing
from wattcast_coordinator.step.progress import intent
from wattcast_coordinator.step.state import Action
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.errors import DataError
from wattcast_core.samples import Quality

ACTS = (StartMove, CommandAts)
ROOMY = 1800.0  # emergency limit at which placement can cure the ramp


def ramp_room(**options):
    site = room.site(
        limit_n1_w=options.pop("limit_n1_w", ROOMY), mode=options.pop("mode", "automatic")
    )
    return room.Room(site, watts=room.ramp(rise_w=3.0, top_w=120.0), **options)


def kinds(effects):
    return [e.kind for e in effects if isinstance(e, RaiseEvent)]


def acts(effects):
    return [e for e in effects if isinstance(e, ACTS)]


def until_plan(simulated, state=None):
    """Run to the first plan."""
    state, effects = state or State(), []
    for _ in range(30):
        state, more = simulated.cycle(state)
        effects += more
        if any(isinstance(e, AdoptPlan) for e in more):
            return state, effects
    raise AssertionError(kinds(effects))


def risks(simulated, state):
    inputs = simulated.inputs()
    found = build(simulated.graph, inputs, simulated.decision,
                  standing(state, inputs, simulated.graph, simulated.decision))  # fmt: skip
    return violations(
        judge_room(simulated.graph, found.evidence, frozenset(state.lost)),
        found.evidence,
        inputs.now,
    )


@pytest.mark.slow
def test_story_a_ramp_is_forecast_planned_for_and_cured():
    simulated = ramp_room()
    state, effects = until_plan(simulated)
    plan = next(e.plan for e in effects if isinstance(e, AdoptPlan))
    assert "n1_forecast" in kinds(effects)
    assert plan.cures
    assert 0 < plan.makespan_s <= plan.lead_s
    for _ in range(30):
        state, more = simulated.cycle(state)
        effects += more
    assert "plan_done" in kinds(effects)
    assert {a.move.workload for a in acts(effects) if isinstance(a, StartMove)}
    assert not risks(simulated, state)
    assert len({a.intent for a in acts(effects)}) == len(acts(effects)), "no command twice"


def test_a_plan_explains_itself_and_each_move_by_name():
    _, effects = until_plan(ramp_room())
    plan = next(e.plan for e in effects if isinstance(e, AdoptPlan))
    text = "\n".join(plan.why)
    assert "because feed" in plan.why[0]
    assert re.search(r"so it can wait \d+ s at most", text)
    assert re.search(r"feed [ABC] after the loss of feed [ABC]: .* P\(over\)", text)
    whys = [action.why for action in (*plan.moves, *plan.transfers)]
    assert any(re.search(r"takes \d+ W off feed [ABC] ", why) for why in whys), whys
    for move in plan.moves:
        assert f"server {move.target} has" in move.why
        assert re.search(r"the next best, to move workload w\d{3}, takes", move.why)


def test_the_judge_accepts_what_is_planned():
    path = Path(__file__).parents[1] / "judge" / "plan_check.py"
    spec = importlib.util.spec_from_file_location("plan_check", path)
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    simulated = ramp_room()
    state = State()
    for _ in range(30):
        before, inputs = state, simulated.inputs()
        state, _ = simulated.cycle(state)
        if state.plan:
            break
    graph = simulated.graph
    problem = build(graph, inputs, simulated.decision,
                    standing(before, inputs, graph, simulated.decision))  # fmt: skip
    instance = replace(problem.instance, lead_s=3000.0)
    plan = {
        "moves": [{"workload": problem.workloads.index(m.workload), "to": graph.server[m.target],
                   "start_s": m.start_s} for m in state.plan.moves],
        "ats": [{"node": graph.node[t.ats], "source": "AB".index(t.to_source),
                 "start_s": t.start_s} for t in state.plan.transfers],
    }  # fmt: skip
    verdict = judge.check({n: getattr(instance, n) for n in instance.__slots__}, plan)
    assert verdict["ok"], verdict


def test_the_state_survives_json_at_any_moment():
    simulated, state = ramp_room(), State()
    for _ in range(20):
        state, _ = simulated.cycle(state)
        assert State.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_a_replay_repeats_neither_evidence_nor_commands():
    simulated = ramp_room()
    state, _ = until_plan(simulated)
    simulated.now_step -= 1
    inputs = simulated.inputs()
    after, effects = step(state, inputs, simulated.graph, simulated.decision)
    assert not acts(effects)
    assert after.seen == state.seen


def test_the_same_state_and_inputs_give_the_same_effects():
    first, second = (until_plan(ramp_room())[1] for _ in range(2))
    assert [asdict(e) for e in first] == [asdict(e) for e in second]


def test_one_cycle_never_acts_however_bad_it_looks():
    simulated = room.Room(room.site())
    state, _ = simulated.run(3)
    inputs = simulated.inputs()
    wild = {
        n: replace(f, quantiles_w=tuple(tuple(3 * q for q in row) for row in f.quantiles_w))
        for n, f in inputs.forecasts.items()
    }
    state, effects = step(
        state, replace(inputs, forecasts=wild), simulated.graph, simulated.decision
    )
    assert "overload_forecast" in kinds(effects)
    assert not acts(effects)
    assert state.plan is None
    simulated.now_step += 1
    assert not acts(simulated.run(4, state)[1])


@pytest.mark.parametrize("bad", [float("nan"), -1.0])
def test_a_missed_or_garbled_poll_of_a_rack_never_acts(bad):
    simulated = room.Room(room.site())
    state, _ = simulated.run(3)
    inputs = simulated.inputs()
    broken = {
        n: replace(f, quantiles_w=((bad,) * 4,) * 12) if n.startswith("r0") else f
        for n, f in inputs.forecasts.items()
    }
    state, effects = step(
        state, replace(inputs, forecasts=broken), simulated.graph, simulated.decision
    )
    assert kinds(effects) == ["stale"]
    assert not acts(effects)


def test_without_any_forecast_nothing_is_done_but_said():
    simulated = room.Room(room.site())
    inputs = replace(simulated.inputs(), forecasts={}, signatures={}, devices={})
    state = State()
    said = []
    for cycle in range(6):
        at = inputs.now + timedelta(seconds=300 * cycle)
        state, effects = step(state, replace(inputs, now=at), simulated.graph, simulated.decision)
        assert not acts(effects)
        said += kinds(effects)
    assert said.count("stale") == 3
    assert said.count("ats_unread") == 3


def test_a_silent_rack_does_not_stop_the_others():
    simulated = ramp_room()
    state, _ = simulated.run(2)
    simulated.silent = {s.id for s in simulated.site.server if s.rack == "r1"}
    old = simulated.signature("r1s0").at
    signatures = {n: replace(simulated.signature(n), at=old) for n in simulated.silent}
    effects = []
    for _ in range(10):
        inputs = simulated.inputs()
        inputs = replace(inputs, signatures={**inputs.signatures, **signatures})
        state, more = step(state, inputs, simulated.graph, simulated.decision)
        simulated.now_step += 1
        effects += more
    moves = [e.move for e in effects if isinstance(e, StartMove)]
    assert "stale" in kinds(effects)
    assert moves
    assert not any(m.source.startswith("r1") or m.target.startswith("r1") for m in moves)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 14)), st.sampled_from([None, float("nan"), -1.0, 1e9]))
def test_one_missed_or_wild_poll_of_any_servers_never_acts(which, value):
    simulated = room.Room(room.site())
    state, _ = simulated.run(2)
    inputs = simulated.inputs()
    forecasts = dict(inputs.forecasts)
    for index in which:
        name = simulated.site.server[index].id
        forecast = forecasts.pop(name)
        if value is not None:
            forecasts[name] = replace(forecast, quantiles_w=((value,) * 4,) * 12)
    inputs = replace(inputs, forecasts=forecasts)
    state, effects = step(state, inputs, simulated.graph, simulated.decision)
    simulated.now_step += 1
    assert not acts(effects)
    assert not acts(simulated.run(2, state)[1])


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.floats(20, 160), min_size=24, max_size=24),
    st.floats(1000, 1400),
    st.floats(1500, 2000),
)
def test_a_plan_never_raises_risk(watts, limit_w, limit_n1_w):
    site = room.site(limit_w=limit_w, limit_n1_w=limit_n1_w)
    names = [w.id for w in site.workload]
    simulated = room.Room(site, watts=lambda w, at: watts[names.index(w)] if w else 0.0)
    before = sum(v.load_w - v.limit_w for v in risks(simulated, State()))
    state, effects = simulated.run(7)
    after = sum(v.load_w - v.limit_w for v in risks(simulated, state))
    assert after <= before + 1
    assert before > 0 or not acts(effects), "a safe room is left alone"


def test_two_feeds_cannot_be_cured_and_a_shed_list_is_offered():
    simulated = room.Room(room.site("AB", limit_w=1500.0, limit_n1_w=1700.0))
    _, effects = simulated.run(8)
    assert "n1_forecast" in kinds(effects)
    plans = [e.plan for e in effects if isinstance(e, AdoptPlan)]
    assert not any(v.contingency for plan in plans for v in plan.cures)
    assert not acts(effects)
    offer = next(e for e in effects if isinstance(e, OfferShedList))
    assert offer.workloads
    assert "only less load helps" in offer.why


@pytest.mark.parametrize("mode", ["advise", "approve"])
def test_where_people_decide_the_plan_is_shown_and_not_carried_out(mode):
    simulated = ramp_room(mode=mode)
    state, effects = until_plan(simulated)
    assert "plan_advised" in kinds(effects)
    assert not acts(effects)
    assert state.plan is None


def test_an_observed_feed_is_only_watched():
    _, effects = ramp_room(mode="observe").run(20)
    assert "n1_forecast" in kinds(effects)
    assert not any(isinstance(e, (AdoptPlan, OfferShedList, *ACTS)) for e in effects)


def test_a_failed_move_bars_its_target_and_is_planned_anew():
    simulated = ramp_room(move_state=MoveState.UNDONE)
    state, effects = until_plan(simulated)
    failed = next(e.move for e in effects if isinstance(e, StartMove))
    simulated.move_state = MoveState.DONE
    simulated.moves = [replace(m, state=MoveState.UNDONE) for m in simulated.moves]
    state, effects = simulated.run(6, state)
    assert "move_failed" in kinds(effects)
    assert "plan_cut_short" in kinds(effects)
    again = [e.plan for e in effects if isinstance(e, AdoptPlan)]
    assert again
    soon = [p for p in again if p.made_at < state.no_target.get(failed.target, p.made_at)]
    assert not any(m.target == failed.target for p in soon for m in p.moves)


def test_moves_wait_for_each_other_and_rest_afterwards():
    simulated = ramp_room()
    simulated.decision = replace(simulated.decision, max_parallel=1)
    state, effects = until_plan(simulated)
    assert sum(isinstance(e, StartMove) for e in effects) <= 1
    state, more = simulated.run(3, state)
    done = next(e.move.workload for e in [*effects, *more] if isinstance(e, StartMove))
    assert done in state.resting(simulated.now)


def ats_room(outcome):
    """Feed A carries all appliances; only transfers help, for nothing may move."""
    site = room.site(limit_w=955.0, limit_n1_w=1e4)
    site = replace(site, workload=tuple(replace(w, movable=False) for w in site.workload))
    simulated = room.Room(site, outcome=outcome, spread_w=1.0)
    simulated.sources = {"ats0": 1, "ats1": 1, "ats2": 2}
    return simulated


def test_a_transfer_counts_only_when_read_back():
    state, effects = ats_room(Outcome.TRANSFERRED).run(8)
    commands = acts(effects)
    assert [c.transfer.from_source for c in commands]
    assert not state.locked
    assert "plan_done" in kinds(effects)


def planned_transfer(*moves):
    """A room in which a plan, made earlier, is about to transfer ats0 to B."""
    simulated = room.Room(room.site(limit_w=1200.0, limit_n1_w=1e4))
    simulated.sources = {"ats0": 1, "ats1": 1, "ats2": 1}
    state, _ = simulated.run(3)
    transfer = Transfer("ats0", "A", "B", 300.0 if moves else 0.0, "why")
    plan = Plan("P", simulated.now, moves, (transfer,), 600.0, 600.0, (), ())
    names = [("move", m.workload) for m in moves] + [("ats", "ats0")]
    actions = tuple(Action(intent("P", kind, name), name, simulated.now) for kind, name in names)
    return simulated, replace(state, plan=plan, actions=actions)


def test_a_planned_transfer_is_carried_out_in_a_room_that_allows_it():
    simulated, state = planned_transfer()
    _, effects = simulated.run(3, state)
    assert [c.transfer.ats for c in acts(effects)] == ["ats0"]


def overloaded(simulated):
    simulated.watts = lambda w, _: 300.0 if w[1] == "1" else 60.0


def observed(simulated):
    feeds = tuple(replace(f, mode="observe") for f in simulated.site.feed)
    simulated.site = replace(simulated.site, feed=feeds)


def unmeasured(simulated):
    simulated.silent = {s.id for s in simulated.site.server if s.rack == "r1"}
    simulated.now_step += 14


@pytest.mark.parametrize("change", [overloaded, observed, unmeasured], ids=lambda c: c.__name__)
def test_a_planned_transfer_is_dropped_when_the_room_has_changed(change):
    simulated, state = planned_transfer()
    change(simulated)
    _, effects = simulated.run(3, state)
    assert not [e for e in effects if isinstance(e, CommandAts)]
    assert {"dropped", "plan_cut_short"} & set(kinds(effects))


def test_a_transfer_whose_move_was_dropped_is_not_made():
    simulated, state = planned_transfer(Move("w100", "r1s0", "r2s0", 0.0, "why"))
    simulated.placement["w100"] = "r1s1"
    _, effects = simulated.run(3, state)
    assert not [e for e in effects if isinstance(e, CommandAts)]


UNCLEAR = [o for o in Outcome if o not in {Outcome.TRANSFERRED, Outcome.REFUSED}]


def test_a_refused_switch_rests_for_its_dwell_and_is_not_locked():
    simulated = ats_room(Outcome.REFUSED)
    state, effects = simulated.run(4)
    first, *others = acts(effects)
    assert first.transfer.ats not in {other.transfer.ats for other in others}
    assert not state.locked
    assert "ats_refused" in kinds(effects)
    assert first.transfer.ats in state.resting(simulated.now)


def test_a_late_answer_that_verifies_the_transfer_frees_a_silent_switch():
    simulated = ats_room(Outcome.TRANSFERRED)
    state, _ = simulated.run(2)
    silent = replace(state, locked={"ats0": "no answer", "ats1": "unknown: relay stuck"})
    late = [
        CommandResult(f"old/ats/{a}", a, 1, Outcome.TRANSFERRED, "", simulated.now)
        for a in ("ats0", "ats1")
    ]
    inputs = replace(simulated.inputs(), results=tuple(late))
    state, effects = step(silent, inputs, simulated.graph, Decision())
    assert dict(state.locked) == {"ats1": "unknown: relay stuck"}
    assert "ats_free" in kinds(effects)


@pytest.mark.parametrize("outcome", UNCLEAR)
def test_any_other_outcome_locks_the_switch_until_an_operator_clears_it(outcome):
    simulated = ats_room(outcome)
    state, effects = simulated.run(20)
    names = [c.transfer.ats for c in acts(effects)]
    assert len(set(names)) == len(names), "a locked switch is not commanded again"
    assert set(state.locked) == set(names)
    assert "ats_locked" in kinds(effects)
    assert names[0] not in clear_lockout(state, names[0]).locked


def test_an_unreadable_switch_is_left_alone():
    simulated = ats_room(Outcome.TRANSFERRED)
    original = simulated.devices
    simulated.devices = lambda: {
        n: replace(d, quality=Quality.STALE) if d.kind == "ats" else d
        for n, d in original().items()
    }
    _, effects = simulated.run(10)
    assert not acts(effects)
    assert "ats_unread" in kinds(effects)


def test_a_feed_is_lost_on_repeated_evidence_only_and_comes_back():
    simulated = room.Room(room.site(limit_n1_w=ROOMY))
    state, _ = simulated.run(3)
    simulated.dark = {"A"}
    state, first = simulated.cycle(state)
    assert not state.lost
    assert "feed_lost" not in kinds(first)
    state, second = simulated.cycle(state)
    assert state.lost == ("A",)
    assert "feed_lost" in kinds(second)
    assert not acts(simulated.run(3, state)[1]), "survivors are within their emergency limits"
    simulated.dark = set()
    state, effects = simulated.run(5, state)
    assert not state.lost
    assert "feed_back" in kinds(effects)


def test_silence_of_the_meters_is_no_loss():
    simulated = room.Room(room.site())
    state, _ = simulated.run(3)
    original = simulated.devices
    simulated.devices = lambda: {
        n: replace(d, quality=Quality.MISSING, readings={}) for n, d in original().items()
    }
    state, effects = simulated.run(5, state)
    assert not state.lost
    assert not acts(effects)


def test_a_saved_state_that_does_not_fit_names_the_place():
    with pytest.raises(DataError, match="state"):
        State.from_dict({"evidence_at": "not a time"})
