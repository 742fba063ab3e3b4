"""A thin asyncio etcd v3 client over the ready-made stubs of etcd-sdk-python.

One channel an endpoint; on UNAVAILABLE or DEADLINE_EXCEEDED the next endpoint is tried. A
transaction is never repeated: its outcome would be unknown.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from wattcast_core.errors import MissingExtraError, Unreachable, WattcastError

try:
    from pyetcd import etcdrpc as _rpc  # type: ignore[import-untyped] # the package has no types
except ImportError as error:
    raise MissingExtraError("etcd-sdk-python", "coordinator") from error

pb: Any = _rpc  # the one boundary behind which messages of etcd are untyped

_MOVE_ON = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_TRIES = 5
_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 << 20),
)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key; ``create_revision`` is unique to this life of the key."""

    key: str
    value: str
    create_revision: int


@dataclass(frozen=True, slots=True)
class Guard:
    """The condition of a transaction: the key still lives its life of ``create_revision``."""

    key: str
    create_revision: int


def _change(key: bytes, value: str | None, lease: int) -> Any:
    if value is None:
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value.encode(), lease=lease))


def prefix_end(prefix: bytes) -> bytes:
    """First key after all keys that start with ``prefix``."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\0"


class Etcd:
    """Client of one etcd cluster; use it from one event loop.

    Errors: ``Unreachable`` if no endpoint answers, ``WattcastError`` if etcd refuses a request.
    """

    def __init__(self, endpoints: Sequence[str], timeout_s: float = 1.0) -> None:
        self.endpoints = tuple(endpoints)
        self._timeout_s = timeout_s
        self._channels = [grpc.aio.insecure_channel(e, _OPTIONS) for e in self.endpoints]
        self._turn = 0

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            await channel.close()

    async def get(self, key: str) -> KeyValue | None:
        """One key, None if absent."""
        reply = await self._call("KV", "Range", pb.RangeRequest(key=key.encode()))
        return next(iter(_pairs(reply)), None)

    async def list(self, prefix: str) -> tuple[KeyValue, ...]:
        """All keys under a prefix, in order of their names."""
        start = prefix.encode()
        request = pb.RangeRequest(key=start, range_end=prefix_end(start))
        return _pairs(await self._call("KV", "Range", request))

    async def put(self, key: str, value: str, lease: int = 0) -> None:
        """Write a key; with a lease it vanishes when the lease does."""
        request = pb.PutRequest(key=key.encode(), value=value.encode(), lease=lease)
        await self._call("KV", "Put", request)

    async def delete(self, key: str) -> None:
        """Delete a key if it is there."""
        await self._call("KV", "DeleteRange", pb.DeleteRangeRequest(key=key.encode()))

    async def put_if(self, guard: Guard, values: Mapping[str, str | None], lease: int = 0) -> bool:
        """Write all values (None deletes) in one transaction if the guard holds; never repeated.

        Returns:
            False if the guard did not hold and nothing was written.
        """
        compare = pb.Compare(
            key=guard.key.encode(),
            target=pb.Compare.CREATE,
            result=pb.Compare.EQUAL,
            create_revision=guard.create_revision,
        )
        success = [_change(key.encode(), value, lease) for key, value in values.items()]
        request = pb.TxnRequest(compare=[compare], success=success)
        return bool((await self._call("KV", "Txn", request, tries=1)).succeeded)

    async def grant(self, ttl_s: int) -> int:
        """A new lease of ``ttl_s`` real seconds; returns its id."""
        return int((await self._call("Lease", "LeaseGrant", pb.LeaseGrantRequest(TTL=ttl_s))).ID)

    async def keep_alive(self, lease: int, timeout_s: float) -> bool:
        """Renew a lease once; False if it is gone."""
        turn = self._turn
        call = self._stub("Lease").LeaseKeepAlive(timeout=timeout_s)
        try:
            await call.write(pb.LeaseKeepAliveRequest(ID=lease))
            reply = await call.read()
        except grpc.aio.AioRpcError as error:
            self._move_on(turn)
            raise self._error(error) from error
        finally:
            call.cancel()
        return reply is not grpc.aio.EOF and reply.TTL > 0

    async def revoke(self, lease: int) -> None:
        """Give a lease back, and delete what hangs on it."""
        await self._call("Lease", "LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), tries=1)

    async def wait_gone(self, key: str) -> None:
        """Return when a key is not there, or when the watch broke: look again."""
        turn = self._turn
        create = pb.WatchCreateRequest(key=key.encode(), filters=[pb.WatchCreateRequest.NOPUT])
        call = self._stub("Watch").Watch()
        try:
            await call.write(pb.WatchRequest(create_request=create))
            while (reply := await call.read()) is not grpc.aio.EOF:
                # a deletion before the watch stood is not told: read once it stands
                if reply.events or reply.canceled or (reply.created and not await self.get(key)):
                    return
        except grpc.aio.AioRpcError:
            self._move_on(turn)
            await asyncio.sleep(0.1)
        finally:
            call.cancel()

    def _stub(self, service: str) -> Any:
        return getattr(pb, f"{service}Stub")(self._channels[self._turn])

    def _move_on(self, turn: int) -> None:
        if self._turn == turn:  # else another call has moved on already
            self._turn = (turn + 1) % len(self._channels)

    async def _call(self, service: str, method: str, request: Any, tries: int = _TRIES) -> Any:
        for attempt in range(1, tries + 1):
            turn = self._turn
            try:
                return await getattr(self._stub(service), method)(request, timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                if error.code() in _MOVE_ON:
                    self._move_on(turn)
                if error.code() not in _MOVE_ON or attempt == tries:
                    raise self._error(error) from error
            await asyncio.sleep(0.02 * 2**attempt)
        raise AssertionError("tries must be positive")

    def _error(self, error: grpc.aio.AioRpcError) -> WattcastError:
        where = f"etcd at {', '.join(self.endpoints)}"
        if error.code() in _MOVE_ON:
            return Unreachable(
                f"{where} does not answer ({error.details()}); check that it runs and has a quorum"
            )
        return WattcastError(f"{where} refused the request: {error.details()}")


def _pairs(reply: Any) -> tuple[KeyValue, ...]:
    return tuple(
        KeyValue(kv.key.decode(), kv.value.decode(), int(kv.create_revision)) for kv in reply.kvs
    )
