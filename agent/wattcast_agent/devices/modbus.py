"""Modbus connections, whatever the way: one a gateway or serial line, shared by its units."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from wattcast_agent.devices.backoff import Backoff
from wattcast_agent.devices.login import Login
from wattcast_agent.devices.modbus_client import Client, client_maker, drop, quiet_real_s
from wattcast_agent.devices.reach import why_no_connection
from wattcast_configs.address import Address
from wattcast_configs.command import RegisterWrite
from wattcast_core.errors import DataError, Unreachable
from wattcast_core.modbus.pdu import exception_text

_SILENT_UNITS = 2
_NOT_BEHIND_GATEWAY = (10, 11)


class Rejected(DataError):  # noqa: N818 - an outcome's name, like Refused
    """The device answered with a Modbus exception; ``code`` says which."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Gateway:
    """One connection, shared by all units behind it, one request at a time.

    After a missing or senseless answer the connection is dropped, so that a late answer can never
    be taken for the next one's. Two silent units in a row mean the gateway itself is gone: the
    others are then not waited for until its back-off is over. An answer to another request than the
    last is passed over; the connection is dropped after the true one.

    Attributes:
        requests: how many were sent.
        resyncs: connections dropped because of a stray or senseless answer.
    """

    def __init__(
        self, where: Address, login: Login, timeout_real_s: float, *, patient: bool = False
    ) -> None:
        """Prepare; the first request connects.

        Raises:
            ConfigError: serial settings or certificates are wrong.

        Args:
            where: its address; that of any of its units.
            login: certificates for TLS.
            timeout_real_s: wait for one answer.
            patient: never back off: a technician waits for each answer.
        """
        self.where = where
        self.address = where.line
        self.requests = 0
        self.resyncs = 0
        self._login, self._timeout_real_s, self._patient = login, timeout_real_s, patient
        self._quiet_real_s = quiet_real_s(where)
        self._make = client_maker(where, login, timeout_real_s, self._note_garbage)
        self._client: Client | None = None
        self._lock = asyncio.Lock()
        self._backoff = Backoff(self.address, most_s=8.0)
        self._silent = 0
        self._garbled = ""

    async def read(self, unit: int, function: int, address: int, count: int) -> list[int]:
        """Registers of one block.

        Raises:
            Unreachable: no connection or no answer.
            Rejected: the device answered with an exception.
            DataError: the answer does not fit the request.
        """
        wait_s = self._backoff.wait_s(time.monotonic())
        if wait_s > 0 and not self._patient:
            raise Unreachable(f"{self.address} was silent; next try in {wait_s:.1f} s")

        def ask(client: Client) -> Awaitable[ModbusPDU]:
            read = client.read_holding_registers if function == 3 else client.read_input_registers
            return read(address, count=count, device_id=unit)

        answer = await self._request(unit, ask)
        if len(answer.registers) != count:
            self._resync()
            got = len(answer.registers)
            raise DataError(f"{self.address} unit {unit} sent {got} registers, asked for {count}")
        return list(answer.registers)

    async def write(self, unit: int, order: RegisterWrite) -> None:
        """Write one register of a command by function 6 or 16; tries even while reads back off.

        Raises:
            Unreachable: no connection or no answer (the write may have happened).
            Rejected: the device answered with an exception.
        """

        def ask(client: Client) -> Awaitable[ModbusPDU]:
            if order.function == 16:
                return client.write_registers(order.address, [order.value], device_id=unit)
            return client.write_register(order.address, order.value, device_id=unit)

        answer = await self._request(unit, ask)
        told = list(answer.registers) if order.function == 6 else [order.value]
        if (answer.address, told) != (order.address, [order.value]):
            self._resync()
            raise Unreachable(f"{self.address} unit {unit} confirmed another write")

    async def introduce(self, unit: int) -> str:
        """Vendor, product and revision as the device says (function 43); empty if it does not."""

        def ask(client: Client) -> Awaitable[ModbusPDU]:
            return client.read_device_information(read_code=1, object_id=0, device_id=unit)

        try:
            answer = await self._request(unit, ask)
        except (Unreachable, DataError):
            return ""
        objects = getattr(answer, "information", {})
        texts = (v.decode("utf-8", "replace").strip() for v in objects.values())
        return " ".join(filter(None, texts))

    def close(self) -> None:
        """Drop the connection; the next request connects again."""
        if self._client is not None:
            drop(self._client)
            self._client = None

    async def _request(self, unit: int, ask: Callable[[Client], Awaitable[ModbusPDU]]) -> ModbusPDU:
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
            if self._quiet_real_s:
                await asyncio.sleep(self._quiet_real_s)
        self._silent = 0
        self._backoff.succeeded()
        if self._garbled:
            self._resync()
        if answer.isError():
            raise self._exception(unit, answer.exception_code)
        return answer

    async def _connected(self) -> Client:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        client = self._make()
        if not await client.connect():
            drop(client)
            self._backoff.failed(time.monotonic())
            raise await why_no_connection(self.where, self._login, self._timeout_real_s)
        self._client, self._garbled = client, ""
        return client

    def _note_garbage(self, text: str) -> None:
        self._garbled = text

    def _resync(self) -> None:
        self.resyncs += 1
        self.close()

    def _silence(self, unit: int) -> Unreachable:
        self.resyncs += bool(self._garbled)
        self.close()
        self._silent += 1
        if self._silent >= _SILENT_UNITS:
            self._backoff.failed(time.monotonic())
        why = self._garbled or "check its power, cable and device id"
        wait = f"no valid answer within {self._timeout_real_s} s"
        return Unreachable(f"{self.address} unit {unit}: {wait}; {why}")

    def _exception(self, unit: int, code: int) -> Unreachable | Rejected:
        text = f"{self.address} unit {unit}: {exception_text(code)}"
        return Unreachable(text) if code in _NOT_BEHIND_GATEWAY else Rejected(text, code)
