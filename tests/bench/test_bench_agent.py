"""What the benchmark of the agent puts around it is what it says."""

import asyncio

import pytest

from wattcast_agent import config
from wattcast_agent.devices.node_exporter import NodeExporter
from wattcast_agent.devices.node_metrics import QUANTITIES
from wattcast_configs.files import load_rack
from wattcast_configs.profiles import load_named
from wattcast_tools import bench_agent
from wattcast_tools.agent_rig.devices import OUTLETS, Devices
from wattcast_tools.agent_rig.ear import Heard
from wattcast_tools.agent_rig.exporters import Exporters


def test_its_rack_file_has_every_server_on_an_outlet_of_both_pdus(tmp_path):
    path = bench_agent._write(tmp_path, Devices(bench_agent._cords()), {"server-00": "http://x"})
    rack = load_rack(path)
    profiles = load_named((d.profile for d in rack.device), tmp_path)
    pdu = profiles["bench_pdu42.toml"]
    assert sum(p.quantity.startswith("outlet.") for p in pdu.point) == 3 * OUTLETS
    cords = [target for d in rack.device for target in d.measured().values()]
    assert len(cords) == len(set(cords)) == 80
    assert [d.profile for d in rack.device].count("bench_pdu42.toml") == 2
    with pytest.raises(Exception, match="server 'server-01' has no cord 0"):
        config.setup(rack, {name: p.kind for name, p in profiles.items()})


async def test_its_endpoints_serve_60_kb_and_what_the_agent_asks_for():
    exporters = Exporters(1)
    await exporters.start()
    assert exporters.page_bytes >= 60_000
    exporter = NodeExporter("s", exporters.urls["server-00"])
    seldom = {"llc_misses_total", "memory_bandwidth_bytes_total"}  # need a flag, or a script
    assert set(await exporter.read()) >= set(QUANTITIES) - seldom
    exporter.close()
    await asyncio.sleep(0.01)
    await exporters.stop()


def test_lateness_is_that_of_whole_windows_after_the_warm_up():
    reports = [(0, 900.0), (2999, 800.0), (3000, 50.0), (6000, 70.0)]
    heard = [
        Heard(0.0, 0, {"reads_total": reads, "lateness_p50_ms": 5.0, "lateness_p99_ms": late})
        for reads, late in reports
    ]
    assert bench_agent._lateness_ms(heard) == {"p50": 5.0, "p99": 70.0}
    assert bench_agent._lateness_ms(heard[:2])["p99"] == 800.0
