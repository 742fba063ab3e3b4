"""An agent without devices: the real protocol, a spool in memory, a switch that obeys at once."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

import grpc
import grpc.aio
from small_site import APPLIANCE_W, RACKS, SERVER_W, STEP_S, SURGE_W

from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Ack, Batch, Hello, Rejected, Welcome
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import step_floor
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2_grpc

_PERIOD_S, _RETRY_S = 0.2, 0.1
_HORIZON, _SURGE_FROM = 12, 6


class AgentDouble:
    """Sends forecasts of every step; ``port`` 0 keeps it silent.

    Attributes:
        surge: forecasts that the appliance will draw too much for its feed.
        mute: carries commands out, but its answers get lost.
        paused: produces nothing new.
    """

    def __init__(self, name, rack, clock, highest_token=0):
        self.name, self.rack, self.clock, self.port = name, rack, clock, 0
        self.highest_token = highest_token
        self.surge = self.mute = self.paused = False
        self.source = 1
        self.welcomes, self.rejections, self.commands = [], [], []
        self.sent, self.acked, self.results = {}, set(), {}
        self.replay, self.heard = [], set()
        self._issued = None

    async def run(self):
        while True:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                if self.port:
                    await self._session()
            await asyncio.sleep(_RETRY_S)

    async def _session(self):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = agent_pb2_grpc.AgentLinkStub(channel).Connect()
            hello = Hello(self.name, self.rack, highest_token=self.highest_token)
            await call.write(wire.encode_agent(hello))
            answer = wire.decode_coordinator(await call.read())
            if isinstance(answer, Rejected):
                self.rejections.append(answer.why)
                return
            assert isinstance(answer, Welcome)
            self.welcomes.append(answer)
            hearing = asyncio.create_task(self._hear(call))
            try:
                await self._send(call, hearing, answer.acknowledged)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _send(self, call, hearing, acknowledged):
        for batch in [b for s, b in self.sent.items() if s > acknowledged]:
            await call.write(wire.encode_agent(batch))
        while not hearing.done():
            for batch in self.replay:
                await call.write(wire.encode_agent(batch))
            self.replay = []
            if not self.paused:
                batch = self._batch()
                self.sent[batch.sequence] = batch
                await call.write(wire.encode_agent(batch))
            await asyncio.sleep(_PERIOD_S)

    async def _hear(self, call):
        while (reply := await call.read()) is not grpc.aio.EOF:
            match wire.decode_coordinator(reply):
                case Ack(sequence):
                    self.heard.add(sequence)
                    self.acked |= {s for s in self.sent if s <= sequence}
                case AtsCommand() as command:
                    self.commands.append(command)
                    result = self._obey(command)
                    if not self.mute:
                        await call.write(wire.encode_agent(result))

    def _obey(self, command):
        self.highest_token = max(self.highest_token, command.token)
        if command.id not in self.results:
            self.source = "AB".index(command.to_source) + 1
            self.results[command.id] = CommandResult(
                command.id, command.ats, command.token, Outcome.TRANSFERRED, "", self.now
            )
        return self.results[command.id]

    @property
    def now(self):
        return self.clock.now(time.time())

    def _batch(self):
        now, at = self.now, step_floor(self.now, STEP_S)
        new = at != self._issued
        self._issued = at
        servers = {f"{self.rack}-s{n}": SERVER_W for n in range(2)}
        servers[f"{self.rack}-sw"] = APPLIANCE_W
        return Batch(
            max(self.sent, default=-1) + 1,
            (Sample(f"{self.rack}-ats", "ats.active_source", float(self.source), now),),
            tuple(self._signature(s, w, at) for s, w in servers.items() if new),
            tuple(self._forecast(s, w, at) for s, w in servers.items() if new),
            self._devices(now),
        )

    def _signature(self, server, watts, at):
        cords = (watts,) if server.endswith("sw") else (watts / 2, watts / 2)
        start = at - timedelta(seconds=STEP_S)
        return Signature(server, start, STEP_S, cords, (1.0,) * len(FEATURES))

    def _forecast(self, server, watts, at):
        high = self.surge and server.endswith("sw")
        rows = []
        for h in range(_HORIZON):
            middle = SURGE_W if high and h >= _SURGE_FROM else watts
            rows.append((middle - 2, middle, middle + 2, middle + 4))
        return Forecast(server, at, STEP_S, tuple(rows), Kind.NAIVE, "double", "naive", time.time())

    def _devices(self, now):
        readings = {
            "ats.active_source": float(self.source),
            "ats.preferred_source": float(self.source),
        }
        return (
            DeviceState(f"{self.rack}-ats", "ats", now, Quality.GOOD, readings),
            *(
                DeviceState(f"{self.rack}-{feed}", "pdu", now, Quality.GOOD,
                            {"inlet.1.voltage_v": 230.0, "inlet.1.power_w": 125.0})
                for feed in RACKS[self.rack]
            ),
        )  # fmt: skip
