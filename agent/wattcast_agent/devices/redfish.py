"""A device behind a Redfish service (DMTF DSP0266): power equipment, or a server's chassis."""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from wattcast_agent.devices.decode import Objects
from wattcast_agent.devices.login import Login
from wattcast_agent.devices.reach import explain
from wattcast_agent.devices.redfish_walk import Body, Walk, members, reference
from wattcast_agent.devices.tls import tls_context
from wattcast_configs.address import Address
from wattcast_configs.profile import Command
from wattcast_configs.rack import Tls
from wattcast_core.errors import (
    ConfigError,
    DataError,
    LoginRefused,
    MissingExtraError,
    Refused,
    Unreachable,
)

try:
    import httpx
except ImportError as error:
    raise MissingExtraError("httpx", "redfish") from error

_ROOT = "/redfish/v1/"
_POWER = "/redfish/v1/PowerEquipment"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_EQUIPMENT = ("RackPDUs", "FloorPDUs", "TransferSwitches", "PowerShelves", "Switchgear")
_NOT_OFFERED = (404, 405, 501)
_AT_ONCE = 4  # requests side by side: management controllers are small
_SNAPSHOT = 8  # a snapshot may take so many times as long as one answer


class RedfishPeer:
    """One device of a Redfish service.

    Attributes:
        secure: true if requests are encrypted, to a service that was authenticated.
    """

    introduces: tuple[str, ...] = ("Manufacturer", "Model", "EquipmentType")

    def __init__(self, where: Address, login: Login, timeout_real_s: float) -> None:
        """Prepare; the first request connects and logs in.

        Raises:
            ConfigError: certificates cannot be read, or the option tls is unknown.
        """
        tls = where.options.get("tls", "")
        if tls not in ("", "yes", "no"):
            raise ConfigError(f"{where}: tls is 'yes' or 'no'")
        self.address = str(where)
        # Nobody stands between a machine and itself: there a certificate need not be checked.
        local = _is_loopback(where.host)
        certificates = Tls(verify=False) if local and not login.tls.ca else login.tls
        self._context = tls_context(certificates, self.address)
        self.secure = tls != "no" and self._context.verify_mode is ssl.CERT_REQUIRED
        self._plain_too = local and not tls
        self._login, self._timeout_real_s = login, timeout_real_s
        self._host = where.line.partition("://")[2]
        self._http = self._client("http" if tls == "no" else "https")
        self._device = where.path
        self._session = ""
        self._expands = self._ready = False
        self._etag = ""

    async def snapshot(self, keys: Sequence[str]) -> Objects:
        """What the paths lead to.

        Raises:
            Unreachable: no connection or answer, or the login is refused.
            DataError: the service answers senselessly.
        """
        try:
            async with asyncio.timeout(_SNAPSHOT * self._timeout_real_s):
                await self._start()
                answer = await self._request("GET", self._device)
                device = self._body(answer, self._device)
                self._etag = answer.headers.get("ETag") or str(device.get("@odata.etag", ""))
                return await Walk(self._fetch).all(device, keys)
        except TimeoutError as error:
            raise Unreachable(f"{self.address}: its answers take too long (time-out)") from error

    async def write(self, command: Command, argument: str) -> None:
        """Set a named command's property, if nobody else has changed the resource meanwhile.

        Raises:
            Refused: the service says no, or the resource has changed since it was read.
            Unreachable: no answer (the write may have happened), or the login is refused.
        """
        body: Any = command.raw(argument)
        for name in reversed(command.path.split("/")):
            body = {name: body}
        headers = {"If-Match": self._etag} if self._etag else {}
        answer = await self._request("PATCH", self._device, json=body, headers=headers)
        if answer.status_code == 412:
            raise Refused("somebody else has changed it meanwhile (412); nothing was written")
        if answer.status_code >= 300:
            raise Refused(f"it answered {answer.status_code}: {_message(answer)}")

    async def close(self) -> None:
        """Log out: a service has room for few sessions."""
        if self._session:
            with suppress(httpx.HTTPError):  # else it ends the session by itself in time
                await self._http.delete(self._session)
        self._session, self._ready = "", False
        await self._http.aclose()

    async def _fetch(self, uri: str, with_members: bool) -> Body | None:  # noqa: FBT001 - Walk's
        """A resource; of a collection with its members where the service can; None if absent."""
        query = "?$expand=.($levels=1)" if with_members and self._expands else ""
        answer = await self._request("GET", f"{uri}{query}")
        return self._body(answer, uri) if answer.status_code < 300 else None

    async def _start(self) -> None:
        if self._ready:
            return
        answer = await self._request("GET", _ROOT)
        if answer.status_code == 404:  # some know it only without the slash at its end
            answer = await self._request("GET", _ROOT.rstrip("/"))
        root = self._body(answer, _ROOT)
        if not str(root.get("RedfishVersion", "1")).startswith("1"):
            version = root["RedfishVersion"]
            raise LoginRefused(f"{self.address} speaks Redfish {version}; only version 1 is known")
        features = root.get("ProtocolFeaturesSupported", {}).get("ExpandQuery", {})
        self._expands = bool(features.get("NoLinks") or features.get("ExpandAll"))
        if self._login.user:
            await self._log_in(reference(root.get("Links"), "Sessions") or _SESSIONS)
        if not self._device.strip("/"):
            self._device = await self._only_device(root)
        self._ready = True

    async def _log_in(self, sessions: str) -> None:
        who = {"UserName": self._login.user, "Password": self._login.password}
        answer = await self._send("POST", sessions, json=who)
        if answer.status_code in _NOT_OFFERED:
            self._http.auth = httpx.BasicAuth(self._login.user, self._login.password)
            return
        token = answer.headers.get("X-Auth-Token")
        if answer.status_code >= 300 or not token:
            raise LoginRefused(
                f"{self.address} refuses the login of '{self._login.user}'"
                f" ({answer.status_code}); check user and password"
            )
        self._http.headers["X-Auth-Token"] = token
        self._session = answer.headers.get("Location", "") or _SESSIONS

    async def _only_device(self, root: Body) -> str:
        """Power equipment; where a service has none, the chassis of a server."""
        equipment = await self._linked(root, "PowerEquipment") or await self._fetch(_POWER, False)  # noqa: FBT003 - Walk's signature
        found = [u for n in _EQUIPMENT for u in members(await self._linked(equipment, n))]
        found = found or members(await self._linked(root, "Chassis"))
        if len(found) != 1:
            known = ", ".join(f"redfish://{self._host}{uri}" for uri in found) or "none"
            raise Refused(f"{self.address} has several devices or none; give one of: {known}")
        return found[0]

    async def _linked(self, node: Body | None, name: str) -> Body | None:
        uri = reference(node, name)
        return await self._fetch(uri, False) if uri else None  # noqa: FBT003 - Walk's signature

    async def _request(self, method: str, uri: str, **more: Any) -> httpx.Response:
        """Ask; once more with a new session where the old one has ended."""
        answer = await self._send(method, uri, **more)
        if answer.status_code == 401 and self._session:
            self._session = ""
            self._http.headers.pop("X-Auth-Token", None)
            await self._log_in(_SESSIONS)
            answer = await self._send(method, uri, **more)
        if answer.status_code in (401, 403):
            raise LoginRefused(
                f"{self.address} refuses {method} {uri} ({answer.status_code}); give a user whose"
                " role allows it"
            )
        return answer

    async def _send(self, method: str, uri: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, uri, **more)
        except httpx.TimeoutException as error:
            raise explain(self.address, TimeoutError(), self._timeout_real_s) from error
        except httpx.HTTPError as error:
            cause = _cause(error)
            if not (self._plain_too and isinstance(cause, ssl.SSLError)):
                raise explain(self.address, cause, self._timeout_real_s) from error
        self._plain_too = False  # a service on this machine that speaks plain HTTP
        await self._http.aclose()
        self._http = self._client("http")
        return await self._send(method, uri, **more)

    def _client(self, scheme: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"{scheme}://{self._host}",
            verify=self._context,
            timeout=self._timeout_real_s,
            limits=httpx.Limits(max_connections=_AT_ONCE),
            follow_redirects=True,
            headers={"OData-Version": "4.0", "Accept": "application/json"},
        )

    def _body(self, answer: httpx.Response, uri: str) -> Body:
        if answer.status_code >= 300:
            what = f"{uri} answered {answer.status_code}: {_message(answer)}"
            raise DataError(f"{self.address}: {what}; is it a Redfish service?")
        try:
            body = answer.json()
        except ValueError as error:
            raise DataError(f"{self.address}: {uri} is no JSON; is it Redfish?") from error
        if not isinstance(body, dict):
            raise DataError(f"{self.address}: {uri} is no resource; is it Redfish?")
        return body


def _message(answer: httpx.Response) -> str:
    """What a service says went wrong."""
    try:
        error = answer.json()["error"]
        details = error.get("@Message.ExtendedInfo") or [error]
        return str(details[0].get("Message") or details[0].get("message"))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return answer.reason_phrase


def _cause(error: BaseException) -> Exception:
    """The socket's own error under those of httpx, httpcore and anyio: the innermost."""
    inner: BaseException | None = error
    found: OSError | None = None
    while inner is not None:
        found = inner if isinstance(inner, OSError) else found
        inner = inner.__cause__ or inner.__context__
    if found is not None:
        return found
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return ConnectionResetError(str(error))
    return OSError(str(error))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
