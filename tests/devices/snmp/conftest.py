"""A real SNMP agent on loopback (snmpsim) that plays devices written down here."""

import asyncio
import bz2
import os
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import snmpsim_data
from pyasn1.codec.ber import decoder as ber_decoder
from pyasn1.codec.ber import encoder as ber_encoder

from wattcast_configs.profiles import load_profiles
from wattcast_configs.rack import Device, Snmp

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pysnmp uses old names of pysmi, if there
    from pysnmp.proto import rfc1905
    from pysnmp.proto.api import v2c

    import wattcast_agent.devices.snmp  # noqa: F401 - so that no test is the first to import it

INT, TEXT, GAUGE, OID = "2", "4", "66", "6"
SYS_OBJECT = "1.3.6.1.2.1.1.2.0"
APC, ATS, PDU2 = "1.3.6.1.4.1.318.1.1.26", "1.3.6.1.4.1.318.1.1.8", "1.3.6.1.4.1.13742.6"
SENTRY, EATON_ATS = "1.3.6.1.4.1.1718.4.1", "1.3.6.1.4.1.534.10.2"
USER, AUTH_KEY, PRIV_KEY = "watt", "an-auth-secret", "a-priv-secret"


def rpdu2(outlets=30):
    """One phase, two banks, metered outlets of 10, 20, ... W; no sensor; outlet 3 is off."""
    record = {
        SYS_OBJECT: (OID, "1.3.6.1.4.1.318.1.3.4.6"),
        f"{APC}.4.3.1.5.1": (INT, 121),
        f"{APC}.4.3.1.9.1": (INT, 19516),
        f"{APC}.6.3.1.5.1": (INT, 65),
        f"{APC}.6.3.1.6.1": (INT, -1),
        f"{APC}.6.3.1.7.1": (INT, 122),
        f"{APC}.8.3.1.5.1": (INT, 38),
        f"{APC}.8.3.1.5.2": (INT, 27),
        f"{APC}.10.2.2.1.8.1": (INT, -1),
        f"{APC}.10.2.2.1.10.1": (INT, 41),
    }
    for n in range(1, outlets + 1):
        record[f"{APC}.9.2.3.1.5.{n}"] = (INT, 1 if n == 3 else 2)
        record[f"{APC}.9.4.3.1.6.{n}"] = (INT, n)
        record[f"{APC}.9.4.3.1.7.{n}"] = (INT, 10 * n)
        record[f"{APC}.9.4.3.1.11.{n}"] = (INT, 1000 + n)
    return record


def rpdu2_chain():
    """Two units on one card, of one phase and of three, with an outlet table of power alone."""
    record = {f"{APC}.9.4.3.1.7.{n}": (INT, 100 * n) for n in (1, 2, 25)}
    for unit, watt in ((1, 121), (2, 300)):
        record[f"{APC}.4.3.1.2.{unit}"] = (INT, unit)
        record[f"{APC}.4.3.1.5.{unit}"] = (INT, watt)
    for row, unit in enumerate((1, 2, 2, 2), 1):
        record[f"{APC}.6.3.1.2.{row}"] = (INT, unit)
        record[f"{APC}.6.3.1.5.{row}"] = (INT, 10 * row)
    return record


def rpdu1():
    """The first generation: three phases without banks, and two switched outlets."""
    base = "1.3.6.1.4.1.318.1.1.12"
    record = {f"{base}.1.16.0": (INT, 2300)}
    for row in (1, 2, 3):
        record[f"{base}.2.3.1.1.2.{row}"] = (GAUGE, 10 * row)
        record[f"{base}.2.3.1.1.4.{row}"] = (INT, row)
        record[f"{base}.2.3.1.1.5.{row}"] = (INT, 0)
    for outlet in (1, 2):
        record[f"{base}.3.5.1.1.4.{outlet}"] = (INT, outlet)
    return record


