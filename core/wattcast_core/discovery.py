"""What a coordinator says of itself by zeroconf, and how an agent reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from wattcast_core.errors import DataError
from wattcast_core.messages import PROTOCOL_VERSION

SERVICE_TYPE = "_wattcast._tcp.local."


@dataclass(frozen=True, slots=True)
class Advert:
    """The TXT record.

    Attributes:
        cluster: name the rack files ask for.
        version: protocol version.
        token: fencing token, 0 on one that does not lead: agents try the highest first.
    """

    cluster: str
    version: int = PROTOCOL_VERSION
    token: int = 0


def pack(advert: Advert) -> dict[str, str]:
    """TXT properties."""
    return {
        "cluster": advert.cluster,
        "version": str(advert.version),
        "token": str(advert.token),
    }


def unpack(properties: Mapping[bytes, bytes | None]) -> Advert:
    """Read TXT properties.

    Raises:
        DataError: not a coordinator's record.
    """
    try:
        text = {k.decode(): (v or b"").decode() for k, v in properties.items()}
        return Advert(text["cluster"], int(text["version"]), int(text.get("token", "0")))
    except (KeyError, ValueError) as error:
        raise DataError(f"zeroconf: not a Wattcast coordinator's record ({error!r})") from error
