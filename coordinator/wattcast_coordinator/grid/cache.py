"""What providers said, kept over failures and restarts."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from wattcast_coordinator.economy.values import Values
from wattcast_coordinator.grid.provider import PriceCarbon
from wattcast_core.errors import WattcastError
from wattcast_core.units import epoch_s

_KEEP = timedelta(days=8)
_BACK, _AHEAD = timedelta(hours=48), timedelta(hours=36)


@dataclass(slots=True)
class Cache:
    """One provider and the values it gave.

    Attributes:
        provider: asked at most every ``refresh_real_s``.
        path: file that outlives the process.
        factor: what values are multiplied with (an exchange rate).
        known: what may be used.
        fetched_real_s: real time of the last good answer; 0 = never.
        problem: why the last request failed; empty after a good one.
        patience_real_s: how long one call waits for an answer.
    """

    provider: PriceCarbon
    path: Path
    refresh_real_s: float
    factor: float = 1.0
    clock: Callable[[], float] = time.time  # noqa: TID251 - real time of requests, an edge's own
    known: Values = field(default_factory=Values)
    fetched_real_s: float = 0.0
    problem: str = ""
    patience_real_s: float = 60.0
    _asked_real_s: float = float("-inf")
    _asked: asyncio.Future[Values] | None = None

    def load(self) -> None:
        """Take up what an earlier process kept; a damaged file is as good as none."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = Values(tuple(kept["at_s"]), tuple(kept["value"]), float(kept["last_s"]))
            self.fetched_real_s = float(kept["fetched_real_s"])
        except (OSError, ValueError, KeyError, TypeError):
            self.known = Values()

    async def refresh(self, now: datetime) -> None:
        """Ask if it is time to; a failure keeps what is known and says why.

        A request that does not end is waited for, not repeated.

        Args:
            now: data time.
        """
        if self._asked is None:
            if self.clock() - self._asked_real_s < self.refresh_real_s:
                return
            self._asked_real_s = self.clock()
            self._asked = asyncio.ensure_future(self.provider.fetch(now - _BACK, now + _AHEAD))
        done, _ = await asyncio.wait({self._asked}, timeout=self.patience_real_s)
        if not done:
            self.problem = f"no answer for {self.clock() - self._asked_real_s:.0f} s"
            return
        answer, self._asked = self._asked, None
        try:
            self._take(answer.result(), now)
        except WattcastError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - libraries raise what they like; prices end no term
            self.problem = f"{type(error).__name__}: {error}"

    def _take(self, new: Values, now: datetime) -> None:
        scaled = Values(new.at_s, tuple(v * self.factor for v in new.value), new.last_s)
        self.known = self.known.joined(scaled, epoch_s(now - _KEEP))
        self.fetched_real_s, self.problem = self.clock(), ""
        self._save()

    def _save(self) -> None:
        kept = {
            "at_s": self.known.at_s,
            "value": self.known.value,
            "last_s": self.known.last_s,
            "fetched_real_s": self.fetched_real_s,
        }
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(kept), encoding="utf-8")
            part.replace(self.path)
        except OSError as error:  # prices in memory are as good; a full disk stops nobody
            self.problem = f"{self.path} cannot be written ({error.strerror})"