def vertiv():
    """A PDU with sensors in two tables, in Fahrenheit; one of them has gone."""
    base = "1.3.6.1.4.1.21239.5.2"
    record = {f"{base}.1.7.0": (INT, 0), f"{base}.3.1.1.9.1": (GAUGE, 1500)}
    for table, row, there, tenths in ((4, 1, 1, 770), (4, 2, 0, 770), (9, 1, 1, 680)):
        record[f"{base}.{table}.1.4.{row}"] = (GAUGE, there)
        record[f"{base}.{table}.1.5.{row}"] = (INT, tenths)
    record[f"{base}.9.1.6.1"] = (INT, 41)
    return record


def pdu2():
    """Inlet and two outlets with other digits each; a sensor in F, a humidity sensor."""
    record = {SYS_OBJECT: (OID, PDU2)}
    values = {1: (1301, 3), 4: (394, 0), 5: (5903, 1), 6: (699, 0), 7: (86, 2), 8: (2932051, 0)}
    for kind, (value, digits) in values.items():
        record[f"{PDU2}.5.2.3.1.4.1.1.{kind}"] = (GAUGE, value)
        record[f"{PDU2}.3.3.4.1.7.1.1.{kind}"] = (GAUGE, digits)
    for n in (1, 2):
        record[f"{PDU2}.3.5.3.1.2.1.{n}"] = (TEXT, f"label {n}")
        record[f"{PDU2}.5.4.3.1.4.1.{n}.5"] = (GAUGE, 1000 * n)
        record[f"{PDU2}.3.5.4.1.7.1.{n}.5"] = (GAUGE, n)
    record[f"{PDU2}.3.5.4.1.7.1.2.5"] = (TEXT, "two")  # no number of digits: no value
    for n, (kind, digits, unit, value) in enumerate([(10, 1, 7, 229), (11, 0, 9, 15)], 1):
        record[f"{PDU2}.3.6.3.1.2.1.{n}"] = (INT, kind)
        record[f"{PDU2}.3.6.3.1.17.1.{n}"] = (GAUGE, digits)
        record[f"{PDU2}.3.6.3.1.16.1.{n}"] = (INT, unit)
        record[f"{PDU2}.5.5.3.1.4.1.{n}"] = (INT, value)
    return record


def sentry4(scale):
    """Cords of a master and a linked unit, three lines each; sensors, one of them absent."""
    record = {
        SYS_OBJECT: (OID, "1.3.6.1.4.1.1718.4"),
        f"{SENTRY}.9.1.10.0": (INT, scale),
        f"{SENTRY}.9.3.1.1.1.1": (INT, -410),
        f"{SENTRY}.9.3.1.1.1.2": (INT, 752),
        f"{SENTRY}.10.3.1.1.1.1": (INT, -1),
        f"{SENTRY}.10.3.1.1.1.2": (INT, 37),
    }
    for unit, watt in ((1, 1700), (2, 1260)):
        record[f"{SENTRY}.3.3.1.3.{unit}.1"] = (INT, watt)
        for line in (1, 2, 3):
            record[f"{SENTRY}.4.3.1.3.{unit}.1.{line}"] = (INT, 100 * line + unit)
    return record


def ats(**changed):
    """An AP44xx on source A that stays there whatever is preferred."""
    states = {1: 2, 2: 1, 3: 2, 4: 2, 6: 2, 7: 2, 10: 2, 11: 2, 12: 2, 13: 2, 14: 1, 16: 2}
    record = {f"{ATS}.5.1.{n}.0": (INT, value) for n, value in states.items()}
    record |= {
        f"{ATS}.1.5.0": (TEXT, "AP4423"),
        f"{ATS}.4.2.0": (f"{INT}:writecache", "value=1"),
        f"{ATS}.5.3.3.1.3.1.1.1": (INT, 231),
        f"{ATS}.5.3.3.1.3.2.1.1": (INT, 229),
        f"{ATS}.5.3.2.1.4.1": (INT, 50),
        f"{ATS}.5.3.2.1.4.2": (INT, 50),
        f"{ATS}.5.4.5.1.4.1": (INT, 77),
        f"{ATS}.5.4.5.1.15.1": (INT, 1701),
        f"{ATS}.5.4.5.1.15.2": (INT, 884),
        f"{ATS}.5.4.5.1.15.3": (INT, 839),
    }
    return record | {f"{ATS}.{oid}": value for oid, value in changed.items()}


