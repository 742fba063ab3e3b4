"""What of a batch counts: rows of the time in which its agent held the rack."""

from datetime import UTC, datetime, timedelta

import pytest

from wattcast_coordinator.run.screen import within
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Batch
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import EPOCH

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
STEP_S = 10.0


def at(seconds):
    return AT + timedelta(seconds=seconds)


def batch(*seconds):
    values = (0.0,) * len(FEATURES)
    rows = ((1.0, 2.0, 3.0, 4.0),)
    return Batch(
        1,
        tuple(Sample("m", "inlet.1.power_w", 1.0, at(s)) for s in seconds),
        tuple(Signature("s", at(s), STEP_S, (1.0,), values) for s in seconds),
        tuple(Forecast("s", at(s), STEP_S, rows, Kind.NAIVE, "", "n", 0.0) for s in seconds),
        tuple(DeviceState("d", "pdu", at(s), Quality.GOOD) for s in seconds),
    )


def seconds_of(rows, attribute="at"):
    return [(getattr(row, attribute) - AT).total_seconds() for row in rows]


@pytest.mark.parametrize(
    ("spans", "rows", "steps"),
    [
        ([(EPOCH, None)], [0, 10, 20, 30], [0, 10, 20, 30]),
        ([(EPOCH, at(25))], [0, 10, 20], [0, 10]),
        ([(at(25), None)], [30], [20, 30]),
        ([(at(5), at(15)), (at(28), None)], [10, 30], [0, 20, 30]),
        ([], [], []),
    ],
    ids=["always", "until", "since", "twice", "never"],
)
def test_a_step_belongs_to_whoever_was_there_at_its_end(spans, rows, steps):
    own = within(batch(0, 10, 20, 30), spans)
    assert seconds_of(own.samples) == rows
    assert seconds_of(own.signatures) == steps
    assert seconds_of(own.forecasts, "issued_at") == rows
    assert seconds_of(own.devices) == rows


def test_every_row_has_exactly_one_holder():
    change = at(25)
    whole = batch(*range(0, 60, 5))
    parts = within(whole, [(EPOCH, change)]), within(whole, [(change, None)])
    for kind in ("samples", "signatures", "forecasts", "devices"):
        assert sum(len(getattr(part, kind)) for part in parts) == len(getattr(whole, kind))
