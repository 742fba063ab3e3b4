"""A stateful workload as the engine contract describes it: records in a journal behind a gate.

Arguments: port, folder.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from http_double import as_json, serve

LEASES = {"generation": 0, "until": 0.0, "released": False, "inflight": 0, "held": 0}


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.load()

    def load(self) -> int:
        self.records = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("a+b", buffering=0)
        for line in self.path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                record = json.loads(line)
                self.records[record["id"]] = record["body"]
        return len(self.records)

    def put(self, ident: str, body: bytes) -> None:
        self.file.write(as_json({"id": ident, "body": body.decode()}) + b"\n")
        self.records[ident] = body.decode()


def held() -> bool:
    return time.monotonic() < LEASES["until"] and not LEASES["released"]


async def control(journal: Journal, path: str, body: bytes) -> tuple[int, bytes]:
    if path.endswith("/quiesce"):
        LEASES["generation"] += 1
        LEASES["until"] = time.monotonic() + json.loads(body)["lease_s"]
        while LEASES["inflight"] > LEASES["held"]:  # noqa: ASYNC110 - a double, polling is plain
            await asyncio.sleep(0.002)
    elif path.endswith("/release"):
        if not held() or json.loads(body)["generation"] != LEASES["generation"]:
            return 409, b"{}"
        LEASES["released"] = True
    elif path.endswith("/reload"):
        journal.load()
    left_s = max(0.0, LEASES["until"] - time.monotonic())
    return 200, as_json(
        {
            "generation": LEASES["generation"],
            "quiesced": held(),
            "lease_remaining_s": left_s,
            "released": LEASES["released"],
            "records": len(journal.records),
            "inflight": LEASES["inflight"],
        }
    )


async def request(journal: Journal, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    LEASES["held"] += 1
    while held():  # noqa: ASYNC110 - a double, polling is plain
        await asyncio.sleep(0.005)
    LEASES["held"] -= 1
    if LEASES["released"]:
        return 503, b"moved"
    if path == "/records":
        return 200, as_json({"records": sorted(journal.records)})
    ident = path.removeprefix("/records/")
    if method == "PUT":
        await asyncio.sleep(0.002)
        journal.put(ident, body)
        return 200, b"{}"
    if ident not in journal.records:
        return 404, b""
    return 200, journal.records[ident].encode()


async def main(port: int, folder: Path) -> None:
    journal = Journal(folder / "journal")

    async def handle(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/health":
            return 503 if LEASES["released"] else 200, b"{}"
        if path.startswith("/control/"):
            return await control(journal, path, body)
        LEASES["inflight"] += 1
        try:
            return await request(journal, method, path, body)
        finally:
            LEASES["inflight"] -= 1

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await serve("127.0.0.1", port, handle)
    await stop.wait()
    server.close()


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
