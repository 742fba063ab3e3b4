"""A stateful Redfish service on loopback: a rack PDU after DMTF's mock-up, a transfer switch."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DATA = Path(__file__).parent / "data" / "redfish"  # example bodies of gofish (BSD-3-Clause)
ROOT = "/redfish/v1"
PDU, ATS = f"{ROOT}/PowerEquipment/RackPDUs/1", f"{ROOT}/PowerEquipment/TransferSwitches/1"
USER, PASSWORD = "watt", "a-secret"


def ref(uri):
    return {"@odata.id": uri}


def collection(uri, names):
    return {
        "@odata.id": uri,
        "@odata.type": "#Collection.Collection",
        "Members": [ref(f"{uri}/{name}") for name in names],
        "Members@odata.count": len(names),
    }


def load(name, uri, **changed):
    return json.loads((DATA / f"{name}.json").read_text()) | {"@odata.id": uri} | changed


def mains(uri, name, volt, amp):
    return {
        "@odata.id": uri,
        "@odata.type": "#Circuit.v1_7_0.Circuit",
        "Id": name,
        "Name": f"Mains {name}",
        "CircuitType": "Mains",
        "Status": {"State": "Enabled", "Health": "OK"},
        "Voltage": {"Reading": volt},
        "FrequencyHz": {"Reading": 50},
        "CurrentAmps": {"Reading": amp},
        "PowerWatts": {"Reading": volt * amp},
    }


def rack_pdu(outlets):
    found = {PDU: load("PowerDistribution", PDU)}
    found[f"{PDU}/Metrics"] = load("PowerDistributionMetrics", f"{PDU}/Metrics")
    found[f"{PDU}/Mains"] = collection(f"{PDU}/Mains", ["AC1"])
    found[f"{PDU}/Mains/AC1"] = load("Circuit", f"{PDU}/Mains/AC1", Id="AC1", CircuitType="Mains")
    found[f"{PDU}/Branches"] = collection(f"{PDU}/Branches", ["A"])
    found[f"{PDU}/Branches/A"] = load("Circuit", f"{PDU}/Branches/A")
    names = [f"A{n}" for n in range(1, outlets + 1)]
    found[f"{PDU}/Outlets"] = collection(f"{PDU}/Outlets", names)
    for n, name in enumerate(names, 1):
        uri = f"{PDU}/Outlets/{name}"
        found[uri] = load("Outlet", uri, Id=name, PowerWatts={"Reading": 10.0 * n})
    return found


def transfer_switch():
    found = {
        ATS: {
            "@odata.id": ATS,
            "@odata.type": "#PowerDistribution.v1_6_0.PowerDistribution",
            "Id": "1",
            "Name": "ATS 1",
            "EquipmentType": "AutomaticTransferSwitch",
            "Manufacturer": "Contoso",
            "Model": "Switch 16",
            "Status": {"State": "Enabled", "Health": "OK"},
            "Mains": ref(f"{ATS}/Mains"),
            "TransferConfiguration": {
                "ActiveMainsId": "Utility1",
                "PreferredMainsId": "Utility1",
                "AutoTransferEnabled": True,
                "TransferInhibit": False,
            },
            "Actions": {
                "#PowerDistribution.TransferControl": {
                    "target": f"{ATS}/Actions/PowerDistribution.TransferControl"
                }
            },
        },
        f"{ATS}/Mains": collection(f"{ATS}/Mains", ["1", "2"]),  # not by their Ids
    }
    for row, name, volt, amp in (("1", "Utility1", 231.0, 4.0), ("2", "Generator", 229.0, 0.0)):
        found[f"{ATS}/Mains/{row}"] = mains(f"{ATS}/Mains/{row}", name, volt, amp)
    return found


def root(equipment, *, expands):
    service = {
        "@odata.id": f"{ROOT}/",
        "@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot",
        "RedfishVersion": "1.18.0",
        "PowerEquipment": ref(f"{ROOT}/PowerEquipment"),
        "Links": {"Sessions": ref(f"{ROOT}/SessionService/Sessions")},
        "ProtocolFeaturesSupported": {"ExpandQuery": {"NoLinks": expands}},
    }
    found = {f"{ROOT}/": service, f"{ROOT}/PowerEquipment": load("PowerEquipment", ROOT)}
    for name in ("RackPDUs", "FloorPDUs", "TransferSwitches"):
        uri = f"{ROOT}/PowerEquipment/{name}"
        found[uri] = collection(uri, ["1"] if f"{uri}/1" in equipment else [])
    return found | equipment


class Service:
    """The service and what it was asked.

    Attributes:
        follows: the active mains follows the preferred one, after ``delay_real_s``.
        requests: (method, path) of each request; ``writes``: bodies of PATCH.
        open_sessions: tokens that are logged in; with ``anonymous`` nobody needs one.
        meddles: somebody else changes the resource before each write.
    """

    def __init__(self, equipment, *, anonymous=True, expands=False, context=None):
        self.resources = root(equipment, expands=expands)
        self.anonymous, self.expands, self.follows, self.meddles = anonymous, expands, True, False
        self.delay_real_s = 0.1
        self.requests, self.writes, self.open_sessions = [], [], set()
        self._tokens = 0
        self._versions = dict.fromkeys(self.resources, 1)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"service": self})
        )
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def etag(self, uri):
        return f'W/"{self._versions[uri]}"'

    def get(self, uri, query):
        body = self.resources.get(uri)
        if body is not None and self.expands and "$expand=" in query and "Members" in body:
            members = [self.resources[m["@odata.id"]] for m in body["Members"]]
            body = body | {"Members": members}
        return body

    def log_in(self, who):
        if (who.get("UserName"), who.get("Password")) != (USER, PASSWORD):
            return ""
        self._tokens += 1
        token = f"token-{self._tokens}"
        self.open_sessions.add(token)
        return token

    def patch(self, uri, body, if_match):
        """Status of the answer."""
        with self._lock:
            if self.meddles:
                self._versions[uri] += 1
            if if_match and if_match != self.etag(uri):
                return 412
            preferred = body.get("TransferConfiguration", {}).get("PreferredMainsId")
            known = [self.resources[m["@odata.id"]]["Id"] for m in self._mains(uri)]
            if list(body) != ["TransferConfiguration"] or preferred not in known:
                return 400
            self.writes.append(body)
            self._versions[uri] += 1
            self.resources[uri]["TransferConfiguration"]["PreferredMainsId"] = preferred
        if self.follows:
            threading.Timer(self.delay_real_s, self._move, (uri, preferred)).start()
        return 200

    def _mains(self, uri):
        return self.resources[f"{uri}/Mains"]["Members"]

    def _move(self, uri, active):
        self.resources[uri]["TransferConfiguration"]["ActiveMainsId"] = active
        for member in self._mains(uri):
            circuit = self.resources[member["@odata.id"]]
            circuit["CurrentAmps"]["Reading"] = 4.0 if circuit["Id"] == active else 0.0


class Handler(BaseHTTPRequestHandler):
    service = None  # set in a subclass
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        uri, _, query = self.path.partition("?")
        self.service.requests.append(("GET", self.path))
        if uri != f"{ROOT}/" and not self._may():
            return self._answer(401, {})
        body = self.service.get(uri, query)
        headers = {"ETag": self.service.etag(uri)} if body is not None else {}
        return self._answer(404 if body is None else 200, body or {}, headers)

    def do_POST(self):
        self.service.requests.append(("POST", self.path))
        body = self._body()
        if self.path != f"{ROOT}/SessionService/Sessions":
            return self._answer(200, {})
        token = self.service.log_in(body)
        if not token:
            error = {"error": {"@Message.ExtendedInfo": [{"Message": "wrong password"}]}}
            return self._answer(401, error)
        where = {"X-Auth-Token": token, "Location": f"{self.path}/{token}"}
        return self._answer(201, {}, where)

    def do_DELETE(self):
        self.service.open_sessions.discard(self.path.rpartition("/")[2])
        self._answer(204, None)

    def do_PATCH(self):
        self.service.requests.append(("PATCH", self.path))
        body = self._body()
        if not self._may():
            return self._answer(401, {})
        return self._answer(self.service.patch(self.path, body, self.headers.get("If-Match")), {})

    def _may(self):
        return (
            self.service.anonymous or self.headers.get("X-Auth-Token") in self.service.open_sessions
        )

    def _body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status, body, headers=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def wait_for(condition, real_s=5.0):
    deadline = time.monotonic() + real_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
