"""The past days of all servers by the hour, as studies look at them."""

from datetime import datetime, timedelta

import numpy as np

from wattcast_coordinator.store.queue import AsyncStore
from wattcast_coordinator.study.days import hour_floor
from wattcast_coordinator.study.recording import Past
from wattcast_core.errors import StoreUnavailable

DAYS = 7  # as long as raw rows are kept by default
_HOUR = timedelta(hours=1)


async def past(store: AsyncStore, now: datetime) -> Past | None:
    """Whole hours before ``now``; None if the database does not answer, or knows none."""
    begin, end = hour_floor(now) - timedelta(days=DAYS), hour_floor(now)
    try:
        rows = await store.hours(begin)
    except StoreUnavailable:
        return None
    hours = int((end - begin) / _HOUR)
    mean_w: dict[str, np.ndarray] = {}
    peak_w: dict[str, np.ndarray] = {}
    for row in rows:
        at = int((row.at - begin) / _HOUR)
        if 0 <= at < hours:
            for table, value in ((mean_w, row.mean_w), (peak_w, row.peak_w)):
                table.setdefault(row.server, np.full(hours, np.nan))[at] = value
    if not mean_w:
        return None
    tables = ({k: tuple(v.tolist()) for k, v in table.items()} for table in (mean_w, peak_w))
    return Past(begin, *tables)
