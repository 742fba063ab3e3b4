"""Site files of real rooms: limits and their sources, lines, doubts, and what is refused."""

import copy
import json
import math
import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattcast_configs import strict
from wattcast_configs.files import load_site
from wattcast_configs.site import Site
from wattcast_configs.sites import BUILT_IN
from wattcast_coordinator.risk.amperes import amperes
from wattcast_coordinator.risk.nminus import Moments
from wattcast_coordinator.risk.reserve import bridges
from wattcast_coordinator.step import State, watch
from wattcast_coordinator.topology.check import findings
from wattcast_coordinator.topology.compiled import compile_room
from wattcast_coordinator.topology.contingency import contingencies
from wattcast_coordinator.topology.graph import build
from wattcast_core.errors import ConfigError
from wattcast_tools import main
from wattcast_tools.topology_cmd import describe, judge_nameplates

EXAMPLES = sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def table(name="europe_3n2"):
    return tomllib.loads((BUILT_IN / f"{name}.toml").read_text())


def read(changed):
    return strict.parse(changed, Site, "site.toml")


def edited(kind, index, name="europe_3n2", **changes):
    out = copy.deepcopy(table(name))
    out[kind][index].update(changes)
    return out


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_sites_are_sound_and_secure_at_full_use(name):
    graph = build(load_site(BUILT_IN / f"{name}.toml"))
    assert not [f for f in findings(graph) if f.kind != "not selective"]
    assert judge_nameplates(graph).over() == []