def eaton_ats():
    return {
        f"{EATON_ATS}.2.4.0": (INT, 5),
        f"{EATON_ATS}.4.5.0": (INT, 2),
        f"{EATON_ATS}.3.2.1.3.1": (INT, 3),
        f"{EATON_ATS}.3.2.1.3.2": (INT, 2),
        f"{EATON_ATS}.2.1.1.0": (INT, -12),
        f"{EATON_ATS}.2.2.1.2.1": (INT, 2304),
    }


def ups():
    base = "1.3.6.1.2.1.33.1"
    record = {f"{base}.4.1.0": (INT, 5), f"{base}.2.3.0": (INT, 12), f"{base}.2.4.0": (INT, 80)}
    for line in (1, 2, 3):
        record[f"{base}.4.4.1.2.{line}"] = (INT, 220 + line)
        record[f"{base}.4.4.1.5.{line}"] = (INT, 20 * line)
    return record


def epdu():
    """A three-phase Eaton ePDU as the second of a chain; its temperature is in F, one probe bad."""
    base = "1.3.6.1.4.1.534.6.6.7"
    record = {f"{base}.3.5.1.4.1.1": (INT, 3000), f"{base}.1.2.1.9.1": (INT, 1)}
    for row, kind in enumerate((2, 3, 4, 5, 1), 1):  # neutral first, then three phases, a stray
        record[f"{base}.3.3.1.2.1.1.{row}"] = (INT, kind)
        record[f"{base}.3.3.1.4.1.1.{row}"] = (INT, 1000 * row)
    for row, kind in enumerate((2, 5), 1):
        record[f"{base}.3.2.1.2.1.1.{row}"] = (INT, kind)
        record[f"{base}.3.2.1.3.1.1.{row}"] = (INT, 230_000 if kind == 2 else 400_000)
    for row, kind in enumerate((1, 4), 1):  # the second is the total again
        record[f"{base}.3.4.1.2.1.1.{row}"] = (INT, kind)
        record[f"{base}.3.4.1.4.1.1.{row}"] = (INT, 1000 * row)
    for n, (status, value) in enumerate(((1, 770), (-1, 32)), 1):
        record[f"{base}.7.1.1.3.1.{n}"] = (INT, status)
        record[f"{base}.7.1.1.4.1.{n}"] = (INT, value)
    for n, state in enumerate((1, 0, 3), 1):
        record[f"{base}.6.4.1.3.1.{n}"] = (INT, 500)
        record[f"{base}.6.6.1.2.1.{n}"] = (INT, state)
    return record


def ems(units):
    """Two sensors of modules, one of them lost, and the older table with the same readings."""
    base = "1.3.6.1.4.1.318.1.1.10"
    record = {f"{base}.3.12.11.0": (INT, units)} if units else {}
    for n, contact in ((1, 2), (2, 3)):
        record[f"{base}.4.2.3.1.5.0.{n}"] = (INT, 77)
        record[f"{base}.4.2.3.1.6.0.{n}"] = (INT, 40)
        record[f"{base}.4.2.3.1.7.0.{n}"] = (INT, contact)
        record[f"{base}.3.13.1.1.3.{n}"] = (INT, 77)
        record[f"{base}.3.13.1.1.10.{n}"] = (INT, contact)
    return record


def without(column, record):
    return {oid: value for oid, value in record.items() if not oid.startswith(column)}


