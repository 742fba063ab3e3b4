"""Batches of a small rack, one a step."""

import math
from datetime import UTC, datetime, timedelta

from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Batch
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature, Tags

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=300)


def batch(sequence, servers=("s1", "s2"), power_w=100.0, samples=4, application="shop"):
    """Everything of step ``sequence``."""
    at = START + sequence * STEP
    tags = Tags("site", "r1", application)
    cpu = (math.nan, *range(1, len(FEATURES)))
    return Batch(
        sequence,
        tuple(Sample(f"pdu{n}", "inlet.1.power_w", n * 1.5, at) for n in range(samples)),
        tuple(Signature(s, at, 300.0, (power_w, sequence), cpu, tags) for s in servers),
        tuple(
            Forecast(s, at, 300.0, ((1.0, 2.0, 3.0, 4.0),) * 12, kind, "why", "m1", 1.5)
            for s, kind in zip(servers, (Kind.LSTM, Kind.NAIVE), strict=False)
        ),
        (DeviceState("ats1", "ats", at, Quality.GOOD, {"ats.active_source": 1.0}),),
    )
