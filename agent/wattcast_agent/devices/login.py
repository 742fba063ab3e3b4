"""Who the agent is to a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattcast_configs.address import Address
from wattcast_configs.rack import Device, Snmp, Tls
from wattcast_configs.secret import read_secret
from wattcast_core.errors import ConfigError

AUTH = ("SHA", "SHA224", "SHA256", "SHA384", "SHA512")
PRIV = ("AES", "AES192", "AES256")
ENVIRONMENT = {  # secrets of the technician's tool, where a rack file refers to its own
    "auth_key": "WATTCAST_SNMP_AUTH_KEY",
    "priv_key": "WATTCAST_SNMP_PRIV_KEY",
    "community": "WATTCAST_SNMP_COMMUNITY",
    "password": "WATTCAST_PASSWORD",
}


@dataclass(frozen=True, repr=False)
class Login:
    """Credentials in clear; never shown.

    Attributes:
        community: of SNMP v2c; empty for v3.
        user: name at SNMP v3, Redfish or NUT.
        password: of ``user`` at Redfish or NUT.
        tls: certificates.
    """

    community: str = ""
    user: str = ""
    auth: str = ""
    auth_key: str = ""
    priv: str = ""
    priv_key: str = ""
    context: str = ""
    password: str = ""
    tls: Tls = field(default_factory=Tls)

    @property
    def secure(self) -> bool:
        """SNMP: true if nobody on the way can read or forge a request."""
        return bool(self.user and self.auth_key and self.priv_key)


def login_of(device: Device, where: Address) -> Login:
    """Credentials of a device of the rack file; ``where`` is its address.

    Raises:
        ConfigError: none or wrong ones are given; the text names key and remedy.
    """
    if where.password or "community" in where.options:
        raise ConfigError(
            f"device {device.id}: url: a secret is not written here; use the keys snmp or password"
        )
    if where.protocol == "snmp":
        return _snmp(device.snmp, f"device {device.id}: snmp")
    place = f"device {device.id}: password"
    password = read_secret(device.password, place) if device.password else ""
    return Login(user=device.user or where.user, password=password, tls=device.tls)


def login_from(where: Address, environment: Mapping[str, str]) -> Login:
    """Credentials of a URL that a person typed; its secrets come from the environment.

    Raises:
        ConfigError: one is missing or wrong.
    """
    options = where.options
    secrets = {name: environment.get(variable, "") for name, variable in ENVIRONMENT.items()}
    if where.protocol == "snmp":
        return _typed_snmp(where, secrets)
    verify = {"yes": True, "no": False}.get(options.get("verify", "yes"))
    if verify is None:
        raise ConfigError(f"{where}: verify is 'yes' or 'no'")
    tls = Tls(options.get("ca", ""), options.get("cert", ""), options.get("key", ""), verify)
    return Login(user=where.user, password=where.password or secrets["password"], tls=tls)


def _typed_snmp(where: Address, secrets: Mapping[str, str]) -> Login:
    options = where.options
    version = options.get("version", "3" if where.user else "2c")
    if version not in ("2c", "3"):
        raise ConfigError(f"{where}: SNMP version '{version}' is not supported; give 2c or 3")
    if bool(where.user) != (version == "3"):
        raise ConfigError(f"{where}: version 3 needs a user, as in snmp://user@host; 2c has none")
    if not where.user:
        community = options.get("community") or secrets["community"] or "public"
        return Login(community)
    login = Login(
        user=where.user,
        auth=options.get("auth", "SHA256"),
        auth_key=where.password or secrets["auth_key"],
        priv=options.get("priv", "AES"),
        priv_key=secrets["priv_key"],
        context=options.get("context", ""),
    )
    _known_protocols(login.auth, login.priv, str(where))
    if not login.auth_key:
        raise ConfigError(f"{where}: set {ENVIRONMENT['auth_key']} to the passphrase of the user")
    if "priv" in options and not login.priv_key:
        raise ConfigError(f"{where}: set {ENVIRONMENT['priv_key']} to the privacy passphrase")
    return _long_enough(login, str(where))


def _snmp(snmp: Snmp, place: str) -> Login:
    if bool(snmp.community) == bool(snmp.user):
        raise ConfigError(f"{place}: give either community (v2c) or user (v3)")
    if snmp.community:
        return Login(read_secret(snmp.community, f"{place}.community"))
    _known_protocols(snmp.auth, snmp.priv, place)
    if not snmp.auth_key:
        raise ConfigError(f"{place}.auth_key is missing; give 'env:NAME' or 'file:/path'")
    login = Login(
        user=snmp.user,
        auth=snmp.auth,
        auth_key=read_secret(snmp.auth_key, f"{place}.auth_key"),
        priv=snmp.priv,
        priv_key=read_secret(snmp.priv_key, f"{place}.priv_key") if snmp.priv_key else "",
        context=snmp.context,
    )
    return _long_enough(login, place)


def _long_enough(login: Login, place: str) -> Login:
    if min(len(key) for key in (login.auth_key, login.priv_key or login.auth_key)) < 8:
        raise ConfigError(f"{place}: SNMPv3 passphrases have at least 8 characters")
    return login


def _known_protocols(auth: str, priv: str, place: str) -> None:
    for name, value, known in (("auth", auth, AUTH), ("priv", priv, PRIV)):
        if value not in known:
            raise ConfigError(f"{place}.{name}: '{value}' is unknown; known: {', '.join(known)}")
