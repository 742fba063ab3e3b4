import math
from datetime import UTC, datetime

import pytest

from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.errors import DataError
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import (
    Ack,
    Batch,
    Beat,
    Copied,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.samples import Quality, Sample, missing
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2 as pb

AT = datetime(2026, 3, 2, 8, 0, 0, 250_000, tzinfo=UTC)
TAGS = Tags("lab", "r1", "shop", "1.2", "debian 12", 4, "high")
BATCH = Batch(
    7,
    (Sample("pdu-r1-a", "inlet.1.power_w", 2345.5, AT),),
    (
        Signature(
            "r1-s01",
            AT,
            300.0,
            (100.5, 80.25),
            tuple(range(len(FEATURES))),
            TAGS,
            cords_v=(230.0, 229.5),
            cords_pf=(0.98, 0.97),
        ),
        Signature("r1-s02", AT, 300.0, (70.0,), tuple(range(len(FEATURES))), Tags(), Quality.STALE),
    ),
    (Forecast("r1-s01", AT, 300.0, ((1.0, 2.0, 3.0, 4.0),) * 12, Kind.LSTM, "why", "m1", 5.5),),
    (DeviceState("ats-r1", "ats", AT, Quality.STALE, {"ats.active_source": 1.0}, "no answer"),),
    live=False,
)


@pytest.mark.parametrize(
    "message",
    [
        Hello("agent-r1", "r1", (1, 2), 42),
        BATCH,
        CommandResult("c1", "ats-r1", 42, Outcome.MOVED_THEN_RETURNED, "source B lost", AT),
        Beat(1.5, 3, holding=True, leaving=True),
        Copy(2, "{}"),
    ],
    ids=lambda m: type(m).__name__,
)
def test_what_an_agent_says_arrives_unchanged(message):
    raw = wire.encode_agent(message).SerializeToString()
    assert wire.decode_agent(pb.AgentMessage.FromString(raw)) == message


@pytest.mark.parametrize(
    "message",
    [
        Welcome(1, 42, -1),
        Ack(9),
        AtsCommand("c1", 42, 1e9, "ats-r1", "A", "B", 7.5),
        Rejected("no"),
        Lease(1.5, 2.5, 3, "a1", redundant=True, copy="{}"),
        Copied(4),
    ],
    ids=lambda m: type(m).__name__,
)
def test_what_the_coordinator_says_arrives_unchanged(message):
    raw = wire.encode_coordinator(message).SerializeToString()
    assert wire.decode_coordinator(pb.CoordinatorMessage.FromString(raw)) == message


def test_a_gap_stays_a_gap_on_the_wire():
    batch = Batch(1, (missing("m", "inlet.1.power_w", AT),))
    back = wire.decode_agent(wire.encode_agent(batch))
    assert isinstance(back, Batch)
    assert math.isnan(back.samples[0].value)
    assert back.samples[0].quality is Quality.MISSING


def test_rows_of_version_1_are_still_understood_also_beside_blocks():
    row = pb.Signature(
        server="old", at_ms=1000, step_s=300, cords_w=[5], values=range(len(FEATURES)), quality=1,
        tags=pb.Tags(rack="r1", criticality=2),
    )  # fmt: skip
    message = wire.encode_agent(BATCH)
    message.batch.signatures.append(row)
    message.batch.samples.append(pb.Sample(source="m", quantity="power_w", value=3, quality=2))
    back = wire.decode_agent(message)
    assert isinstance(back, Batch)
    assert back.signatures[:2] == list(BATCH.signatures)
    assert (back.signatures[2].server, back.signatures[2].tags.criticality) == ("old", 2)
    assert back.samples[1].quality is Quality.STALE


def _block(**changes):
    block = wire.encode_agent(BATCH).batch.signature_blocks[0]
    for name, value in changes.items():
        block.ClearField(name)
        getattr(block, name).extend(value)
    return pb.AgentMessage(batch=pb.Batch(signature_blocks=[block]))


@pytest.mark.parametrize(
    "message",
    [
        pb.AgentMessage(),
        _block(server=["one"]),
        _block(values=[1, 2]),
        _block(cords=[1, 1]),
        _block(cords_v=[1]),
        _block(tags=[0, 9]),
        _block(quality=[0, 1]),
        _block(quality=[1, 7]),
        pb.AgentMessage(batch=pb.Batch(sample_blocks=[pb.SampleBlock(source=["x"])])),
        pb.AgentMessage(batch=pb.Batch(samples=[pb.Sample(source="x")])),
        pb.AgentMessage(batch=pb.Batch(forecasts=[pb.Forecast(server="x", quantiles_w=[1, 2])])),
        pb.AgentMessage(
            batch=pb.Batch(signatures=[pb.Signature(server="x", values=[1], quality=1)])
        ),
    ],
    ids=[
        "empty",
        "servers missing",
        "short values",
        "cords missing",
        "volts missing",
        "unknown tags",
        "unspecified quality",
        "unknown quality",
        "ragged samples",
        "no quality",
        "ragged forecast",
        "short signature",
    ],
)
def test_a_message_that_cannot_be_trusted_is_a_data_error(message):
    with pytest.raises(DataError):
        wire.decode_agent(message)
