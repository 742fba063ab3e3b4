"""Scraping a server: canonical counters out of real text, and honest gaps."""

import asyncio
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import wattcast_configs
from wattcast_agent.devices import host, node_metrics
from wattcast_agent.devices.host import HostReader
from wattcast_agent.devices.poller import Poller
from wattcast_configs.rack import Host, UserLoad
from wattcast_core.errors import ConfigError
from wattcast_core.samples import Quality

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = """\
# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 1000
node_cpu_seconds_total{cpu="0",mode="iowait"} 50
node_cpu_seconds_total{cpu="0",mode="system"} 20.5
node_cpu_seconds_total{cpu="1",mode="user"} 1.295e+02
node_cpu_guest_seconds_total{cpu="0",mode="user"} 7
node_cpu_scaling_frequency_hertz{cpu="0"} 1e+09
node_cpu_scaling_frequency_hertz{cpu="1"} 3e+09
node_context_switches_total 4.5e+06
node_vmstat_pgfault 900
node_vmstat_pgmajfault 3
node_pressure_memory_waiting_seconds_total 0.25
node_network_receive_bytes_total{device="eth0"} 100
node_network_receive_bytes_total{device="eth1"} 11
node_network_receive_bytes_total{device="lo"} 5000
node_network_transmit_bytes_total{device="eth0"} 200
node_disk_read_bytes_total{device="nvme0n1"} 300
node_disk_read_bytes_total{device="dm-0"} 300
node_disk_written_bytes_total{device="nvme0n1"} 400
node_disk_reads_completed_total{device="nvme0n1"} 5
node_disk_writes_completed_total{device="nvme0n1"} 6
node_load1 0.75
node_load15 9
node_perf_cache_misses_total{cpu="0"} 30
node_perf_cache_misses_total{cpu="1"} 40
wattcast_memory_bandwidth_bytes_total 8000
node_memory_MemAvailable_bytes 2.5e+09
node_memory_MemTotal_bytes 1e+10
node_memory_SwapFree_bytes 0
node_memory_SwapTotal_bytes 0
"""
WANTED = {
    "cpu_busy_seconds_total": 150,
    "cpu_seconds_total": 1200,
    "cpu_freq_mhz": 2000,
    "context_switches_total": 4.5e6,
    "page_faults_total": 900,
    "major_faults_total": 3,
    "memory_pressure_seconds_total": 0.25,
    "net_rx_bytes_total": 111,
    "net_tx_bytes_total": 200,
    "disk_read_bytes_total": 300,
    "disk_write_bytes_total": 400,
    "disk_io_total": 11,
    "llc_misses_total": 70,
    "memory_bandwidth_bytes_total": 8000,
    "load1": 0.75,
    "memory_used_pct": 75,
    "swap_used_pct": 0,
}


@pytest.fixture
async def endpoint():
    """Serves a text over HTTP; returns (url, settable body)."""
    body = {"text": TEXT, "status": "200 OK"}
    servers = []

    async def serve(reader, writer):
        while await reader.read(4096):
            data = body["text"].encode()
            head = f"HTTP/1.1 {body['status']}\r\nContent-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
        writer.close()

    servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
    yield f"http://127.0.0.1:{servers[0].sockets[0].getsockname()[1]}", body
    servers[0].close()
    await asyncio.sleep(0.01)  # lets the server see that its clients went


def test_real_text_gives_canonical_quantities():
    assert node_metrics.quantities(TEXT) == pytest.approx(WANTED)
    assert set(WANTED) == set(node_metrics.QUANTITIES)


def test_cgroups_of_workloads_come_through_the_textfile_collector(tmp_path):
    for name, cpu, io in (("shop", 2_500_000, "8:0 rbytes=10 wbytes=5 rios=1\n8:16 rbytes=1"),
                          ("batch", 7, None)):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpu.stat").write_text(f"usage_usec {cpu}\nuser_usec 1\n")
        (tmp_path / name / "memory.current").write_text("4096\n")
        if io:
            (tmp_path / name / "io.stat").write_text(io)
    script = Path(wattcast_configs.__file__).parent / "workload_cgroups.sh"
    pairs = [f"w-1={tmp_path}/shop", f"w.2={tmp_path}/batch", f"gone={tmp_path}/gone"]
    for domain in ("00", "01"):
        (tmp_path / "mon_data" / f"mon_L3_{domain}").mkdir(parents=True)
        (tmp_path / "mon_data" / f"mon_L3_{domain}" / "mbm_total_bytes").write_text("4000\n")
    subprocess.run(
        ["sh", script, tmp_path / "out.prom", *pairs],
        check=True,
        env={**os.environ, "RESCTRL": str(tmp_path)},
    )
    assert node_metrics.quantities((tmp_path / "out.prom").read_text()) == {
        "workload.w-1.cpu_seconds_total": 2.5,
        "workload.w-1.memory_bytes": 4096,
        "workload.w-1.io_bytes_total": 16,
        "workload.w.2.cpu_seconds_total": 0.000007,
        "workload.w.2.memory_bytes": 4096,
        "memory_bandwidth_bytes_total": 8000,
    }


def test_a_metric_the_server_lacks_is_absent_not_zero():
    text = TEXT.replace("node_pressure_memory_waiting_seconds_total", "node_other")
    assert set(WANTED) - set(node_metrics.quantities(text)) == {"memory_pressure_seconds_total"}


