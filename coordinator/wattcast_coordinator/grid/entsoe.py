"""ENTSO-E Transparency Platform by ``entsoe-py``: day-ahead prices of a bidding zone.

Document type A44 (article 12.1.D), money a MWh; prices of the next day appear about 13:00 CET.
Source: https://documenter.getpostman.com/view/7009892/2s93JtP3F6 and
https://github.com/EnergieID/entsoe-py (its variable ENTSOE_ENDPOINT_URL names another endpoint).
"""

import importlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wattcast_coordinator.economy.values import Values, values
from wattcast_coordinator.grid.blocking import in_daemon
from wattcast_core.errors import ConfigError, MissingExtraError, Unreachable

_TIMEOUT_REAL_S = 30


@dataclass(frozen=True, slots=True)
class Entsoe:
    """One bidding zone, e.g. ``DE_LU``, ``FR``, ``NL``."""

    zone: str
    token: str

    async def fetch(self, begin: datetime, end: datetime) -> Values:
        """Published prices of the span; the library blocks, so it runs in a thread."""
        return await in_daemon(lambda: self._fetch(begin, end))

    def _fetch(self, begin: datetime, end: datetime) -> Values:
        entsoe, pandas, requests = _libraries()
        place = f"ENTSO-E, zone {self.zone}"
        client = entsoe.EntsoePandasClient(
            api_key=self.token, retry_count=1, retry_delay=0, timeout=_TIMEOUT_REAL_S
        )
        span = {"start": pandas.Timestamp(begin), "end": pandas.Timestamp(end)}
        try:
            prices = client.query_day_ahead_prices(self.zone, **span)
        except entsoe.exceptions.NoMatchingDataError as error:
            raise Unreachable(f"{place}: nothing is published for {begin:%Y-%m-%d}") from error
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in {401, 403}:
                raise ConfigError(f"{place}: the token is refused ({status})") from error
            raise Unreachable(f"{place}: it answers {status}") from error
        except requests.RequestException as error:
            raise Unreachable(f"{place}: no answer ({type(error).__name__})") from error
        except ValueError as error:
            raise ConfigError(f"{place}: zone or answer not understood: {error}") from error
        at_s = [stamp.timestamp() for stamp in prices.index]
        return values(at_s, [float(p) / 1000 for p in prices.to_numpy()], place)


def _libraries() -> tuple[Any, Any, Any]:
    try:
        entsoe = importlib.import_module("entsoe")
        importlib.import_module("entsoe.exceptions")
        return entsoe, importlib.import_module("pandas"), importlib.import_module("requests")
    except ImportError as error:
        raise MissingExtraError("entsoe-py", "grid") from error
