"""Three feeds, three racks: two servers and an appliance behind a transfer switch in each."""

from wattcast_core.clock import DataClock, Segment

SPEED = 400.0  # a step is three quarters of a real second
STEP_S = 300.0
DATA_START_S = 1_700_000_100.0
RACKS = {"r0": "AB", "r1": "BC", "r2": "CA"}
SERVER_W, APPLIANCE_W, SURGE_W = 100.0, 50.0, 460.0
LIMITS_W = {"A": 600.0, "B": 1000.0, "C": 1000.0}  # a surge in r0 is too much for A, not for B

SITE = {
    "name": "small",
    "feed": [{"id": f, "limit_w": w, "limit_n1_w": 3000.0} for f, w in LIMITS_W.items()],
    "pdu": [
        {"id": f"{r}-{f}", "rack": r, "feed": f, "limit_w": 3000.0, "limit_n1_w": 3000.0}
        for r, feeds in RACKS.items()
        for f in feeds
    ],
    "ats": [
        {"id": f"{r}-ats", "rack": r, "source_a": f"{r}-{a}", "source_b": f"{r}-{b}",
         "rating_w": 2000.0}
        for r, (a, b) in RACKS.items()
    ],
    "server": [
        *(
            {"id": f"{r}-s{n}", "rack": r, "cords": [f"{r}-{a}", f"{r}-{b}"],
             "shares": [0.5, 0.5], "idle_w": 80.0, "full_w": 300.0}
            for r, (a, b) in RACKS.items()
            for n in range(2)
        ),
        *(
            {"id": f"{r}-sw", "rack": r, "cords": [f"{r}-ats"], "shares": [1.0],
             "idle_w": APPLIANCE_W, "full_w": 500.0}
            for r in RACKS
        ),
    ],
}  # fmt: skip


def control(began_real_s):
    return {
        "id": "c1",
        "site": "site.toml",
        "state_dir": "state",
        "listen": {
            "grpc": "127.0.0.1:0",
            "rest": "127.0.0.1:0",
            "cluster": f"test-{began_real_s:.6f}",
            "interface": "127.0.0.1",
        },
        "etcd": {"ttl_s": 2},
        "decision": {"confirm": 1, "confirm_of": 2},
        "redirector": {"kind": "envoy", "dir": "proxy"},
        "clock": {"segments": [[began_real_s, DATA_START_S, SPEED]]},
    }


def clock(began_real_s):
    return DataClock((Segment(began_real_s, DATA_START_S, SPEED),))
