"""Who the agent is to an SNMP device."""

from dataclasses import dataclass

from wattcast_configs.rack import Snmp
from wattcast_configs.secret import read_secret
from wattcast_core.errors import ConfigError

AUTH = ("SHA", "SHA224", "SHA256", "SHA384", "SHA512")
PRIV = ("AES", "AES192", "AES256")


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
    context: str = ""

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
    for name, value, known in (("auth", snmp.auth, AUTH), ("priv", snmp.priv, PRIV)):
        if value not in known:
            raise ConfigError(f"{place}.{name}: '{value}' is unknown; known: {', '.join(known)}")
    if not snmp.auth_key:
        raise ConfigError(f"{place}.auth_key is missing; give 'env:NAME' or 'file:/path'")
    auth_key = read_secret(snmp.auth_key, f"{place}.auth_key")
    priv_key = read_secret(snmp.priv_key, f"{place}.priv_key") if snmp.priv_key else ""
    if min(len(key) for key in (auth_key, priv_key or auth_key)) < 8:
        raise ConfigError(f"{place}: SNMPv3 passphrases have at least 8 characters")
    return Login("", snmp.user, snmp.auth, auth_key, snmp.priv, priv_key, snmp.context)
