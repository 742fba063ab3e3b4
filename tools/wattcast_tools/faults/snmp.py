"""An SNMP v2c agent on loopback, true or with one bad habit; its objects are plain Python values.

pysnmp's codec carries the messages; what is answered is decided here. With ``write`` it serves
stateful doubles of devices, too.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]  # it ships no types
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]  # it ships no types
from pysnmp.proto import api, rfc1902, rfc1905  # type: ignore[import-untyped]  # no types

POISON = 131_072
SLOW_REAL_S = 2.0
FAULTS = (
    *("silence", "wrong_request_id", "truncated", "other_objects", "garbage", "slow", "text"),
    "error_status",
)
_V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
_GENERIC_ERROR, _NOT_WRITABLE = 5, 17

Value = int | str
Objects = Callable[[], Mapping[str, Value]]
Write = Callable[[str, int], bool]
Oid = tuple[int, ...]


def _refuse(_oid: str, _value: int) -> bool:
    return False


@dataclass(eq=False)
class Agent(asyncio.DatagramProtocol):
    """One agent.

    Attributes:
        objects: what it holds, now: OID -> value.
        write: takes a SET of one object; False refuses it as not writable.
        fault: name of its habit; empty = none.
        asked: monotonic time of each request that was understood.
        walks: how many of them asked for what comes next.
    """

    objects: Objects
    write: Write = _refuse
    fault: str = ""
    port: int = 0
    asked: list[float] = field(default_factory=list)
    walks: int = 0
    _transport: asyncio.DatagramTransport | None = None

    async def start(self) -> "Agent":
        """Listen on a free port of loopback."""
        loop = asyncio.get_running_loop()
        at = ("127.0.0.1", self.port)
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=at)
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def stop(self) -> None:
        """Close the port."""
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing to do: ``start`` keeps the transport."""

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer one request as the habit says."""
        try:
            request, _ = decoder.decode(data, asn1Spec=_V2C.Message())
        except PyAsn1Error:
            return
        self.asked.append(monotonic())
        answer = self._spoiled(self._answer(request))
        if not answer:
            return
        wait_s = SLOW_REAL_S if self.fault == "slow" else 0.0
        asyncio.get_running_loop().call_later(wait_s, self._send, answer, addr)

    def _send(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)

    def _spoiled(self, response: Any) -> bytes:
        pdu = _V2C.apiMessage.get_pdu(response)
        api_pdu = _V2C.apiPDU
        binds = api_pdu.get_varbinds(pdu)
        match self.fault:
            case "silence":
                return b""
            case "wrong_request_id":
                poison = [(oid, rfc1902.Integer32(POISON)) for oid, _ in binds]
                api_pdu.set_varbinds(pdu, poison)
                api_pdu.set_request_id(pdu, int(api_pdu.get_request_id(pdu)) + 7)
            case "other_objects":
                other = [(f"{oid}.1", rfc1902.Integer32(POISON)) for oid, _ in binds]
                api_pdu.set_varbinds(pdu, other)
            case "text":
                api_pdu.set_varbinds(pdu, [(o, rfc1902.OctetString("n/a")) for o, _ in binds])
            case "error_status":
                api_pdu.set_error_status(pdu, _GENERIC_ERROR)
        data = bytes(encoder.encode(response))
        if self.fault == "truncated":
            return data[: len(data) // 2]
        return b"\x30\x82" + data[::-1] if self.fault == "garbage" else data

    def _answer(self, request: Any) -> Any:
        asked = _V2C.apiMessage.get_pdu(request)
        response = _V2C.apiMessage.get_response(request)
        pdu = _V2C.apiMessage.get_pdu(response)
        held = {_oid(name): value for name, value in self.objects().items()}
        if asked.isSameTypeWith(_V2C.GetBulkRequestPDU()):
            self.walks += 1
            binds = self._bulk(asked, held)
        else:
            binds = _V2C.apiPDU.get_varbinds(asked)
            if asked.isSameTypeWith(_V2C.SetRequestPDU()):
                if not all(self.write(str(oid), int(value)) for oid, value in binds):
                    _V2C.apiPDU.set_error_status(pdu, _NOT_WRITABLE)
                    _V2C.apiPDU.set_error_index(pdu, 1)
            elif asked.isSameTypeWith(_V2C.GetNextRequestPDU()):
                self.walks += 1
                binds = [_next(held, tuple(oid)) for oid, _ in binds]
            else:
                binds = [(oid, _typed(held.get(tuple(oid)))) for oid, _ in binds]
        _V2C.apiPDU.set_varbinds(pdu, binds)
        return response

    def _bulk(self, asked: Any, held: Mapping[Oid, Value]) -> list[tuple[Any, Any]]:
        at = [tuple(oid) for oid, _ in _V2C.apiBulkPDU.get_varbinds(asked)]
        binds: list[tuple[Any, Any]] = []
        for _ in range(min(64, int(_V2C.apiBulkPDU.get_max_repetitions(asked)))):
            row = [_next(held, oid) for oid in at]
            binds += row
            at = [tuple(oid) for oid, _ in row]
        return binds


def _oid(text: str) -> Oid:
    return tuple(int(part) for part in text.split("."))


def _next(held: Mapping[Oid, Value], oid: Oid) -> tuple[Any, Any]:
    names = sorted(held)
    place = bisect_right(names, oid)
    if place == len(names):
        return rfc1902.ObjectName(oid), rfc1905.endOfMibView
    return rfc1902.ObjectName(names[place]), _typed(held[names[place]])


def _typed(value: Value | None) -> Any:
    if value is None:
        return rfc1905.noSuchInstance
    return rfc1902.Integer32(value) if isinstance(value, int) else rfc1902.OctetString(value)