REFUSED = [
    ({"board": (0, {"source": "ups-a"})}, r"feeds itself \(.*->.*\)"),
    ({"board": (0, {"source": "nowhere"})}, "board board-a: source 'nowhere' is not defined"),
    ({"server": (0, {"cords": ["r1-A", "r1-B:L1"]})}, "'r1-A' has three lines; say which"),
    ({"server": (0, {"cords": ["r1-A:L4", "r1-B:L1"]})}, "server r1-s0: cords: 'r1-A:L4'"),
    ({"server": (0, {"shares": [0.5, 0.4]})}, r"r1-s0: shares \[0.5, 0.4\] add up to 0.9"),
    ({"server": (0, {"shares": [1.5, -0.5]})}, "must not be negative"),
    ({"server": (0, {"shares": [1.0]})}, "2 cords but 1 shares"),
    ({"server": (0, {"needed": 3})}, "needs 3 of 2 cords"),
    ({"server": (0, {"cords": ["r1-A:L1"] * 9})}, "one to 8 cords, not 9"),
    ({"pdu": (0, {"rating": {"neutral_a": 16.0}})}, "give a .amperes., kva or kw"),
    ({"pdu": (0, {"source": "", "feed": ""})}, "pdu r1-A: give what it hangs on"),
    ({"pdu": (0, {"rotation": "L1 L1 L2"})}, "rotation 'L1 L1 L2' is no order"),
    ({"breaker": (0, {"rating": {"a": 40.0, "standard": "din"}})}, "'din' is neither"),
    ({"breaker": (0, {"rating": {"a": 40.0, "derate": [{"factor": 1.5, "source": "x"}]}})},
     "derate factor 1.5 is not within 0..1"),
    ({"breaker": (0, {"rating": {"a": 40.0, "derate": [{"source": "x"}]}})},
     "give a factor below 1, or by_ambient"),
    ({"breaker": (0, {"rating": {"a": 40.0, "derate": [
        {"source": "x", "by_ambient": [[40.0, 0.9], [30.0, 1.0]]}]}})},
     "by_ambient must rise in temperature"),
    ({"breaker": (1, {"id": "cb-r1-a"})}, "the id is used twice"),
    ({"common_mode": (0, {"lose": ["gen-x"]})}, "common_mode generator fuel: lose: 'gen-x'"),
    ({"rack": (0, {"row": "row-9"})}, "rack r1: row: 'row-9'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), REFUSED, ids=[says[:24] for _, says in REFUSED])
def test_a_site_that_cannot_be_is_refused_with_place_and_remedy(change, says):
    ((kind, (index, values)),) = change.items()
    with pytest.raises(ConfigError, match=says):
        read(edited(kind, index, **values))


def test_a_rack_pdu_without_a_rating_is_refused():
    without = table()
    del without["pdu"][0]["rating"]
    with pytest.raises(ConfigError, match="pdu r1-A: no limit is known; give limit_w"):
        read(without)


DOUBTS = [
    ("breaker", {"rating": {"a": 10.0}}, "downstream above upstream"),
    ("breaker", {"curve": "iec60898_b", "rating": {"a": 16.0}}, "not selective"),
    ("server", {"cords": ["r1-A:L1", "r4-A:L2"]}, "cords on one feed"),
    ("server", {"needed": 2}, "dark on one loss"),
    ("server", {"psu_w": 400.0}, "supplies too small"),
    ("server", {"cord_a": 1.0}, "cord too small"),
    ("rack", {"cooling_w": 1000.0}, "cooling"),
    ("row", {"cooling_w": 1000.0}, "cooling"),
]


@pytest.mark.parametrize(("kind", "values", "doubt"), DOUBTS, ids=[d for _, _, d in DOUBTS])
def test_a_doubtful_site_is_told_of(kind, values, doubt, tmp_path):
    site = load_site(BUILT_IN / "europe_3n2.toml")
    changed = read(edited(kind, 0, **values))
    found = findings(build(type(site)(**{**vars_of(changed), "curve": site.curve})))
    assert doubt in {f.kind for f in found}
    assert all(f.place and len(f.text) > 20 for f in found)


def vars_of(site):
    return {name: getattr(site, name) for name in type(site).__dataclass_fields__}


def limit(site, name):
    graph = build(site)
    return graph.limits[graph.node[name]]


def test_nec_gives_eighty_percent_continuously_and_all_for_three_hours():
    found = limit(read(table("america_2n")), "cb-r1-a")
    assert found.base_a == pytest.approx(24.0)
    assert found.n1_a == pytest.approx(30.0)
    assert found.emergency_s == 3 * 3600
    assert any("NEC 210.20(A)" in why for why in found.why)


def test_iec_derates_with_a_source():
    found = limit(read(table()), "cb-r1-a")
    assert found.base_a == pytest.approx(34.0)
    assert found.base_w == pytest.approx(3 * 34.0 * 230 * 0.9 * 0.95)
    assert any(why.startswith("x 0.85: grouping") for why in found.why)


@pytest.mark.parametrize(
    ("ambient_c", "factor"), [(20.0, 1.0), (40.0, 1.0), (47.5, 0.95), (60.0, 0.85)]
)
def test_ratings_are_derated_by_the_air_at_the_equipment(ambient_c, factor):
    site = read(table())
    warm = replace(site, electrical=replace(site.electrical, ambient_c=ambient_c))
    assert limit(warm, "cb-r1-a").base_a == pytest.approx(34.0 * factor)


def test_hotter_than_a_derating_knows_of_is_an_error_that_names_the_breaker():
    site = read(table())
    hot = replace(site, electrical=replace(site.electrical, ambient_c=61.0))
    with pytest.raises(ConfigError, match=r"breaker cb-r1-a: .* ends at 60 C"):
        build(hot)


def test_losses_and_other_loads_come_off_the_limits_upstream():
    found = limit(read(table()), "board-a")
    at_board_w = 160.0 * 3 * 230 * 0.9 * 0.95
    assert found.base_w == pytest.approx((at_board_w - 6000.0) * 0.955)
    transformer = limit(read(table()), "tx-a")
    assert transformer.base_w == pytest.approx((100e3 * 0.95 - 6000.0) * 0.955)
    assert transformer.n1_w == pytest.approx((120e3 * 0.95 - 6000.0) * 0.955)
    assert transformer.emergency_s == 7200.0


def test_power_is_limited_by_the_stricter_of_kw_and_kva():
    assert limit(read(table()), "gen-a").base_w == pytest.approx((88e3 - 6000.0) * 0.955)
    assert limit(read(table()), "ups-a").base_w == pytest.approx(60e3 * 0.95)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=24, max_size=24), st.sampled_from(EXAMPLES))
def test_loads_within_their_watts_keep_every_line_within_its_amperes(parts, name):
    """What the planner keeps, watts of each way of being plugged in, bounds every line."""
    graph = build(load_site(BUILT_IN / f"{name}.toml"))
    room = compile_room(graph, (), np.zeros(len(graph.nodes), np.int64))
    count = len(graph.servers)
    watts = np.resize(parts, count) * 2000.0
    for _ in range(3):  # bring every way within its watts, keep proportions
        moments = Moments(watts[:, None], np.zeros(count), np.ones(1))
        base_w, *_ = (room.matrices.base.linear @ (room.doubtful.linear @ moments.values),)
        for node in np.flatnonzero(np.array(graph.words) == "phase"):
            share = graph.limit_base_w[node] / max(base_w[node, 0], 1e-9)
            if share < 1:
                watts[graph.behind(np.array([node]))] *= share
    found = amperes(room, Moments(watts[:, None], np.zeros(count), np.ones(1)), (0.0, 0.0))
    here = (found.case == 0) & np.isin(
        found.node, np.flatnonzero(np.array(graph.words) == "rack PDU")
    )
    assert (found.line_a[here].max((1, 2)) <= found.limit_a[here] * (1 + 1e-9)).all()