RECORDS = {
    "rpdu2": rpdu2(),
    "rpdu2-no-outlet-power": without(f"{APC}.9.4.3.1.7.", rpdu2()),
    "rpdu2-no-phase-current": without(f"{APC}.6.3.1.5.", rpdu2()),
    "rpdu2-chain": rpdu2_chain(),
    "rpdu1": rpdu1(),
    "ats-with-loads": ats() | rpdu1(),
    "vertiv": vertiv(),
    "pdu2": pdu2(),
    "sentry-c": sentry4(0),
    "sentry-f": sentry4(1),
    "sentry-odd": sentry4(9),
    "ats": ats(),
    "ats-sick": ats(**{"5.1.3.0": (INT, 1), "5.1.4.0": (INT, 1), "5.1.14.0": (INT, 2)}),
    "ats-b-lost": ats(**{"5.1.13.0": (INT, 1)}),
    "ats-bare": {oid: v for oid, v in ats().items() if oid != f"{ATS}.5.1.10.0"},
    "ats-readonly": ats(**{"4.2.0": (INT, 1)}),
    "ats-odd": ats(
        **{
            "5.1.2.0": (TEXT, "source one"),
            "5.3.3.1.3.1.1.1": (f"{INT}:error", "op=get,status=genErr"),
            "5.1.10.0": (INT, 7),
        }
    ),
    "eaton-ats": eaton_ats(),
    "ups": ups(),
    "epdu": epdu(),
    "ems-c": ems(1),
    "ems-f": ems(2),
    "ems-untold": ems(0),
    "ups-namesake": {"1.3.6.1.2.1.33.1.1.1.0": (TEXT, "CPS")},
    "apc-ups-and-sensor": ems(1) | {"1.3.6.1.4.1.318.1.1.1.2.2.1.0": (INT, 75)},
    "public": ats(),  # what SNMPv3 sees
}


RECORDED = (  # of real devices, from PyPI's snmpsim-data (BSD)
    *("UPS/apc-8641", "UPS/apc-7902b", "UPS/apc-8932", "iot/geist-temperature-sensor"),
    *("UPS/emerson-network-power", "UPS/huawei-gse200m", "UPS/phoenixtec-power"),
    *("UPS/vertiv-power", "UPS/eaton-93e-80"),
)


def lines(record):
    def key(item):
        return tuple(map(int, item[0].split(".")))

    return "".join(
        f"{oid}|{kind}|{value}\n" for oid, (kind, value) in sorted(record.items(), key=key)
    )


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def sim(tmp_path_factory):
    """Port of the agent; the community chooses the device."""
    folder = tmp_path_factory.mktemp("snmpsim")
    for name, record in RECORDS.items():
        (folder / f"{name}.snmprec").write_text(lines(record))
    for name in RECORDED:
        path = Path(snmpsim_data.__file__).parent / "data" / f"{name}.snmprec"
        packed = path.with_name(f"{path.name}.bz2")
        found = bz2.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
        (folder / path.name).write_bytes(found)
    port = free_port()
    words = [str(Path(sys.executable).with_name("snmpsim-command-responder"))]
    words += [f"--data-dir={folder}", f"--cache-dir={folder}/cache", "--logging-method=null"]
    words += [f"--agent-udpv4-endpoint=127.0.0.1:{port}"]
    words += [f"--v3-user={USER}", f"--v3-auth-key={AUTH_KEY}", "--v3-auth-proto=SHA256"]
    words += [f"--v3-priv-key={PRIV_KEY}", "--v3-priv-proto=AES"]
    if os.geteuid() == 0:
        words += ["--process-user=root", "--process-group=root"]  # else it drops to nobody
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def _await_port(process, port):
    deadline = time.monotonic() + 30
    wanted = f":{port:04X} "
    while process.poll() is None and time.monotonic() < deadline:
        if wanted in Path("/proc/net/udp").read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"snmpsim did not start (exit code {process.poll()})")


@pytest.fixture(scope="session")
def snmp_profiles():
    """As shipped, but a loaded test machine may take its time."""
    return {
        name: replace(p, transport=replace(p.transport, timeout_real_s=2.0))
        for name, p in load_profiles(protocol="snmp").items()
    }


@pytest.fixture
def device(sim, monkeypatch):
    """Makes a device of the rack file whose community is the record's name."""

    def _device(profile, record="", **more):
        if record:
            monkeypatch.setenv(f"COMMUNITY_{record}", record)
            more = {"snmp": Snmp(community=f"env:COMMUNITY_{record}")} | more
        more = {"host": "127.0.0.1", "port": sim} | more
        return Device(f"{profile}-{record}", profile, **more)

    return _device