@pytest.mark.integration
async def test_servers_fail_alone_and_say_why(endpoint, bench, profiles):
    url, body = endpoint
    rack = bench.rack_of(servers=[("s1", url), ("s2", "http://127.0.0.1:1/metrics")])
    poller = Poller(rack, profiles, lambda: NOW)
    poll = await poller.poll()
    s1 = {s.quantity: s.value for s in poll.samples if s.source == "s1"}
    assert s1 == pytest.approx(WANTED)
    s2 = [s for s in poll.samples if s.source == "s2"]
    assert {s.quantity for s in s2} == set(WANTED)
    assert {s.quality for s in s2} == {Quality.MISSING}
    states = {d.device: d for d in poll.devices}
    assert states["s1"].quality is Quality.GOOD
    assert "node_exporter" in states["s2"].problem

    for text, status, quality in [
        ("node_load1 much\n", "200 OK", Quality.INVALID),
        ("<html>hello</html>", "200 OK", Quality.INVALID),
        ("node_load1 NaN\n", "200 OK", Quality.INVALID),
        (TEXT, "503 Service Unavailable", Quality.MISSING),
    ]:
        body.update(text=text, status=status)
        poll = await poller.poll()
        load = next(s for s in poll.samples if (s.source, s.quantity) == ("s1", "load1"))
        assert load.quality is quality, text
        assert next(d for d in poll.devices if d.device == "s1").problem
    await poller.close()


def test_an_address_without_scheme_is_a_configuration_error(bench, profiles):
    with pytest.raises(ConfigError, match="server s1: node_exporter 'host:9100'"):
        Poller(bench.rack_of(servers=[("s1", "host:9100")]), profiles, lambda: NOW)


@pytest.mark.integration
async def test_only_collectors_the_server_runs_are_asked_for(bench, profiles):
    asked = []

    async def serve(reader, writer):
        while head := await reader.read(4096):
            query = head.split(b" ")[1].decode()
            asked.append([part.partition("=")[2] for part in query.partition("?")[2].split("&")])
            known = {"cpu", "loadavg"}
            unknown = next((c for c in asked[-1] if c not in known), "")
            status = "400 Bad Request" if unknown else "200 OK"
            why = f"Couldn't create filtered metrics handler: disabled collector: {unknown}"
            body = (why if unknown else "node_load1 0.5\n").encode()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    poller = Poller(bench.rack_of(servers=[("s1", url)]), profiles, lambda: NOW)
    for _ in range(2):
        poll = await poller.poll()
        load = next(s for s in poll.samples if (s.source, s.quantity) == ("s1", "load1"))
        assert (load.value, load.quality) == (0.5, Quality.GOOD)
    assert set(asked[0]) == set(node_metrics.COLLECTORS)
    assert asked[-2:] == [["cpu", "loadavg"]] * 2, "what it does not run is not asked for again"
    await poller.close()
    server.close()
    await asyncio.sleep(0.01)


@pytest.mark.integration
async def test_what_users_ask_of_a_server_becomes_part_of_it(endpoint, bench, profiles):
    url, body = endpoint
    rack = bench.rack_of()
    load = UserLoad(f"{url}/metrics", "http_requests_total", {"code": "200"})
    level = UserLoad(f"{url}/metrics", "sessions", kind="gauge")
    servers = (
        Host("s1", node_exporter=url, user_load=load),
        Host("s2", user_load=level),
        Host("s3", node_exporter=url, user_load=UserLoad(url, "nothing")),
    )
    poller = Poller(replace(rack, server=servers), profiles, lambda: NOW)
    body["text"] = TEXT + (
        'http_requests_total{code="200",path="/a"} 5\nhttp_requests_total{path="/b",code="200"} 7\n'
        'http_requests_total{code="500"} 90\nsessions 12\n'
    )
    poll = await poller.poll()
    found = {(s.source, s.quantity): s.value for s in poll.samples if s.usable}
    assert found["s1", "user_load_total"] == 12
    assert found["s2", "user_load"] == 12
    assert found["s3", "load1"] == 0.75
    states = {d.device: d for d in poll.devices}
    assert "no nothing with these labels" in states["s3"].problem
    assert states["s1"].problem == ""
    await poller.close()
    await asyncio.sleep(0.01)


def test_the_agents_own_machine_tells_all_it_may():
    reader = HostReader()
    found = reader.read()
    reader.close()
    always = {"cpu_seconds_total", "page_faults_total", "major_faults_total", "swap_used_pct"}
    assert always <= set(found) <= set(node_metrics.QUANTITIES)
    if Path("/proc/pressure/memory").exists():
        assert found["memory_pressure_seconds_total"] >= 0


def test_resctrl_and_pressure_are_read_where_they_are(tmp_path, monkeypatch):
    for domain, count in (("00", 700), ("01", 300)):
        (tmp_path / f"mon_L3_{domain}").mkdir()
        (tmp_path / f"mon_L3_{domain}" / "mbm_total_bytes").write_text(f"{count}\n")
    pressure = tmp_path / "memory"
    pressure.write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    )
    monkeypatch.setattr(host, "_RESCTRL", tmp_path)
    monkeypatch.setattr(host, "_PRESSURE", pressure)
    assert host._bandwidth() == {"memory_bandwidth_bytes_total": 1000}
    assert host._pressure() == {"memory_pressure_seconds_total": 2.5}
    monkeypatch.setattr(host, "_RESCTRL", tmp_path / "nowhere")
    monkeypatch.setattr(host, "_PRESSURE", tmp_path / "nowhere")
    assert host._bandwidth() == host._pressure() == {}