def test_every_loss_capacity_step_and_common_cause_is_a_contingency():
    ids = {c.id for c in contingencies(build(read(table())))}
    assert {"utility", "tx-a", "gen-a", "board-a", "ups-a", "A", "cb-r1-a", "r1-A"} <= ids
    assert "generator fuel" in ids
    assert "ups-a: a module" not in ids, "one module of four is redundant"
    small = contingencies(build(read(edited("ups", 0, redundant=0))))
    step = next(c for c in small if c.id == "ups-a: a module")
    assert (step.step, step.left) == ("ups-a", pytest.approx(0.75))


def test_a_capacity_step_counts_against_what_is_left():
    site = read(edited("ups", 0, redundant=0, rating={"kw": 14.0}))
    over = judge_nameplates(build(site)).over()
    assert ("ups-a: a module", "") in {(o.contingency, o.line) for o in over}


def test_a_tie_feeds_a_board_whose_own_source_is_gone():
    document = describe(build(read(table("america_2n"))))
    tie = [e for e in document["loads"] if e["node"] == "tie>board-a" and e["load_w"] > 0]
    assert [e["contingency"] for e in tie] == ["utility-1", "tx-a"]


def test_batteries_bridge_the_generators_start_or_the_document_says_so():
    document = describe(build(read(table())))
    on_battery = [b for b in document["bridges"] if b["contingency"] == "utility"]
    assert {b["ups"] for b in on_battery} == {"ups-a", "ups-b", "ups-c"}
    assert all(b["holds"] and b["generator"].startswith("gen-") for b in on_battery)
    flat = edited("ups", 0, battery=[[1.0, 5.0]])
    told = describe(build(read(flat)))["bridges"]
    assert not next(b for b in told if b["contingency"] == "utility" and b["ups"] == "ups-a")[
        "holds"
    ]


def test_a_generator_that_takes_all_in_one_step_is_held_to_its_step():
    sudden = edited("ups", 0, walk_in_s=0.0)
    sudden["generator"][0]["step_kw"] = 10.0
    told = describe(build(read(sudden)))["bridges"]
    bridge = next(b for b in told if b["contingency"] == "utility" and b["ups"] == "ups-a")
    assert bridge["step_w"] > bridge["step_limit_w"] == 10e3


@pytest.mark.parametrize("name", EXAMPLES)
def test_show_check_and_draw(name, tmp_path, capsys):
    path = str(BUILT_IN / f"{name}.toml")
    assert main.main(["topology", "show", path]) == 0
    assert name.split("_")[0] in capsys.readouterr().out
    assert main.main(["topology", "check", path, "--json"]) in (0, 1)
    assert '"findings"' in capsys.readouterr().out
    out = tmp_path / "site.svg"
    assert main.main(["topology", "draw", path, "--out", str(out)]) == 0
    text = out.read_text()
    graph = build(load_site(BUILT_IN / f"{name}.toml"))
    assert all(f">{pdu.id}<" in text for pdu in graph.site.pdu)
    assert not math.isnan(float(text.split('viewBox="0 0 ')[1].split()[0]))


def test_a_battery_that_is_too_short_is_told_once_and_when_it_is_long_enough_again():
    now = datetime(2026, 1, 5, tzinfo=UTC)
    judged = judge_nameplates(build(read(edited("ups", 0, battery=[[1.0, 5.0]]))))
    state, told = watch.gaps(State(), bridges(judged.room, judged.single), now)
    assert [e.kind for e in told] == ["bridge_gap"] * 2, "without the utility, and without tx-a"
    assert "ups-a lasts" in told[0].text
    assert "gen-a carries after 10 s" in told[0].text
    assert watch.gaps(state, bridges(judged.room, judged.single), now) == (state, [])
    good = judge_nameplates(build(read(table())))
    state, over = watch.gaps(state, bridges(good.room, good.single), now)
    assert [e.kind for e in over] == ["bridge_gap_over"]
    assert state.gaps == ()


def test_the_benchmark_agrees_with_its_peer(capsys):
    assert main.main(["bench", "n1", "--servers", "400", "--runs", "2", "--json"]) == 0
    (room,) = json.loads(capsys.readouterr().out)["rooms"]
    assert room["agrees"]
    assert room["pairs"] == room["losses"] * (room["losses"] - 1) // 2
    assert room["rows_undominated"] < room["rows"]