@pytest.fixture
def v3(monkeypatch):
    """Login of SNMPv3; the passphrases come from the environment."""

    def _login(user=USER, auth_key=AUTH_KEY, priv_key=PRIV_KEY, **more):
        monkeypatch.setenv("TEST_AUTH_KEY", auth_key)
        monkeypatch.setenv("TEST_PRIV_KEY", priv_key)
        keys = {"auth_key": "env:TEST_AUTH_KEY", "priv_key": "env:TEST_PRIV_KEY"}
        return Snmp(user=user, context="public", **(keys | more))

    return _login


class Switch(asyncio.DatagramProtocol):
    """An AP44xx that follows its preferred source, and can be told to misbehave.

    Attributes:
        objects: OID -> number or text.
        drop: so many requests from now get no answer; ``mute_sets``: no write does.
        sets: how many writes it was asked for.
        delay_real_s: time it takes to answer.
        most: objects it answers at once; more is "too big".
        stuck: it does not move; ``deaf``: it says yes to a write and keeps what it had.
        stray: it answers about another object than asked for.
    """

    def __init__(self):
        kinds = {INT: int, TEXT: str}
        self.objects = {oid: kinds[k](v) for oid, (k, v) in ats(**{"4.2.0": (INT, 1)}).items()}
        self.drop, self.most, self.delay_real_s = 0, 100, 0.0
        self.stuck = self.deaf = self.stray = False
        self.sizes, self.sets, self.mute_sets = [], 0, False

    async def start(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self.transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        message, _ = ber_decoder.decode(data, asn1Spec=v2c.Message())
        asked = v2c.apiMessage.get_pdu(message)
        binds = v2c.apiPDU.get_varbinds(asked)
        self.sizes.append(len(binds))
        is_set = asked.isSameTypeWith(v2c.SetRequestPDU())
        self.sets += is_set
        if self.drop or (is_set and self.mute_sets):
            self.drop = max(0, self.drop - 1)
            return
        reply = v2c.apiMessage.get_response(message)
        answer = v2c.apiMessage.get_pdu(reply)
        if len(binds) > self.most:
            v2c.apiPDU.set_error_status(answer, 1)
            v2c.apiPDU.set_varbinds(answer, binds)
        else:
            if is_set:
                self._write(binds)
            oids = [str(oid) for oid, _ in binds]
            if asked.isSameTypeWith(v2c.GetBulkRequestPDU()):
                oids = self._rows(oids, v2c.apiBulkPDU.get_max_repetitions(asked))
            v2c.apiPDU.set_varbinds(answer, [(oid, self._value(oid)) for oid in oids])
        if self.stray:
            v2c.apiPDU.set_varbinds(answer, [("1.3.6.1.2.1.1.3.0", v2c.Integer(1))])
        loop = asyncio.get_running_loop()
        loop.call_later(self.delay_real_s, self._send, ber_encoder.encode(reply), addr)

    def _send(self, data, addr):
        if not self.transport.is_closing():
            self.transport.sendto(data, addr)

    def _rows(self, oids, most):
        found = []
        for _ in range(most):
            oids = [self._next(oid) for oid in oids]
            found += oids
        return found[: self.most]

    def _write(self, binds):
        if not self.deaf:
            self.objects |= {str(oid): int(value) for oid, value in binds}
        if not self.stuck:
            self.objects[f"{ATS}.5.1.2.0"] = self.objects[f"{ATS}.4.2.0"]

    def _next(self, oid):
        def key(name):
            return tuple(map(int, name.split(".")))

        after = sorted((name for name in self.objects if key(name) > key(oid)), key=key)
        return after[0] if after else oid

    def _value(self, oid):
        value = self.objects.get(oid)
        if value is None:
            return rfc1905.noSuchInstance
        return v2c.Integer(value) if isinstance(value, int) else v2c.OctetString(value)


@pytest.fixture
async def switch():
    double = Switch()
    await double.start()
    yield double
    double.transport.close()
    await asyncio.sleep(0)
