"""Every way to a Modbus device against pymodbus's servers: RTU on a line or in TCP, TLS."""

import asyncio
import importlib.util
import json
import os
import ssl
import tty
from pathlib import Path

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from wattcast_agent.devices.poller import Poller
from wattcast_configs.rack import Tls
from wattcast_core.errors import ConfigError
from wattcast_core.samples import Quality
from wattcast_core.units import from_epoch_s
from wattcast_tools.main import main

pytestmark = pytest.mark.integration
NOW = from_epoch_s(1_700_000_000)

_spec = importlib.util.spec_from_file_location(
    "certificates", Path(__file__).with_name("certificates.py")
)
certificates = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(certificates)


def units(bench):
    devices = {1: bench.XY_MD02, 2: bench.sdm630(280)}
    return [
        SimDevice(
            unit, [SimData(a, values=w, datatype=DataType.REGISTERS) for a, w in registers.items()]
        )
        for unit, registers in devices.items()
    ]


@pytest.fixture
async def serve():
    """Starts a server and stops it after the test; gives its TCP port, if it has one."""
    servers = []

    async def _serve(server):
        await server.serve_forever(background=True)
        servers.append(server)
        sockets = getattr(server.transport, "sockets", None)
        return sockets[0].getsockname()[1] if sockets else 0

    yield _serve
    for server in servers:
        await server.shutdown()


@pytest.fixture
async def serial_line():
    """Two serial devices that are the ends of one cable."""
    loop, ends = asyncio.get_running_loop(), [os.openpty() for _ in range(2)]
    for master, slave in ends:
        tty.setraw(master)
        tty.setraw(slave)
    (left, _), (right, _) = ends
    for here, there in ((left, right), (right, left)):
        loop.add_reader(here, lambda a=here, b=there: os.write(b, os.read(a, 512)))
    yield [os.ttyname(slave) for _, slave in ends]
    for master, slave in ends:
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


@pytest.fixture
async def poll(bench, profiles):
    """Polls devices by their URLs once: device -> (power or temperature, quality, problem)."""

    async def _poll(**devices):
        rack = bench.rack_of(
            *(
                bench.Device(name, profile, url=url, tls=tls)
                for name, (profile, url, tls) in devices.items()
            )
        )
        poller = Poller(rack, profiles, lambda: NOW, budget_real_s=20.0, patience_real_s=20.0)
        try:
            found = await poller.poll()
        finally:
            await poller.close()
        return {d.device: d for d in found.devices if d.device in devices}

    return _poll


async def power_told(capsys, url):
    """What the technician's command tells of a device that it has to identify by itself."""
    words = ["tech", "read", "--url", url, "--timeout", "60", "--json"]
    code = await asyncio.to_thread(main, words)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    document = json.loads(printed.out)
    assert document["profile"] == "eastron_sdm630"
    assert document["points"]["inlet.1.power_w"]["quality"] == "good"
    return document["points"]["inlet.1.power_w"]["value"]


async def test_a_technician_reads_over_a_serial_line(bench, serve, serial_line, capsys):
    here, there = serial_line
    await serve(ModbusSerialServer(units(bench), port=there, baudrate=19200))
    url = f"modbus-rtu://{here}?baud=19200&device_id=2"
    assert await power_told(capsys, url) == pytest.approx(280)


async def test_rtu_on_a_serial_line_carries_several_units(bench, serve, serial_line, poll):
    here, there = serial_line
    await serve(ModbusSerialServer(units(bench), port=there, baudrate=19200))
    line = f"modbus-rtu://{here}?baud=19200&device_id="
    found = await poll(
        air=("xy_md02", f"{line}1", Tls()), meter=("eastron_sdm630", f"{line}2", Tls())
    )
    assert {d.problem for d in found.values()} == {""}
    assert found["air"].readings["env.1.temperature_c"] == pytest.approx(24.6)
    assert found["meter"].readings["inlet.1.power_w"] == pytest.approx(280)


async def test_a_serial_device_that_is_not_there_and_settings_that_do_not_exist(capsys):
    for url, code, says in (
        ("modbus-rtu:///dev/no-such-device", 4, "there is no such serial device"),
        ("modbus-rtu:///dev/null?baud=fast", 2, "baud 'fast' is no speed"),
        ("modbus-rtu:///dev/null?parity=X", 2, "parity is one of N, E, O"),
    ):
        assert await asyncio.to_thread(main, ["tech", "read", "--url", url]) == code
        assert says in capsys.readouterr().err


async def test_rtu_in_tcp(bench, serve, poll, capsys):
    port = await serve(
        ModbusTcpServer(units(bench), address=("127.0.0.1", 0), framer=FramerType.RTU)
    )
    url = f"modbus-rtu-tcp://127.0.0.1:{port}?device_id=2"
    found = await poll(meter=("eastron_sdm630", url, Tls()))
    assert found["meter"].problem == ""
    assert found["meter"].readings["inlet.1.power_w"] == pytest.approx(280)
    assert await power_told(capsys, url) == pytest.approx(280)


@pytest.fixture
def authority(tmp_path):
    return certificates.Authority(tmp_path)


@pytest.fixture
async def tls_port(bench, serve, authority):
    """Of a device that asks for a client certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("device"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return await serve(ModbusTlsServer(units(bench), address=("127.0.0.1", 0), sslctx=context))


async def test_modbus_security_with_certificates_on_both_sides(tls_port, authority, poll, capsys):
    cert, key = authority.sign("agent")
    url = f"modbus-tls://127.0.0.1:{tls_port}?device_id=2"
    found = await poll(meter=("eastron_sdm630", url, Tls(ca=authority.ca, cert=cert, key=key)))
    assert found["meter"].problem == ""
    assert found["meter"].readings["inlet.1.power_w"] == pytest.approx(280)
    login = f"&ca={authority.ca}&cert={cert}&key={key}"
    assert await power_told(capsys, url + login) == pytest.approx(280)


async def test_a_device_whose_certificate_is_not_trusted_is_not_read(
    tls_port, authority, poll, tmp_path
):
    cert, key = authority.sign("agent")
    stranger = certificates.Authority(tmp_path, "stranger").ca
    url = f"modbus-tls://127.0.0.1:{tls_port}?device_id=2"
    found = await poll(meter=("eastron_sdm630", url, Tls(ca=stranger, cert=cert, key=key)))
    assert found["meter"].quality is Quality.MISSING
    assert "certificate is not trusted" in found["meter"].problem


async def test_a_device_refuses_who_has_no_certificate(tls_port, authority, capsys):
    url = f"modbus-tls://127.0.0.1:{tls_port}?device_id=2&ca={authority.ca}"
    words = ["tech", "read", "--url", url, "--profile", "eastron_sdm630", "--timeout", "6"]
    assert await asyncio.to_thread(main, words) in (3, 4)  # TLS 1.3 tells it only with the answer
    assert capsys.readouterr().err


async def test_certificates_that_cannot_be_read_name_the_files(poll, tmp_path):
    url = "modbus-tls://127.0.0.1:1"
    with pytest.raises(ConfigError, match=r"certificates .*nothing\.pem"):
        await poll(meter=("eastron_sdm630", url, Tls(ca=str(tmp_path / "nothing.pem"))))
