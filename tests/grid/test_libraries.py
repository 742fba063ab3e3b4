"""ENTSO-E, CAISO, PJM and ERCOT: the libraries as they are, against doubles behind TLS.

The doubles answer in the formats that ENTSO-E (Publication_MarketDocument, document type A44),
CAISO OASIS (PRC_LMP as zipped CSV), PJM Data Miner 2 (JSON pages) and ERCOT (document list and
zipped CSV of the settlement point prices) document.
"""

import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from http_double import Answer
from tls_double import TlsDouble

from wattcast_coordinator.grid.entsoe import Entsoe
from wattcast_coordinator.grid.gridstatus import GridStatus
from wattcast_core.errors import ConfigError, DataError, MissingExtraError, Unreachable

pytestmark = [pytest.mark.integration, pytest.mark.slow]
DAY = datetime(2026, 3, 2, tzinfo=UTC)
CODE = """
import asyncio, json, sys
from datetime import datetime
from wattcast_coordinator.grid.entsoe import Entsoe
from wattcast_coordinator.grid.gridstatus import GridStatus
MADE = {"entsoe": Entsoe, "gridstatus": GridStatus}
async def one(kind, words, begin, end):
    try:
        at = datetime.fromisoformat
        known = await MADE[kind](*words).fetch(at(begin), at(end))
        return {"at_s": known.at_s, "value": known.value}
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}
print(json.dumps([asyncio.run(one(*call)) for call in json.loads(sys.argv[1])]))
"""
CALLS = {
    "entsoe": ("entsoe", ("NL", "secret"), 1),
    "entsoe, wrong token": ("entsoe", ("NL", "wrong-token"), 1),
    "entsoe, nothing published": ("entsoe", ("FR", "secret"), 1),
    "CAISO": ("gridstatus", ("CAISO", "TH_NP15_GEN-APND"), 1),
    "CAISO, failing": ("gridstatus", ("CAISO", "BROKEN"), 0),
    "PJM": ("gridstatus", ("PJM", "51217", "key"), 1),
    "ERCOT": ("gridstatus", ("ERCOT", "HB_NORTH"), 1),
}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """What each call gave, and the double; all in one process that is sent to it.

    A process of its own, because the libraries read addresses and authorities when imported.
    """
    for name in ("entsoe", "gridstatus"):
        pytest.importorskip(name, reason=f"{name} (extra grid) is not installed")
    double = TlsDouble(lambda asked: HOSTS[asked.host.partition(":")[0]](asked),
                       tmp_path_factory.mktemp("tls"))  # fmt: skip
    try:
        calls = [
            (kind, words, DAY.isoformat(), (DAY + timedelta(days=days)).isoformat())
            for kind, words, days in CALLS.values()
        ]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", CODE, json.dumps(calls)],
            env=os.environ | double.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.returncode, done.stderr
        yield dict(zip(CALLS, json.loads(done.stdout.splitlines()[-1]), strict=True)), double
    finally:
        double.close()


def prices(fetched, name):
    found = fetched[0][name]
    assert "error" not in found, found
    return dict(zip(found["at_s"], found["value"], strict=True))


def zipped(name, lines):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(name, "\n".join(lines) + "\n")
    return out.getvalue()


