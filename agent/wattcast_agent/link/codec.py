"""Batches as bytes for the spool, and spooled bytes as messages."""

from collections.abc import Iterable

from wattcast_core.messages import Batch
from wattcast_proto import wire
from wattcast_proto.v1 import agent_pb2 as pb


def pack(batch: Batch) -> bytes:
    """Bytes to keep; the sequence is given when they are sent."""
    return wire.encode_agent(batch).batch.SerializeToString()


def join(rows: Iterable[tuple[int, bytes]], *, live: bool) -> pb.AgentMessage:
    """One message of consecutive batches, with the sequence of the last.

    Raises:
        google.protobuf.message.DecodeError: a body is damaged.
    """
    message = pb.AgentMessage()
    for sequence, body in rows:
        message.batch.MergeFromString(body)
        message.batch.sequence = sequence
    message.batch.live = live
    return message
