"""The coordinator's ear: the real gRPC server, which acknowledges and counts."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from wattcast_coordinator.api.agents import AgentServer
from wattcast_core.commands import CommandResult
from wattcast_core.messages import PROTOCOL_VERSION, Batch, Beat, Copy, Hello, Lease, Welcome
from wattcast_core.models import ModelReport


@dataclass(frozen=True)
class Heard:
    """What was known when a batch came that tells how the agent is.

    Attributes:
        at_s: monotonic time.
        forecasts: received so far.
        health: what the agent told of itself.
    """

    at_s: float
    forecasts: int
    health: Mapping[str, float]


class Ear:
    """Takes all that an agent sends.

    Attributes:
        heard: one entry a step.
        forecasts: received so far.
    """

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.forecasts = 0
        self._acknowledged = -1
        self._server = AgentServer(self)

    async def start(self) -> str:
        """Listen; returns ``host:port``."""
        return f"127.0.0.1:{await self._server.start('127.0.0.1:0')}"

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop(0)

    async def on_hello(self, _hello: Hello) -> Welcome:
        """Welcome it."""
        return Welcome(PROTOCOL_VERSION, 1, self._acknowledged)

    async def see(self, agent: str, batch: Batch) -> Batch:
        """Note what it brings."""
        self.forecasts += len(batch.forecasts)
        for device in batch.devices:
            if device.device == agent:
                self.heard.append(Heard(time.monotonic(), self.forecasts, device.readings))
        return batch

    async def keep(self, _agent: str, batch: Batch) -> None:
        """Acknowledge it: nobody here needs it."""
        self._acknowledged = batch.sequence

    async def on_result(self, result: CommandResult) -> None:
        """No command is ever sent."""

    async def on_beat(self, agent: str, beat: Beat) -> Lease:
        """The agent reads its rack alone."""
        return Lease(beat.sent_real_s, time.time(), 1, agent)

    async def on_copy(self, _agent: str, _copy: Copy) -> bool:
        """There is no partner to keep it for."""
        return False

    async def on_report(self, agent: str, report: ModelReport) -> None:
        """It runs its own model."""

    async def on_gone(self, agent: str) -> None:
        """Nothing to do."""
