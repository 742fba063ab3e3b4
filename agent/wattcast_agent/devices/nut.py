"""A device behind a NUT server (``upsd``), by its line protocol: RFC 9271."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from wattcast_agent.devices.decode import Objects, Raw
from wattcast_agent.devices.login import Login
from wattcast_agent.devices.reach import explain
from wattcast_agent.devices.tls import tls_context
from wattcast_configs.address import Address
from wattcast_configs.profile import Command
from wattcast_core.errors import ConfigError, DataError, LoginRefused, Refused, Unreachable

_LONGEST = 1 << 20  # bytes of one answer; a chain of large PDUs has some 100 kB
_LOGIN_ERRORS = (
    *("ACCESS-DENIED", "INVALID-USERNAME", "INVALID-PASSWORD"),
    *("PASSWORD-REQUIRED", "USERNAME-REQUIRED", "TLS-NOT-ENABLED"),
)
_NOW_SILENT = ("DRIVER-NOT-CONNECTED", "DATA-STALE")  # the server has lost the device


class NutPeer:
    """One device of a NUT server; the connection is kept.

    Attributes:
        secure: true if its requests are encrypted, to a server that was authenticated.
    """

    introduces: tuple[str, ...] = ("device.mfr", "device.model", "device.type", "driver.name")

    def __init__(self, where: Address, login: Login, timeout_real_s: float) -> None:
        """Prepare; the first request connects.

        Raises:
            ConfigError: certificates cannot be read, or the option tls is unknown.
        """
        tls = where.options.get("tls", "no")
        if tls not in ("yes", "no"):
            raise ConfigError(f"{where}: tls is 'yes' or 'no'")
        self.address = where.line
        self._where, self._login, self._timeout_real_s = where, login, timeout_real_s
        self._name = where.path.strip("/")
        self._tls = tls_context(login.tls, str(where)) if tls == "yes" else None
        self.secure = self._tls is not None and login.tls.verify
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def snapshot(self, keys: Sequence[str]) -> Objects:  # noqa: ARG002 - all come together
        """All variables of the device.

        Raises:
            Unreachable: no connection or answer, or the server has lost the device.
            DataError: the answer is senseless.
        """
        async with self._connected():
            if not self._name:
                self._name = await self._only_device()
            rows = await self._list("VAR", self._name)
        found: dict[str, Raw] = {row[0]: row[1] for row in rows if len(row) == 2}
        return found

    async def write(self, command: Command, argument: str) -> None:
        """Set a named command's variable.

        Raises:
            Refused: the server says no.
            Unreachable: no answer (the write may have happened), or the login is refused.
        """
        async with self._connected():
            try:
                what = f'{command.variable} "{command.raw(argument)}"'
                await self._ask(f"SET VAR {self._name} {what}", "OK")
            except DataError as error:
                raise Refused(str(error)) from error

    async def close(self) -> None:
        """Drop the connection; the next request connects again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_real_s):
                if self._streams is None:
                    await self._connect()
                yield
        except (OSError, TimeoutError, asyncio.LimitOverrunError) as error:
            known = self._streams is not None
            await self.close()
            if known and isinstance(error, TimeoutError):
                raise Unreachable(
                    f"{self.address}: no answer within {self._timeout_real_s:g} s (time-out)"
                ) from error
            raise explain(self.address, error, self._timeout_real_s) from error
        except BaseException:
            await self.close()  # what is still under way must not answer the next request
            raise

    async def _connect(self) -> None:
        where = self._where
        self._streams = await asyncio.open_connection(where.host, where.port, limit=_LONGEST)
        if self._tls is not None:
            await self._ask("STARTTLS", "OK STARTTLS")
            await self._streams[1].start_tls(self._tls, server_hostname=where.host)
        if self._login.user:
            await self._ask(f"USERNAME {self._login.user}", "OK")
            await self._ask(f"PASSWORD {self._login.password}", "OK")

    async def _only_device(self) -> str:
        names = [row[0] for row in await self._list("UPS")]
        if len(names) != 1:
            known = ", ".join(f"{self.address}/{name}" for name in names) or "none"
            raise Refused(f"{self.address} serves several devices or none; give one of: {known}")
        return names[0]

    async def _list(self, what: str, *of: str) -> list[list[str]]:
        """Rows of a list, each without what all of them begin with."""
        asked = " ".join((what, *of))
        await self._ask(f"LIST {asked}", f"BEGIN LIST {asked}")
        rows = []
        while (line := await self._line()) != f"END LIST {asked}":
            if not line.startswith(f"{asked} "):
                raise DataError(f"{self.address} sent '{line[:60]}' within a list of {asked}")
            try:
                rows.append(shlex.split(line.removeprefix(f"{asked} ")))
            except ValueError as error:
                raise DataError(f"{self.address} sent '{line[:60]}': {error}") from error
        return rows

    async def _ask(self, request: str, wanted: str) -> None:
        if self._streams is None:
            raise Unreachable(f"{self.address}: no connection")
        self._streams[1].write(f"{request}\n".encode())
        await self._streams[1].drain()
        line = await self._line()
        if line.startswith("ERR "):
            raise self._error(line.split()[1], request)
        if not line.startswith(wanted):
            raise DataError(f"{self.address} is no NUT server: it answered '{line[:60]}'")

    async def _line(self) -> str:
        if self._streams is None:
            raise Unreachable(f"{self.address}: no connection")
        line = await self._streams[0].readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        return line.decode("utf-8", "replace").rstrip("\r\n")

    def _error(self, code: str, request: str) -> Exception:
        asked = request.partition(" ")[0]
        if code in _LOGIN_ERRORS:
            why = "give user and password that its upsd.users allows"
            return LoginRefused(f"{self.address} refuses the login: {code}; {why}")
        if code in ("UNKNOWN-COMMAND", "FEATURE-NOT-SUPPORTED", "FEATURE-NOT-CONFIGURED"):
            why = "its version is too old, or the feature is off"
            return LoginRefused(f"{self.address} does not know '{asked}': {code}; {why}")
        if code == "UNKNOWN-UPS":
            why = "leave the name out to see all"
            return Unreachable(f"{self.address} has no device '{self._name}'; {why}")
        if code in _NOW_SILENT:
            why = "check the device, its cable and its driver"
            return Unreachable(f"{self.address}/{self._name}: {code}; {why}")
        return DataError(f"{self.address}/{self._name} answered {code} to {asked}")