def entsoe_document(prices):
    points = "".join(
        f"<Point><position>{k}</position><price.amount>{p}</price.amount></Point>"
        for k, p in enumerate(prices, start=1)
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Publication_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3">
  <mRID>x</mRID><type>A44</type>
  <TimeSeries>
    <mRID>1</mRID><auction.type>A01</auction.type><businessType>A62</businessType>
    <in_Domain.mRID codingScheme="A01">10YNL----------L</in_Domain.mRID>
    <out_Domain.mRID codingScheme="A01">10YNL----------L</out_Domain.mRID>
    <currency_Unit.name>EUR</currency_Unit.name>
    <price_Measure_Unit.name>MWH</price_Measure_Unit.name>
    <curveType>A03</curveType>
    <Period>
      <timeInterval><start>2026-03-01T23:00Z</start><end>2026-03-02T23:00Z</end></timeInterval>
      <resolution>PT15M</resolution>{points}
    </Period>
  </TimeSeries>
</Publication_MarketDocument>"""


def entsoe(asked):
    xml = {"Content-Type": "application/xml"}
    if asked.query.get("securityToken") != "secret":
        return Answer(b"<html>Unauthorized</html>", 401)
    if int(asked.query.get("offset", 0)) or asked.query["in_Domain"] != "10YNL----------L":
        return Answer(NOTHING, headers=xml)
    assert asked.query["documentType"] == "A44"
    body = entsoe_document([50 + k for k in range(92)] + [-7.5] * 4).encode()
    return Answer(body, headers=xml)


NOTHING = b"""<?xml version="1.0" encoding="UTF-8"?>
<Acknowledgement_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0">
<Reason><code>999</code><text>No matching data found</text></Reason>
</Acknowledgement_MarketDocument>"""


def test_entsoe_day_ahead_prices(fetched):
    value = prices(fetched, "entsoe")
    assert value[DAY.timestamp()] == pytest.approx(0.054)  # 00:00 UTC is the fifth quarter hour
    assert value[DAY.timestamp() + 22 * 3600] == pytest.approx(-0.0075)


def test_entsoe_refusing_the_token_is_told_without_repeating_it(fetched):
    found = fetched[0]["entsoe, wrong token"]
    assert found["error"] == ConfigError.__name__
    assert "wrong-token" not in found["text"]


def test_entsoe_without_a_publication_is_asked_again_later(fetched):
    found = fetched[0]["entsoe, nothing published"]
    assert found["error"] == Unreachable.__name__
    assert "nothing is published" in found["text"]


def caiso(asked):
    assert asked.path == "/oasisapi/SingleZip"
    if asked.query["node"] == "BROKEN":
        return Answer(b"", 503)
    day = datetime.strptime(asked.query["startdatetime"][:8], "%Y%m%d").replace(tzinfo=UTC)
    if day.day > 2:  # tomorrow's market has not cleared
        return Answer(b"<xml/>", headers={"Content-Disposition": "inline; filename=a.xml.zip;"})
    head = (
        "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,OPR_DT,OPR_HR,OPR_INTERVAL,NODE_ID_XML,NODE_ID,"
        "NODE,MARKET_RUN_ID,LMP_TYPE,XML_DATA_ITEM,PNODE_RESMRID,GRP_TYPE,POS,MW,GROUP"
    )
    lines = [head]
    for hour in range(24):
        start, end = (day + timedelta(hours=8 + hour + k) for k in (0, 1))
        for kind, money in (("LMP", 30 + hour), ("MCE", 29), ("MCC", 1), ("MCL", 0), ("MGHG", 0)):
            node = "TH_NP15_GEN-APND"
            lines.append(
                f"{start:%Y-%m-%dT%H:%M:%S}-00:00,{end:%Y-%m-%dT%H:%M:%S}-00:00,{day:%Y-%m-%d},"
                f"{hour + 1},0,{node},{node},{node},DAM,{kind},LMP_PRC,{node},ALL_APNODES,0,"
                f"{money},1"
            )
    name = "20260302_20260303_PRC_LMP_DAM_v12.csv"
    disposition = {"Content-Disposition": "inline; filename=20260302_PRC_LMP_DAM_v12.zip;"}
    return Answer(zipped(name, lines), headers=disposition)


def test_caiso_day_ahead_prices_of_a_hub_even_before_tomorrows_market_has_cleared(fetched):
    value = prices(fetched, "CAISO")
    assert value[(DAY + timedelta(hours=8)).timestamp()] == pytest.approx(0.030)
    assert value[(DAY + timedelta(hours=31)).timestamp()] == pytest.approx(0.053)
    asked = [a for a in fetched[1].asked if a.host.startswith("oasis.caiso.com")]
    assert {a.query["node"] for a in asked} == {"TH_NP15_GEN-APND", "BROKEN"}


def test_an_operator_that_fails_is_asked_again_later(fetched):
    assert fetched[0]["CAISO, failing"]["error"] == Unreachable.__name__


def pjm(asked):
    if asked.headers.get("ocp-apim-subscription-key") != "key":
        return Answer({"message": "Access denied"}, 401)
    if asked.path.endswith("/pnode"):
        node = {"pnode_id": 51217, "pnode_name": "EASTERN HUB", "pnode_type": "Aggregate",
                "pnode_subtype": "HUB", "zone": None, "voltage_level": None,
                "effective_date": "2004-01-01T00:00:00",
                "termination_date": "9999-12-31T00:00:00"}  # fmt: skip
        return Answer({"items": [node], "totalRows": 1, "links": []})
    assert asked.path.endswith("/da_hrl_lmps")
    begin = datetime(2026, 3, int(asked.query["datetime_beginning_ept"][3:5]), tzinfo=UTC)
    items = [
        {"datetime_beginning_utc": f"{begin + timedelta(hours=5 + h):%Y-%m-%dT%H:%M:%S}",
         "datetime_beginning_ept": f"{begin + timedelta(hours=h):%Y-%m-%dT%H:%M:%S}",
         "pnode_id": 51217, "pnode_name": "EASTERN HUB", "voltage": None, "equipment": None,
         "type": "HUB", "zone": None, "system_energy_price_da": 20.0, "total_lmp_da": 20.0 + h,
         "congestion_price_da": 0.0, "marginal_loss_price_da": float(h), "row_is_current": True,
         "version_nbr": 1}
        for h in range(24)
    ]  # fmt: skip
    return Answer({"items": items, "totalRows": len(items), "links": []})


def test_pjm_day_ahead_prices_of_a_node(fetched):
    value = prices(fetched, "PJM")
    assert value[(DAY + timedelta(hours=5)).timestamp()] == pytest.approx(0.020)
    assert value[(DAY + timedelta(hours=28)).timestamp()] == pytest.approx(0.043)


def ercot(asked):
    points = "10008"  # report of the settlement points, by which the library tells hubs from zones
    if asked.path.endswith("IceDocListJsonWS"):
        report = asked.query["reportTypeId"]
        documents = [
            {"Document": {"DocID": f"{report}.{day}", "FriendlyName": "DAMSPNP4190_csv",
                          "ConstructedName": f"cdr.0001{report}.2026030{day - 1}.DAM.csv.zip",
                          "PublishDate": f"2026-03-0{day - 1}T12:30:00-06:00"}}
            for day in (2, 3)
        ]  # fmt: skip
        return Answer({"ListDocsByRptTypeRes": {"DocumentList": documents}})
    report, _, day = asked.query["doclookupId"].partition(".")
    if report == points:
        head = (
            "ELECTRICAL_BUS,NODE_NAME,PSSE_BUS_NAME,VOLTAGE_LEVEL,SUBSTATION,SETTLEMENT_LOAD_ZONE"
        )
        lines = [f"{head},RESOURCE_NODE,HUB_BUS_NAME,HUB", "a,b,c,138,d,LZ_WEST,NODE_1,,"]
        return Answer(zipped("Settlement_Points_03022026.csv", lines))
    lines = ["DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag"]
    lines += [
        f"03/0{day}/2026,{hour:02}:00,{point},{price + hour},N"
        for hour in range(1, 25)
        for point, price in (("HB_NORTH", 10.0), ("LZ_WEST", 500.0))
    ]
    return Answer(zipped("cdr.csv", lines))


def test_ercot_day_ahead_prices_of_a_hub(fetched):
    value = prices(fetched, "ERCOT")
    assert value[(DAY + timedelta(hours=6)).timestamp()] == pytest.approx(0.011)
    assert max(value.values()) == pytest.approx(0.034)


HOSTS = {
    "web-api.tp.entsoe.eu": entsoe,
    "oasis.caiso.com": caiso,
    "api.pjm.com": pjm,
    "www.ercot.com": ercot,
}


def test_an_unknown_operator_or_a_missing_node_is_a_matter_of_configuration():
    with pytest.raises(ConfigError, match="CAISO, PJM, ERCOT"):
        GridStatus("MISO", "x")
    with pytest.raises(ConfigError, match="give location"):
        GridStatus("CAISO", "")


@pytest.mark.parametrize(
    ("module", "made"),
    [("entsoe", Entsoe("NL", "t")), ("gridstatus", GridStatus("CAISO", "x"))],
)
async def test_without_the_extra_the_remedy_is_named(monkeypatch, module, made):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wattcast\[grid\]'"):
        await made.fetch(DAY, DAY)


def test_a_library_that_changes_its_columns_is_noticed(monkeypatch):
    made = GridStatus("CAISO", "x")
    monkeypatch.setattr(GridStatus, "_day", lambda *_: {"Interval Start": []})
    monkeypatch.setitem(sys.modules, "gridstatus", sys)
    with pytest.raises(DataError, match="no column LMP"):
        made._fetch(DAY, DAY)
