"""Where a device is reached: a URL, the same for the technician's tool and the rack file."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from wattcast_core.errors import ConfigError


class Scheme(NamedTuple):
    """A way to reach a device: its protocol, default port (0 = none) and options."""

    protocol: str
    port: int
    options: tuple[str, ...]


_SERIAL = ("baud", "parity", "stopbits")
_TLS = ("ca", "cert", "key", "verify")
SCHEMES: Mapping[str, Scheme] = {
    "modbus-tcp": Scheme("modbus", 502, ("device_id",)),
    "modbus-rtu-tcp": Scheme("modbus", 502, ("device_id",)),
    "modbus-tls": Scheme("modbus", 802, ("device_id", *_TLS)),
    "modbus-rtu": Scheme("modbus", 0, ("device_id", *_SERIAL)),
    "snmp": Scheme("snmp", 161, ("version", "community", "auth", "priv", "context")),
    "redfish": Scheme("redfish", 443, ("tls", *_TLS)),
    "nut": Scheme("nut", 3493, ("tls", *_TLS)),
    "bacnet": Scheme("bacnet", 47808, ("local",)),
}
EXAMPLES = (
    "modbus-tcp://host:502?device_id=1",
    "modbus-rtu:///dev/ttyUSB0?device_id=1&baud=9600&parity=N",
    "modbus-rtu-tcp://host:4001?device_id=1",
    "modbus-tls://host:802?ca=ca.pem&cert=me.pem&key=me.key",
    "snmp://host:161?community=public",
    "snmp://user@host:161?auth=SHA256&priv=AES",
    "redfish://user@host/redfish/v1/PowerEquipment/RackPDUs/1",
    "nut://host:3493/ups",
    "bacnet://host:47808/1234",
)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL.

    Attributes:
        scheme: key of ``SCHEMES``.
        host: name or IP address; empty for a serial line.
        path: serial device, Redfish resource, NUT device or BACnet device instance.
        user: login name; ``password`` only where a person typed it into a command.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def protocol(self) -> str:
        """Protocol whose profiles may fit."""
        return SCHEMES[self.scheme].protocol

    @property
    def line(self) -> str:
        """What several devices may share: the connection, without unit or path."""
        if self.scheme == "modbus-rtu":
            return f"{self.scheme}://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def device_id(self) -> int:
        """Modbus device id (unit), 1 unless given.

        Raises:
            ConfigError: it is no number from 0 to 255.
        """
        text = self.options.get("device_id", "1")
        if not text.isdecimal() or int(text) > 255:
            raise ConfigError(f"{self.line}: device_id '{text}' is not 0..255")
        return int(text)

    def __str__(self) -> str:
        if self.scheme == "modbus-rtu" or self.protocol == "modbus":
            return f"{self.line}?device_id={self.device_id}"
        return f"{self.line}{self.path}"


def parse_url(url: str) -> Address:
    """Read a URL.

    Raises:
        ConfigError: scheme, host, port or an option is wrong; the text says what is right.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"'{_safe(url)}': {error}; write e.g. {EXAMPLES[0]}") from error
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or "://" not in url:
        unknown = (
            f"'{parts.scheme}' is no way to a device" if parts.scheme else "write SCHEME://HOST"
        )
        hint = _hint(parts.scheme, SCHEMES)
        raise ConfigError(f"'{_safe(url)}': {unknown}; {hint}; e.g. {EXAMPLES[0]}")
    options = _options(parts.query, scheme, parts.scheme)
    if parts.scheme == "modbus-rtu":
        if parts.netloc or not parts.path:
            raise ConfigError(f"'{url}': write the serial device as modbus-rtu:///dev/ttyUSB0")
    elif not parts.hostname:
        raise ConfigError(f"'{_safe(url)}': the host is missing; e.g. {_example(parts.scheme)}")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=port if port is not None else scheme.port,
        path=unquote(parts.path),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        options=options,
    )


def _options(query: str, scheme: Scheme, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in scheme.options:
            raise ConfigError(f"{name}: option '{key}' is unknown; {_hint(key, scheme.options)}")
        if not value or key in found:
            wrong = "stands twice" if value else "is empty"
            raise ConfigError(f"{name}: option '{key}' {wrong}; give it once, or leave it out")
        found[key] = value
    return found


def _hint(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def _example(scheme: str) -> str:
    return next(text for text in EXAMPLES if text.startswith(f"{scheme}://"))


def _safe(url: str) -> str:
    """The URL without what might be a secret."""
    head, _, tail = url.partition("?")[0].rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if head else tail
