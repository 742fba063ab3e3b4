"""Domain twins to protobuf and back; the only place that knows both."""

from typing import assert_never

from wattcast_core.columns import (
    SampleColumns,
    SignatureColumns,
    from_milliseconds,
    milliseconds,
)
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.errors import DataError
from wattcast_core.forecast import QUANTILES, Forecast, Kind
from wattcast_core.messages import (
    Ack,
    AgentMessage,
    Batch,
    Beat,
    Champions,
    CoordinatorMessage,
    Copied,
    Copy,
    Hello,
    Lease,
    Rejected,
    Welcome,
)
from wattcast_core.models import Champion, ModelReport, Stage
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature
from wattcast_proto.blocks import (
    decode_samples,
    decode_signatures,
    decode_tags,
    encode_samples,
    encode_signatures,
)
from wattcast_proto.v1 import agent_pb2 as pb

_QUALITY = {q: pb.Quality.Value(f"QUALITY_{q.name}") for q in Quality}
_KIND = {k: pb.ForecastKind.Value(f"FORECAST_KIND_{k.name}") for k in Kind}
_OUTCOME = {o: pb.Outcome.Value(f"OUTCOME_{o.name}") for o in Outcome}
_STAGE = {s: pb.ModelStage.Value(f"MODEL_STAGE_{s.name}") for s in Stage}
_QUALITY_BACK = {v: k for k, v in _QUALITY.items()}
_KIND_BACK = {v: k for k, v in _KIND.items()}
_OUTCOME_BACK = {v: k for k, v in _OUTCOME.items()}
_STAGE_BACK = {v: k for k, v in _STAGE.items()}


def _sample_back(m: pb.Sample) -> Sample:
    return Sample(
        m.source, m.quantity, m.value, from_milliseconds(m.at_ms), _QUALITY_BACK[m.quality]
    )


def _signature_back(m: pb.Signature) -> Signature:
    if len(m.values) != len(FEATURES):
        raise DataError(
            f"signature of {m.server}: {len(m.values)} values, expected {len(FEATURES)};"
            " agent and coordinator must run the same protocol version"
        )
    return Signature(
        m.server,
        from_milliseconds(m.at_ms),
        m.step_s,
        tuple(m.cords_w),
        tuple(m.values),
        decode_tags(m.tags),
        _QUALITY_BACK[m.quality],
    )


def _forecast(f: Forecast) -> pb.Forecast:
    return pb.Forecast(
        server=f.server,
        issued_at_ms=milliseconds(f.issued_at),
        step_s=f.step_s,
        quantiles_w=[w for row in f.quantiles_w for w in row],
        kind=_KIND[f.kind],
        reason=f.reason,
        model_id=f.model_id,
        sampled_real_s=f.sampled_real_s,
    )


def _forecast_back(m: pb.Forecast) -> Forecast:
    n = len(QUANTILES)
    if not m.quantiles_w or len(m.quantiles_w) % n:
        raise DataError(f"forecast of {m.server}: {len(m.quantiles_w)} values, want {n} a step")
    rows = tuple(tuple(m.quantiles_w[i : i + n]) for i in range(0, len(m.quantiles_w), n))
    return Forecast(
        m.server,
        from_milliseconds(m.issued_at_ms),
        m.step_s,
        rows,
        _KIND_BACK[m.kind],
        m.reason,
        m.model_id,
        m.sampled_real_s,
    )


def _device(d: DeviceState) -> pb.DeviceState:
    return pb.DeviceState(
        device=d.device,
        kind=d.kind,
        at_ms=milliseconds(d.at),
        quality=_QUALITY[d.quality],
        readings=dict(d.readings),
        problem=d.problem,
    )


def _device_back(m: pb.DeviceState) -> DeviceState:
    quality = _QUALITY_BACK[m.quality]
    return DeviceState(
        m.device, m.kind, from_milliseconds(m.at_ms), quality, dict(m.readings), m.problem
    )


def _batch(b: Batch) -> pb.Batch:
    samples, signatures = SampleColumns.of(b.samples), SignatureColumns.of(b.signatures)
    return pb.Batch(
        sequence=b.sequence,
        sample_blocks=[encode_samples(samples)] if samples else [],
        signature_blocks=[encode_signatures(signatures)] if signatures else [],
        forecasts=map(_forecast, b.forecasts),
        devices=map(_device, b.devices),
        live=b.live,
    )


def _batch_back(m: pb.Batch) -> Batch:
    samples = list(map(decode_samples, m.sample_blocks))
    signatures = list(map(decode_signatures, m.signature_blocks))
    if m.samples:
        samples.append(SampleColumns.of(tuple(map(_sample_back, m.samples))))
    if m.signatures:
        signatures.append(SignatureColumns.of(tuple(map(_signature_back, m.signatures))))
    return Batch(
        m.sequence,
        SampleColumns.join(samples) if samples else (),
        SignatureColumns.join(signatures) if signatures else (),
        tuple(map(_forecast_back, m.forecasts)),
        tuple(map(_device_back, m.devices)),
        m.live,
    )


def _command(c: AtsCommand) -> pb.AtsCommand:
    return pb.AtsCommand(
        id=c.id,
        token=c.token,
        expires_real_s=c.expires_real_s,
        ats=c.ats,
        from_source=c.from_source,
        to_source=c.to_source,
        most_a=c.most_a,
    )


