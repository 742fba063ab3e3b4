import json
from dataclasses import asdict

import pytest

from wattcast_coordinator.topology.graph import build as build_graph
from wattcast_tools import main
from wattcast_tools.demo import toml_text
from wattcast_tools.room.scenario import build
from wattcast_tools.room.traces import load_platforms
from wattcast_tools.story_loop import site_of
from wattcast_tools.topology_cmd import describe, judge_nameplates, nameplate


def filled(value):
    """Without what is empty: TOML has no null."""
    if isinstance(value, dict):
        return {k: filled(v) for k, v in value.items() if v not in (None, (), [], {}, "")}
    return [filled(v) for v in value] if isinstance(value, tuple | list) else value


@pytest.fixture(scope="module")
def site():
    return site_of(build(1, load_platforms()).layout)


def test_nameplates_add_up_to_the_feeds_in_every_case(site):
    total_w = sum(s.full_w for s in site.server)
    feeds = {f.id for f in site.feed}
    loads = nameplate(judge_nameplates(build_graph(site)))
    for lost in ("", *feeds):
        found = {e["node"]: e["load_w"] for e in loads if not e["contingency"]}
        found |= {e["node"]: e["load_w"] for e in loads if e["contingency"] == lost}
        assert sum(w for n, w in found.items() if n in feeds - {lost}) == pytest.approx(
            total_w, abs=1
        )


def test_the_command_prints_one_json_document(site, tmp_path, capsys):
    (tmp_path / "site.toml").write_text(toml_text.dumps(filled(asdict(site))))
    assert main.main(["topology", "show", str(tmp_path / "site.toml"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == describe(build_graph(site))
    assert document["loads"] == nameplate(judge_nameplates(build_graph(site)))


def test_the_table_names_every_node(site, tmp_path, capsys):
    (tmp_path / "site.toml").write_text(toml_text.dumps(filled(asdict(site))))
    assert main.main(["topology", "show", str(tmp_path / "site.toml")]) == 0
    out = capsys.readouterr().out
    assert all(n.id in out for n in (*site.feed, *site.pdu, *site.ats))
