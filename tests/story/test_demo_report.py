import tomllib

import pytest

from wattcast_configs.files import load_control, load_rack, load_site
from wattcast_tools.demo import files, report

ROOM = {
    "clock": {"segments": [[1.0, 2.0, 75.0]]},
    "story": {"start": "2026-03-03T08:00:00+00:00", "duration_s": 6000.0},
    "racks": ["r1"],
    "feeds": [{"id": f, "limit_w": 4000.0, "limit_n1_w": 5000.0} for f in "AB"],
    "pdus": [
        {
            "id": f"pdu-r1-{side}",
            "rack": "r1",
            "feed": feed,
            "limit_w": 3000.0,
            "limit_n1_w": 3000.0,
            "host": "127.0.0.1",
            "port": port,
            "unit": 1,
        }
        for side, feed, port in (("a", "A", 1001), ("b", "B", 1002))
    ],
    "ats": [
        {
            "id": "ats-r1",
            "rack": "r1",
            "source_a": "pdu-r1-a",
            "source_b": "pdu-r1-b",
            "preferred": "A",
            "rating_w": 3680.0,
            "rating_a": 16.0,
            "return_s": 30.0,
            "host": "127.0.0.1",
            "port": 1003,
            "unit": 1,
            "source_meters": {
                s: {"host": "127.0.0.1", "port": 1003, "unit": u} for s, u in (("A", 2), ("B", 3))
            },
        }
    ],
    "servers": [
        {
            "id": "r1-s01",
            "rack": "r1",
            "cords": [
                {"ats": "", "pdu": f"pdu-r1-{s}", "share": h, "host": "h", "port": p, "unit": 2}
                for s, h, p in (("a", 0.6, 1001), ("b", 0.4, 1002))
            ],
            "idle_w": 100.0,
            "full_w": 400.0,
            "cpu": 1.0,
            "mem_gib": 64.0,
            "engine": "http://e",
            "node_exporter": "http://n/metrics",
        }
    ],
    "workloads": [
        {
            "id": "shop-1",
            "server": "r1-s01",
            "application": "shop",
            "version": "2",
            "os": "debian",
            "criticality": 2,
            "movable": True,
            "cpu": 0.5,
            "mem_gib": 8.0,
            "state_gib": 0.01,
        }
    ],
    "sensors": [{"id": "sensor-r1", "rack": "r1", "host": "127.0.0.1", "port": 1004, "unit": 1}],
}
AROUND = files.Around({"shop-1": "http://127.0.0.1:9"}, "envoy", "127.0.0.1:2379", (7001, 7002))


def test_the_written_files_are_read_by_who_needs_them(tmp_path):
    files.write(tmp_path, ROOM, AROUND)
    site = load_site(tmp_path / "site.toml")
    rack = load_rack(tmp_path / "rack-r1.toml")
    control = load_control(tmp_path / "coordinator.toml")
    assert site.workload[0].url == "http://127.0.0.1:9"
    assert {d.role for d in rack.device if d.ats} == {"source_a", "source_b"}
    assert [d.lab for d in rack.device if d.id == "ats-r1"] == [True]
    assert control.listen.rest == "127.0.0.1:7002"


def test_without_control_every_feed_is_only_observed(tmp_path):
    files.write(tmp_path, ROOM, files.Around({}, "envoy", "e:1", (1, 2), control=False))
    feeds = tomllib.loads((tmp_path / "site.toml").read_text())["feed"]
    assert {f["mode"] for f in feeds} == {"observe"}


def test_every_device_has_an_address_a_modbus_master_can_use():
    addresses = files.modbus(ROOM)
    assert addresses["ats-r1"] == "modbus-tcp://127.0.0.1:1003?device_id=1"
    assert addresses["r1-s01-b"] == "modbus-tcp://h:1002?device_id=2"


@pytest.mark.parametrize(
    ("risks", "came_min", "lead_s"),
    [
        (["08:10", "08:05"], 40.0, 35 * 60.0),
        ([], 40.0, None),
        (["08:10"], None, None),
    ],
    ids=["from the first forecast", "never forecast", "never came"],
)
def test_lead_time_is_from_the_first_forecast_to_the_real_overload(risks, came_min, lead_s):
    state = {"risks": [{"first_at": f"2026-03-03T{r}:00+00:00"} for r in risks]}
    assert report.lead_time_s(state, {"first_overload_minute": came_min}, ROOM) == lead_s
