"""SNMP v2c and v3 by UDP; the only module that knows pysnmp."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wattcast_agent.devices.secret import read_secret
from wattcast_configs.rack import Snmp
from wattcast_core.errors import ConfigError, DataError, MissingExtraError, Refused, Unreachable

try:
    from pysnmp.error import PySnmpError  # type: ignore[import-untyped]  # it ships no types
    from pysnmp.hlapi.v3arch import asyncio as hlapi  # type: ignore[import-untyped]  # no types
    from pysnmp.proto import errind, rfc1902, rfc1905  # type: ignore[import-untyped]  # no types
except ImportError as error:
    raise MissingExtraError("pysnmp", "agent") from error

Ask = Callable[..., Awaitable[Any]]
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
_LOGIN_FAULTS = {
    errind.WrongDigest: "the authentication passphrase or protocol is wrong",
    errind.AuthenticationFailure: "the authentication passphrase or protocol is wrong",
    errind.UnknownUserName: "it does not know the user",
    errind.UnknownSecurityName: "it does not know the user",
    errind.DecryptionError: "the privacy passphrase or protocol is wrong",
    errind.UnsupportedSecurityLevel: "its user needs other authentication or privacy settings",
    errind.NotInTimeWindow: "its clock of SNMPv3 does not advance; restart the device's agent",
}


@dataclass(frozen=True, repr=False)
class Login:
    """Credentials in clear; never shown.

    Attributes:
        secure: true if requests are authenticated and encrypted.
    """

    community: str
    user: str = ""
    auth: str = ""
    auth_key: str = ""
    priv: str = ""
    priv_key: str = ""

    @property
    def secure(self) -> bool:
        """True if nobody on the way can read or forge a request."""
        return bool(self.user and self.auth_key and self.priv_key)


def login_of(device: str, snmp: Snmp) -> Login:
    """Credentials of a device of the rack file.

    Raises:
        ConfigError: none or wrong ones are given; the text names key and remedy.
    """
    place = f"device {device}: snmp"
    if bool(snmp.community) == bool(snmp.user):
        raise ConfigError(f"{place}: give either community (v2c) or user (v3)")
    if snmp.community:
        return Login(read_secret(snmp.community, f"{place}.community"))
    for name, value, known in (("auth", snmp.auth, _AUTH), ("priv", snmp.priv, _PRIV)):
        if value not in known:
            raise ConfigError(f"{place}.{name}: '{value}' is unknown; known: {', '.join(known)}")
    if not snmp.auth_key:
        raise ConfigError(f"{place}.auth_key is missing; give 'env:NAME' or 'file:/path'")
    auth_key = read_secret(snmp.auth_key, f"{place}.auth_key")
    priv_key = read_secret(snmp.priv_key, f"{place}.priv_key") if snmp.priv_key else ""
    if min(len(key) for key in (auth_key, priv_key or auth_key)) < 8:
        raise ConfigError(f"{place}: SNMPv3 passphrases have at least 8 characters")
    return Login("", snmp.user, snmp.auth, auth_key, snmp.priv, priv_key)


class Engines:
    """One SNMP engine for all devices with the same login.

    Two devices may know a user of the same name by different passphrases; one engine may not.
    """

    def __init__(self) -> None:
        self._engines: dict[Login, Any] = {}

    def of(self, login: Login) -> Any:
        """The engine of a login; needs a running event loop."""
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
    """

    def __init__(
        self, host: str, port: int, login: Login, engines: Engines, timeout_real_s: float
    ) -> None:
        self.address = f"{host}:{port}"
        self.secure = login.secure
        self.requests = 0
        self._host, self._port, self._timeout_real_s = host, port, timeout_real_s
        self._login, self._engines = login, engines
        self._auth = _auth_data(login)
        self._target: Any = None
        self._alive = False
        self._objects: dict[str, Any] = {}

    async def get(self, oids: Sequence[str]) -> dict[str, int | str]:
        """Values of objects in one request; those the device lacks are not there.

        One it cannot give in spite of version 2's rules costs an extra request, not the others.

        Raises:
            Unreachable: no answer, or the login is refused.
            DataError: the answer does not fit the request.
        """
        if not oids:
            return {}
        status, index, binds = await self._read(hlapi.get_cmd, *map(self._object, oids))
        if status == _TOO_BIG and len(oids) > 1:
            half = len(oids) // 2
            return await self.get(oids[:half]) | await self.get(oids[half:])
        if status:
            if not 1 <= index <= len(oids):
                raise DataError(f"{self.address} answered a read with error {status}")
            return await self.get([*oids[: index - 1], *oids[index:]])
        found = {str(oid): value for oid, value in binds}
        if set(found) != set(oids):
            raise DataError(f"{self.address} answered about other objects than asked for")
        return {oid: _plain(value) for oid, value in found.items() if not _is_absent(value)}

    async def column(self, oid: str, most: int) -> dict[str, int | str]:
        """Rows of a table's column, at most ``most``: what stands behind the OID -> value."""
        rows: dict[str, int | str] = {}
        last = oid
        while len(rows) < most:
            status, _, binds = await self._read(hlapi.bulk_cmd, 0, 24, self._object(last))
            inside = [(str(o), v) for o, v in binds if str(o).startswith(f"{oid}.")]
            inside = [(o, v) for o, v in inside if not isinstance(v, rfc1905.EndOfMibView)]
            if status or not inside or inside[-1][0] == last:
                break
            rows |= {o[len(oid) + 1 :]: _plain(v) for o, v in inside}
            last = inside[-1][0]
            if len(inside) < len(binds):
                break
        return dict(list(rows.items())[:most])

    async def set(self, oid: str, value: int) -> None:
        """Write one integer.

        Raises:
            Refused: the device says no; an error status of 0 with an exception value counts so.
            Unreachable: no answer (the write may have happened), or the login is refused.
        """
        bind = hlapi.ObjectType(hlapi.ObjectIdentity(oid), rfc1902.Integer32(value))
        status, _, binds = await self._ask(hlapi.set_cmd, bind)
        if status:
            raise Refused(f"{self.address}: {status.prettyPrint()}")
        if len(binds) != 1 or str(binds[0][0]) != oid or _is_absent(binds[0][1]):
            raise Refused(f"{self.address}: it has no object {oid} that can be written")

    def _object(self, oid: str) -> Any:
        """Kept because its making costs more than its sending."""
        if oid not in self._objects:
            self._objects[oid] = hlapi.ObjectType(hlapi.ObjectIdentity(oid))
        return self._objects[oid]

    async def _read(self, command: Ask, *args: Any) -> Answer:
        """Ask; once more if a device that answered before does not: datagrams do get lost."""
        try:
            return await self._ask(command, *args)
        except Unreachable:
            if not self._alive:
                raise
            self._alive = False
        return await self._ask(command, *args)

    async def _ask(self, command: Ask, *args: Any) -> Answer:
        engine = self._engines.of(self._login)
        try:
            async with asyncio.timeout(self._timeout_real_s):
                target = await self._reach()
                self.requests += 1
                indication, status, index, binds = await command(
                    engine, self._auth, target, hlapi.ContextData(), *args, lookupMib=False
                )
        except TimeoutError as error:
            raise self._silence() from error
        except (PySnmpError, OSError) as error:
            raise Unreachable(f"{self.address}: {error}") from error
        if indication is not None:
            raise self._fault(indication)
        self._alive = True
        return status, int(index), binds

    async def _reach(self) -> Any:
        if self._target is None:
            self._target = await hlapi.UdpTransportTarget.create(
                (self._host, self._port), timeout=self._timeout_real_s, retries=0
            )
        return self._target

    def _silence(self) -> Unreachable:
        hint = "user and its rights" if self._login.user else "community"
        wait = f"no answer within {self._timeout_real_s} s"
        return Unreachable(f"{self.address}: {wait}; check power, network, SNMP version and {hint}")

    def _fault(self, indication: Any) -> Unreachable:
        if isinstance(indication, errind.RequestTimedOut):
            return self._silence()
        why = _LOGIN_FAULTS.get(type(indication), str(indication))
        return Unreachable(f"{self.address} refuses the SNMP login: {why}")


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


def _is_absent(value: Any) -> bool:
    return isinstance(value, _ABSENT)


def _plain(value: Any) -> int | str:
    """A number, or the text of anything else."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return str(value)
