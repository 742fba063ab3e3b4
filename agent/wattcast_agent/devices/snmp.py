"""SNMP v2c and v3 by UDP; the only module that knows pysnmp."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from wattcast_agent.devices.decode import Raw
from wattcast_agent.devices.login import Login
from wattcast_agent.devices.reach import explain, nobody_listens
from wattcast_configs.command import Command
from wattcast_core.errors import (
    DataError,
    LoginRefused,
    MissingExtraError,
    Refused,
    Unreachable,
)

try:
    import cryptography  # noqa: F401 - without it pysnmp loads, but knows no privacy
    from pysnmp.entity.rfc3413 import cmdgen  # type: ignore[import-untyped]  # no types
    from pysnmp.error import PySnmpError  # type: ignore[import-untyped]  # it ships no types
    from pysnmp.hlapi.v3arch import asyncio as hlapi  # type: ignore[import-untyped]  # no types
    from pysnmp.hlapi.v3arch.asyncio.lcd import (  # type: ignore[import-untyped]  # no types
        CommandGeneratorLcdConfigurator,
    )
    from pysnmp.proto import errind, rfc1902, rfc1905  # type: ignore[import-untyped]  # no types
except ImportError as error:
    raise MissingExtraError(error.name or "pysnmp", "agent") from error

_UNSPECIFIED = rfc1905.unSpecified  # what a read has in the place of a value
Answer = tuple[Any, int, Sequence[tuple[Any, Any]]]  # status, index of the wrong one, bindings

_AUTH = {
    "SHA": hlapi.USM_AUTH_HMAC96_SHA,
    "SHA224": hlapi.USM_AUTH_HMAC128_SHA224,
    "SHA256": hlapi.USM_AUTH_HMAC192_SHA256,
    "SHA384": hlapi.USM_AUTH_HMAC256_SHA384,
    "SHA512": hlapi.USM_AUTH_HMAC384_SHA512,
}
_PRIV = {
    "AES": hlapi.USM_PRIV_CFB128_AES,
    "AES192": hlapi.USM_PRIV_CFB192_AES,
    "AES256": hlapi.USM_PRIV_CFB256_AES,
}
_ABSENT = (rfc1905.NoSuchObject, rfc1905.NoSuchInstance, rfc1905.EndOfMibView, rfc1902.Null)
_TOO_BIG = 1
_ROWS = 24  # of a table in one request
_LOGIN_FAULTS = {
    errind.WrongDigest: "the authentication passphrase or protocol is wrong",
    errind.AuthenticationFailure: "the authentication passphrase or protocol is wrong",
    errind.UnknownUserName: "it does not know the user",
    errind.UnknownSecurityName: "it does not know the user",
    errind.DecryptionError: "the privacy passphrase or protocol is wrong",
    errind.UnsupportedSecurityLevel: "its user needs other authentication or privacy settings",
    errind.NotInTimeWindow: "its clock of SNMPv3 does not advance; restart the device's agent",
    errind.UnsupportedMsgProcessingModel: "it does not speak this version of SNMP",
    errind.UnknownPDUHandler: "it does not speak this version of SNMP",
}


class Engines:
    """One SNMP engine for all devices with the same login.

    Two devices may know a user of the same name by different passphrases; one engine may not.
    """

    def __init__(self) -> None:
        self._engines: dict[Login, Any] = {}

    def of(self, login: Login) -> Any:
        """The engine of a login."""
        if login not in self._engines:
            self._engines[login] = hlapi.SnmpEngine()
        return self._engines[login]

    def close(self) -> None:
        """Close all sockets."""
        for engine in self._engines.values():
            engine.close_dispatcher()
        self._engines.clear()


class SnmpPeer:
    """One SNMP agent: a device, or a card that speaks for it.

    Attributes:
        secure: true if its requests are authenticated and encrypted.
        requests: how many were sent.
        most: objects the device is known to manage in one request.
    """

    def __init__(
        self, host: str, port: int, login: Login, engines: Engines, timeout_real_s: float
    ) -> None:
        self.address = f"{host}:{port}"
        self.secure = login.secure
        self.requests = 0
        self.most = 100
        self._host, self._port, self._timeout_real_s = host, port, timeout_real_s
        self._login = login
        self._engine = engines.of(login)  # at start: making one takes longer than a poll may
        self._context = login.context.encode()
        self._target = ""
        self._alive = False

    async def get(self, oids: Sequence[str]) -> dict[str, Raw]:
        """Values of objects in one request; those the device lacks are not there.

        One it cannot give in spite of version 2's rules costs an extra request, not the others.

        Raises:
            Unreachable: no answer, or the login is refused.
            DataError: the answer does not fit the request.
        """
        if not oids:
            return {}
        status, index, binds = await self._read(cmdgen.GetCommandGenerator(), oids)
        if status == _TOO_BIG and len(oids) > 1:
            half = self.most = len(oids) // 2
            return await self.get(oids[:half]) | await self.get(oids[half:])
        if status:
            if not 1 <= index <= len(oids):
                raise DataError(f"{self.address} answered a read with error {status}")
            return await self.get([*oids[: index - 1], *oids[index:]])
        found = {str(oid): value for oid, value in binds}
        if set(found) != set(oids):
            raise DataError(f"{self.address} answered about other objects than asked for")
        return {oid: _plain(value) for oid, value in found.items() if not _is_absent(value)}

    async def first(self, oids: Sequence[str]) -> dict[str, Raw]:
        """What stands first at or below each object; what the device lacks is not there.

        Of a table's column that is the first row, of a single object (``.0``) itself.
        """
        under = [oid.removesuffix(".0") for oid in oids]
        status, _, binds = await self._read(cmdgen.BulkCommandGenerator(), under, 0, 1)
        if len(oids) > 1 and (status or len(binds) < len(oids)):
            half = len(oids) // 2
            return await self.first(oids[:half]) | await self.first(oids[half:])
        return {
            oid: _plain(value)
            for oid, base, (name, value) in zip(oids, under, binds, strict=False)
            if f"{name}".startswith(f"{base}.") and not _is_absent(value)
        }

    async def column(self, oid: str, most: int) -> dict[str, Raw]:
        """Rows of a table's column, at most ``most``: what stands behind the OID -> value."""
        rows: dict[str, Raw] = {}
        last, ended = oid, False
        while not ended and len(rows) < most:
            status, _, binds = await self._read(cmdgen.BulkCommandGenerator(), [last], 0, _ROWS)
            told = [(str(name), value) for name, value in binds if not _is_absent(value)]
            fresh = {
                name[len(oid) + 1 :]: _plain(v) for name, v in told if name.startswith(f"{oid}.")
            }
            ended = bool(status) or len(fresh) < len(binds) or fresh.keys() <= rows.keys()
            rows |= fresh
            last = told[-1][0] if told else oid
        return dict(list(rows.items())[:most])

    async def write(self, command: Command, argument: str) -> None:
        """Write a named command's integer.

        Raises:
            Refused: the device says no; an error status of 0 with an exception value counts so.
            Unreachable: no answer (the write may have happened), or the login is refused.
        """
        oid = command.oid
        pair = (rfc1902.ObjectName(oid), rfc1902.Integer32(int(command.raw(argument))))
        status, _, binds = await self._ask(cmdgen.SetCommandGenerator(), [pair])
        if status:
            raise Refused(f"{self.address}: {status.prettyPrint()}")
        if len(binds) != 1 or str(binds[0][0]) != oid or _is_absent(binds[0][1]):
            raise Refused(f"{self.address}: it has no object {oid} that can be written")

    async def _read(self, generator: Any, oids: Sequence[str], *options: int) -> Answer:
        """Ask; once more if a device that answered before does not: datagrams do get lost."""
        pairs = [(rfc1902.ObjectName(oid), _UNSPECIFIED) for oid in oids]
        try:
            return await self._ask(generator, pairs, *options)
        except Unreachable:
            if not self._alive:
                raise
            self._alive = False
        return await self._ask(generator, pairs, *options)

    async def _ask(self, generator: Any, pairs: Sequence[Any], *options: int) -> Answer:
        """Send below pysnmp's high-level calls: those look for MIB files, even in the network."""
        answer: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._timeout_real_s):
                target = await self._reach()
                self.requests += 1
                generator.send_varbinds(
                    self._engine, target, None, self._context, *options, pairs, _settle, answer
                )
                indication, status, index, binds = await answer
        except TimeoutError as error:
            raise await self._silence() from error
        except OSError as error:
            raise explain(self.address, error, self._timeout_real_s) from error
        except PySnmpError as error:
            raise Unreachable(f"{self.address}: {error}") from error
        if indication is not None:
            raise await self._fault(indication)
        self._alive = True
        return status, int(index), binds

    async def _reach(self) -> str:
        if not self._target:
            lookup = asyncio.get_running_loop().getaddrinfo  # whose error says what is wrong
            await lookup(self._host, self._port, type=socket.SOCK_DGRAM)
            target = await hlapi.UdpTransportTarget.create(
                (self._host, self._port), timeout=self._timeout_real_s, retries=0
            )
            registry = CommandGeneratorLcdConfigurator()
            names = registry.configure(self._engine, _auth_data(self._login), target)
            self._target = names[0]
        return self._target

    async def _silence(self) -> Unreachable:
        self._target = ""  # its name may mean another address by now
        if not self._alive and await nobody_listens(self._host, self._port):
            return Unreachable(
                f"{self.address} refuses: nothing listens on this UDP port; check the port, and"
                " whether SNMP is enabled on the device"
            )
        hint = "user and its rights" if self._login.user else "community"
        wait = f"no answer within {self._timeout_real_s:g} s (time-out)"
        return Unreachable(f"{self.address}: {wait}; check power, network, SNMP version and {hint}")

    async def _fault(self, indication: Any) -> Unreachable:
        if isinstance(indication, errind.RequestTimedOut):
            return await self._silence()
        if type(indication) in _LOGIN_FAULTS:
            why = _LOGIN_FAULTS[type(indication)]
            return LoginRefused(f"{self.address} refuses the SNMP login: {why}")
        return Unreachable(f"{self.address}: {indication}; check its SNMP settings")


def _auth_data(login: Login) -> Any:
    if not login.user:
        return hlapi.CommunityData(login.community, mpModel=1)  # noqa: S508 - many PDUs know no v3
    private = {"privKey": login.priv_key, "privProtocol": _PRIV[login.priv]}
    return hlapi.UsmUserData(
        login.user,
        authKey=login.auth_key,
        authProtocol=_AUTH[login.auth],
        **(private if login.priv_key else {}),
    )


def _settle(*result: Any) -> None:
    """Called by pysnmp with engine, handle, indication, status, index, bindings and the future."""
    answer: asyncio.Future[tuple[Any, ...]] = result[-1]
    if not answer.done():
        answer.set_result(result[2:6])


def _is_absent(value: Any) -> bool:
    return isinstance(value, _ABSENT)


def _plain(value: Any) -> Raw:
    """A number, or the text of anything else."""
    if isinstance(value, rfc1902.OctetString):  # digits in a text are no number yet
        return bytes(value).decode("utf-8", "replace")
    try:
        return int(value)
    except (TypeError, ValueError):
        return str(value)