def _result(r: CommandResult) -> pb.CommandResult:
    return pb.CommandResult(
        id=r.id,
        ats=r.ats,
        token=r.token,
        outcome=_OUTCOME[r.outcome],
        why=r.why,
        at_ms=milliseconds(r.at),
    )


def _lease(e: Lease) -> pb.Lease:
    return pb.Lease(
        sent_real_s=e.sent_real_s,
        real_s=e.real_s,
        epoch=e.epoch,
        holder=e.holder,
        redundant=e.redundant,
        copy=e.copy,
    )


def _champion(c: Champion) -> pb.Champion:
    return pb.Champion(
        application=c.application, id=c.id, sha256=c.sha256, size=c.size, schema=c.schema
    )


def _report(r: ModelReport) -> pb.ModelReport:
    return pb.ModelReport(
        application=r.application, id=r.id, sha256=r.sha256, stage=_STAGE[r.stage], why=r.why
    )


def _report_back(m: pb.ModelReport) -> ModelReport:
    return ModelReport(m.application, m.id, m.sha256, _STAGE_BACK[m.stage], m.why)


def encode_agent(message: AgentMessage) -> pb.AgentMessage:
    """Wire form of a message from an agent."""
    match message:
        case Hello(agent, rack, versions, highest_token, features):
            hello = pb.Hello(
                agent=agent,
                rack=rack,
                versions=versions,
                highest_token=highest_token,
                features=features,
            )
            return pb.AgentMessage(hello=hello)
        case Batch():
            return pb.AgentMessage(batch=_batch(message))
        case CommandResult():
            return pb.AgentMessage(result=_result(message))
        case Beat(sent_real_s, epoch, holding, leaving):
            beat = pb.Beat(sent_real_s=sent_real_s, epoch=epoch, holding=holding, leaving=leaving)
            return pb.AgentMessage(beat=beat)
        case Copy(number, text):
            return pb.AgentMessage(copy=pb.Copy(number=number, text=text))
        case ModelReport():
            return pb.AgentMessage(report=_report(message))
        case _:
            assert_never(message)


def decode_agent(m: pb.AgentMessage) -> AgentMessage:
    """Domain form of a message from an agent.

    Raises:
        DataError: the message is empty, or of an unknown kind, quality or shape.
    """
    try:
        match m.WhichOneof("kind"):
            case "hello":
                h = m.hello
                features = tuple(h.features)
                return Hello(h.agent, h.rack, tuple(h.versions), h.highest_token, features)
            case "batch":
                return _batch_back(m.batch)
            case "result":
                r = m.result
                outcome = _OUTCOME_BACK[r.outcome]
                return CommandResult(
                    r.id, r.ats, r.token, outcome, r.why, from_milliseconds(r.at_ms)
                )
            case "beat":
                b = m.beat
                return Beat(b.sent_real_s, b.epoch, b.holding, b.leaving)
            case "copy":
                return Copy(m.copy.number, m.copy.text)
            case "report":
                return _report_back(m.report)
    except KeyError as error:
        raise DataError(f"message from an agent: unknown enum value {error}") from error
    raise DataError("message from an agent: empty or newer than this coordinator")


def encode_coordinator(message: CoordinatorMessage) -> pb.CoordinatorMessage:
    """Wire form of a message from the coordinator."""
    match message:
        case Welcome(version, token, acknowledged):
            welcome = pb.Welcome(version=version, token=token, acknowledged=acknowledged)
            out = pb.CoordinatorMessage(welcome=welcome)
        case Ack(sequence):
            out = pb.CoordinatorMessage(ack=pb.Ack(sequence=sequence))
        case AtsCommand():
            out = pb.CoordinatorMessage(command=_command(message))
        case Rejected(why):
            out = pb.CoordinatorMessage(rejected=pb.Rejected(why=why))
        case Lease():
            out = pb.CoordinatorMessage(lease=_lease(message))
        case Copied(number):
            out = pb.CoordinatorMessage(copied=pb.Copied(number=number))
        case Champions(champions):
            told = pb.Champions(champions=map(_champion, champions))
            out = pb.CoordinatorMessage(champions=told)
        case _:
            assert_never(message)
    return out


def decode_coordinator(m: pb.CoordinatorMessage) -> CoordinatorMessage:
    """Domain form of a message from the coordinator.

    Raises:
        DataError: the message is empty or of a kind this agent does not know.
    """
    out: CoordinatorMessage
    match m.WhichOneof("kind"):
        case "welcome":
            out = Welcome(m.welcome.version, m.welcome.token, m.welcome.acknowledged)
        case "ack":
            out = Ack(m.ack.sequence)
        case "command":
            c = m.command
            out = AtsCommand(
                c.id, c.token, c.expires_real_s, c.ats, c.from_source, c.to_source, c.most_a
            )
        case "rejected":
            out = Rejected(m.rejected.why)
        case "lease":
            e = m.lease
            out = Lease(e.sent_real_s, e.real_s, e.epoch, e.holder, e.redundant, e.copy)
        case "copied":
            out = Copied(m.copied.number)
        case "champions":
            told = m.champions.champions
            out = Champions(
                tuple(Champion(c.application, c.id, c.sha256, c.size, c.schema) for c in told)
            )
        case _:
            raise DataError("message from the coordinator: empty or newer than this agent")
    return out
