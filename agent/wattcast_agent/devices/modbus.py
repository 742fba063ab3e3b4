"""Modbus TCP connections; the only module that knows pymodbus."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from wattcast_agent.devices.backoff import Backoff
from wattcast_core.errors import DataError, MissingExtraError, Unreachable
from wattcast_core.modbus.frame import unwrap_tcp
from wattcast_core.modbus.pdu import ModbusError, exception_text

try:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.exceptions import ModbusException
    from pymodbus.pdu import ModbusPDU
except ImportError as error:
    raise MissingExtraError("pymodbus", "agent") from error

# Its complaints reach the operator as a device's problem text, once, not as a log line a poll.
logging.getLogger("pymodbus_internal").setLevel(logging.CRITICAL)

_SILENT_UNITS = 2
_NOT_BEHIND_GATEWAY = (10, 11)


class Rejected(DataError):  # noqa: N818 - an outcome's name, like Refused
    """The device answered with a Modbus exception; ``code`` says which."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Gateway:
    """One connection to a host and port, shared by all units behind it, one request at a time.

    After a missing or senseless answer the connection is dropped, so that a late answer can never
    be taken for the next one's. Two silent units in a row mean the gateway itself is gone: the
    others are then not waited for until its back-off is over. An answer to another request than the
    last (its transaction is counted) is passed over; the connection is dropped after the true one.

    Attributes:
        requests: how many were sent.
        resyncs: connections dropped because of a stray or senseless answer.
    """

    def __init__(self, host: str, port: int, timeout_real_s: float) -> None:
        self.address = f"{host}:{port}"
        self.requests = 0
        self.resyncs = 0
        self._host, self._port, self._timeout_real_s = host, port, timeout_real_s
        self._client: AsyncModbusTcpClient | None = None
        self._lock = asyncio.Lock()
        self._backoff = Backoff(self.address, most_s=8.0)
        self._silent = 0
        self._garbled = ""
        self._transaction = b""

    async def read(self, unit: int, function: int, address: int, count: int) -> list[int]:
        """Registers of one block.

        Raises:
            Unreachable: no connection or no answer.
            Rejected: the device answered with an exception.
            DataError: the answer does not fit the request.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0:
            raise Unreachable(f"{self.address} was silent; next try in {wait_s:.1f} s")

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            read = client.read_holding_registers if function == 3 else client.read_input_registers
            return read(address, count=count, device_id=unit)

        answer = await self._request(unit, ask)
        if len(answer.registers) != count:
            self._resync()
            got = len(answer.registers)
            raise DataError(f"{self.address} unit {unit} sent {got} registers, asked for {count}")
        return list(answer.registers)

    async def write(self, unit: int, function: int, address: int, value: int) -> None:
        """Write one register by function 6 or 16; tries even while reads back off.

        Raises:
            Unreachable: no connection or no answer (the write may have happened).
            Rejected: the device answered with an exception.
        """

        def ask(client: AsyncModbusTcpClient) -> Awaitable[ModbusPDU]:
            if function == 16:
                return client.write_registers(address, [value], device_id=unit)
            return client.write_register(address, value, device_id=unit)

        answer = await self._request(unit, ask)
        if answer.address != address or (function == 6 and list(answer.registers) != [value]):
            self._resync()
            raise Unreachable(f"{self.address} unit {unit} confirmed another write")

    def close(self) -> None:
        """Drop the connection; the next request connects again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _request(
        self, unit: int, ask: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]]
    ) -> ModbusPDU:
        async with self._lock:
            client = await self._connected()
            self.requests += 1
            try:
                answer = await ask(client)
            except asyncio.CancelledError:
                self.close()
                raise
            except (ModbusException, OSError) as error:
                raise self._silence(unit) from error
        self._silent = 0
        self._backoff.succeeded()
        if self._garbled:
            self._resync()
        if answer.isError():
            raise self._exception(unit, answer.exception_code)
        return answer

    async def _connected(self) -> AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=self._timeout_real_s,
            retries=0,
            reconnect_delay=0,  # this class decides when to connect again
            trace_packet=self._screen,
        )
        if not await client.connect():
            client.close()
            self._backoff.failed(time.monotonic())
            raise Unreachable(f"{self.address}: no connection; check power, network and port")
        self._client, self._garbled = client, ""
        return client

    def _resync(self) -> None:
        self.resyncs += 1
        self.close()

    def _silence(self, unit: int) -> Unreachable:
        if self._garbled:
            self._resync()
        self.close()
        self._silent += 1
        if self._silent >= _SILENT_UNITS:
            self._backoff.failed(time.monotonic())
        why = self._garbled or "check its power, cable and unit id"
        wait = f"no valid answer within {self._timeout_real_s} s"
        return Unreachable(f"{self.address} unit {unit}: {wait}; {why}")

    def _exception(self, unit: int, code: int) -> Unreachable | Rejected:
        text = f"{self.address} unit {unit}: {exception_text(code)}"
        return Unreachable(text) if code in _NOT_BEHIND_GATEWAY else Rejected(text, code)

    def _screen(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus's signature
        """Keep garbage away from pymodbus, which would raise out of the event loop."""
        if sending:
            self._transaction = data[:2]
            return data
        if data[:2] != self._transaction[: len(data)]:
            self._garbled = "it answered another request than the last"
        try:
            _check_frames(data)
        except ModbusError as error:
            self._garbled = f"it sent garbage: {error}"
            return b""
        return data


def _check_frames(data: bytes) -> None:
    frame = unwrap_tcp(data)
    while frame is not None:
        pdu = frame[2]
        reads = pdu[0] in (3, 4)
        if pdu[0] & 0x7F not in (3, 4, 6, 16) or (reads and len(pdu) != 2 + pdu[1]):
            raise ModbusError(f"function {pdu[0]} with {len(pdu)} bytes")
        if len(pdu) < (2 if pdu[0] & 0x80 or reads else 5):
            raise ModbusError(f"function {pdu[0]} cut short")
        data = data[frame[3] :]
        frame = unwrap_tcp(data)
