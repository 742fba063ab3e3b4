"""A pymodbus client for each way to a Modbus device: TCP, RTU on a serial line or in TCP, TLS."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from wattcast_agent.devices.login import Login
from wattcast_agent.devices.tls import tls_context
from wattcast_configs.address import Address
from wattcast_core.errors import ConfigError, MissingExtraError
from wattcast_core.modbus.frame import unwrap_tcp
from wattcast_core.modbus.pdu import ModbusError

try:
    from pymodbus.client import (
        AsyncModbusSerialClient,
        AsyncModbusTcpClient,
        AsyncModbusTlsClient,
    )
    from pymodbus.framer import FramerType
except ImportError as error:
    raise MissingExtraError("pymodbus", "agent") from error

Client = AsyncModbusTcpClient | AsyncModbusSerialClient
Garbled = Callable[[str], None]

# Its complaints reach the operator as a device's problem text, once, not as a log line a poll.
for _name in ("pymodbus", "pymodbus_internal"):  # of newer releases and of older ones
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_READS, _IDENTIFY = (3, 4), 0x2B
_FUNCTIONS = (*_READS, 6, 16, _IDENTIFY)
_PARITIES = ("N", "E", "O")


def client_maker(
    where: Address, login: Login, timeout_real_s: float, garbled: Garbled
) -> Callable[[], Client]:
    """What makes a client that is not connected yet; the caller decides when to connect again.

    Args:
        where: address of the device or its gateway.
        login: certificates for TLS.
        timeout_real_s: wait for a connection and for an answer.
        garbled: told what is wrong with bytes that are kept away from pymodbus.

    Raises:
        ConfigError: serial settings or certificates are wrong.
    """
    common: dict[str, Any] = {"timeout": timeout_real_s, "retries": 0, "reconnect_delay": 0}
    if where.scheme == "modbus-rtu":
        return _serial(where, common)
    common["port"] = where.port
    if where.scheme == "modbus-rtu-tcp":
        return partial(AsyncModbusTcpClient, where.host, framer=FramerType.RTU, **common)
    common["trace_packet"] = _Screen(garbled)
    if where.scheme == "modbus-tls":
        context = tls_context(login.tls, str(where))
        return partial(AsyncModbusTlsClient, where.host, sslctx=context, **common)
    return partial(AsyncModbusTcpClient, where.host, **common)


def drop(client: Client) -> None:
    """Close at once; over TLS a plain close waits for a farewell that an ending loop never sees."""
    transport = client.ctx.transport
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def quiet_real_s(where: Address) -> float:
    """Silence a serial line needs between two frames: 3.5 characters of 11 bits."""
    return 3.5 * 11 / _baud(where) if where.scheme == "modbus-rtu" else 0.0


def _serial(where: Address, common: dict[str, Any]) -> Callable[[], Client]:
    parity, stopbits = where.options.get("parity", "N"), where.options.get("stopbits", "1")
    if parity not in _PARITIES or stopbits not in ("1", "2"):
        raise ConfigError(f"{where.line}: parity is one of N, E, O and stopbits 1 or 2")
    make = partial(
        AsyncModbusSerialClient,
        where.path,
        baudrate=_baud(where),
        parity=parity,
        stopbits=int(stopbits),
        **common,
    )
    try:
        make()  # opens nothing
    except RuntimeError as error:  # pymodbus says so where pyserial is not installed
        raise MissingExtraError("pyserial", "agent") from error
    return make


def _baud(where: Address) -> int:
    text = where.options.get("baud", "9600")
    if not text.isdecimal() or not 300 <= int(text) <= 4_000_000:
        raise ConfigError(f"{where.line}: baud '{text}' is no speed; give e.g. 9600")
    return int(text)


class _Screen:
    """Keeps garbage away from pymodbus, which would raise out of the event loop."""

    def __init__(self, garbled: Garbled) -> None:
        self._garbled = garbled
        self._transaction = b""

    def __call__(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus's signature
        if sending:
            self._transaction = data[:2]
            return data
        if data[:2] != self._transaction[: len(data)]:
            self._garbled("it answered another request than the last")
        try:
            return _whole_frames(data)
        except ModbusError as error:
            self._garbled(f"it sent garbage: {error}")
            return b""


def _whole_frames(data: bytes) -> bytes:
    """The complete frames at the start of ``data``; ModbusError if one is senseless."""
    end, frame = 0, unwrap_tcp(data)
    while frame is not None:
        pdu = frame[2]
        reads = pdu[0] in _READS
        if pdu[0] & 0x7F not in _FUNCTIONS or (reads and len(pdu) != 2 + pdu[1]):
            raise ModbusError(f"function {pdu[0]} with {len(pdu)} bytes")
        if len(pdu) < (2 if pdu[0] & 0x80 or reads else 5):
            raise ModbusError(f"function {pdu[0]} cut short")
        end += frame[3]
        frame = unwrap_tcp(data[end:])
    return data[:end]
