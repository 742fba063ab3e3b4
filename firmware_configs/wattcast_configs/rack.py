"""The rack file: what one agent reads, and where it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from wattcast_configs.address import Address, parse_url
from wattcast_configs.place import known
from wattcast_configs.point import Point
from wattcast_configs.site import ClockConfig
from wattcast_core.errors import ConfigError

OWN_MACHINE = "self"  # in place of a node_exporter's address
LoadKind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent itself.

    Attributes:
        step_s: signature step in data seconds.
        poll_real_s: real seconds between two polls of a device.
        scrape_real_s: real seconds between two readings of a server's own metrics.
        state_dir: where spool, fencing token and commissioning state live.
        cluster: zeroconf name of the coordinator to look for.
        interface: address zeroconf binds, e.g. 127.0.0.1; empty = all.
        supplies: ids of the switches, PDUs or feeds that supply the agent and its path to the
            devices; no transfer switch is commanded unless this is told.
    """

    id: str
    rack: str
    state_dir: str
    site: str = ""
    step_s: float = 300.0
    poll_real_s: float = 1.0
    scrape_real_s: float = 10.0
    cluster: str = "wattcast"
    interface: str = ""
    supplies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coordinator:
    """An explicit coordinator address; overrides discovery."""

    address: str = ""


@dataclass(frozen=True, slots=True)
class Partner:
    """The other agent of this rack, on the other feed: one reads the devices, one stands by.

    Attributes:
        id: its agent id; empty = none.
        address: ``host:port`` at which it listens for this agent.
        listen: ``host:port`` at which this agent listens for it.
        key: where the key stands that both know: ``env:NAME`` or ``file:/path``.
    """

    id: str = ""
    address: str = ""
    listen: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """The model file; empty = the base model that ships."""

    path: str = ""
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class Snmp:
    """How to log in to a device by SNMP: v2c with a community, or v3 with a user.

    A secret is never written here, only where it stands: ``env:NAME`` or ``file:/path``.

    Attributes:
        community: where the community of v2c stands.
        user: user name of v3.
        auth: ``SHA``, ``SHA224``, ``SHA256``, ``SHA384`` or ``SHA512``.
        auth_key: where the authentication passphrase stands.
        priv: ``AES``, ``AES192`` or ``AES256``.
        priv_key: where the privacy passphrase stands; without it nothing can be written.
        context: context name of v3; few devices have one.
    """

    community: str = ""
    user: str = ""
    auth: str = "SHA256"
    auth_key: str = ""
    priv: str = "AES"
    priv_key: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates for devices that speak TLS; paths of PEM files.

    Attributes:
        ca: who signed the device's certificate; empty = those the system trusts.
        cert: client certificate, with its ``key``, for devices that ask for one.
        verify: False accepts any certificate: the device is then not authenticated.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """A device the agent polls.

    Attributes:
        profile: name of a device profile, e.g. ``raritan_xerus_pdu``, or of a profile file beside
            the rack file, e.g. ``our_meter.toml``.
        url: where it is reached, e.g. ``modbus-rtu:///dev/ttyUSB0?device_id=3`` (see ``address``);
            instead of it ``host`` and ``port`` (and Modbus ``unit``) mean Modbus TCP or SNMP.
        user: login name of a Redfish or NUT device; ``password`` says where its password stands:
            ``env:NAME`` or ``file:/path``.
        server: for a cord meter, the server whose cord it measures; empty for others.
        cord: index of that cord (0 or 1).
        cords: of a device that meters several, part -> ``server/cord``: {"outlet.7" = "web-1/0"}.
        role: for an ATS input meter ``source_a`` or ``source_b`` of the ATS in ``ats``.
        lab: true on a simulated or bench device: lab_only commands are allowed.
        isolated: true if nobody else reaches the device's network: it may be commanded without
            authentication and privacy.
        snmp: login of an SNMP device.
        point: readings that are site data, as in a profile: objects of a BACnet building system.
    """

    id: str
    profile: str
    host: str = ""
    port: int = 0
    unit: int = 1
    url: str = ""
    server: str = ""
    cord: int = 0
    ats: str = ""
    role: str = ""
    lab: bool = False
    isolated: bool = False
    snmp: Snmp = field(default_factory=Snmp)
    cords: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    password: str = ""
    tls: Tls = field(default_factory=Tls)
    point: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.host):
            raise ConfigError(f"device {self.id}: give either url, or host and port")

    @property
    def where(self) -> Address:
        """Its address.

        Raises:
            ConfigError: ``url`` is wrong.
        """
        if self.url:
            return parse_url(self.url)
        if self.snmp.community or self.snmp.user:
            return Address("snmp", self.host, self.port)
        return Address("modbus-tcp", self.host, self.port, options={"device_id": str(self.unit)})

    def measured(self) -> dict[str, tuple[str, int]]:
        """Part of the device -> (server, cord) whose power it measures.

        Raises:
            ConfigError: what stands in ``cords`` is no server and cord.
        """
        found = {"inlet.1": (self.server, self.cord)} if self.server else {}
        for part, target in self.cords.items():
            server, slash, cord = target.rpartition("/")
            if not (slash and cord.isdecimal()):
                raise ConfigError(
                    f"device {self.id}: cords.\"{part}\" is '{target}'; give 'server/cord', as in"
                    " 'web-1/0'"
                )
            found[part] = (server, int(cord))
        return found


@dataclass(frozen=True, slots=True)
class AtsSafety:
    """Limits of one transfer switch.

    Attributes:
        rating_a: smallest of the switch's and the weakest breaker's rating on either path.
        hold_up_ms: known hold-up of the loads behind it; must exceed transfer_ms.
        dwell_s: least data time between two transfers.
        max_per_hour: cap of transfers a data hour.
        deadline_real_s: real seconds to wait for the active source to follow.
        return_s: data seconds after which a self-return would have shown.
        trip_a: current at which the weakest breaker opens at once; 0 = five times rating_a.
        inrush_factor: what the loads take in the moment of a transfer, of their current.
        feed_a, feed_b: names of the feeds on its inputs: one switch at a time moves to a feed.
        ups_a, ups_b: device id of the UPS behind an input, or ``none``; must be told.
        tested: models and firmware that were tested, each as words that the switch says of itself
            (``wattcast tech probe`` shows them), e.g. ``MN:AP4423 v6.9.6``.
    """

    id: str
    rating_a: float
    hold_up_ms: float = 0.0
    transfer_ms: float = 12.0
    dwell_s: float = 300.0
    max_per_hour: int = 4
    deadline_real_s: float = 5.0
    return_s: float = 60.0
    voltage_min_v: float = 207.0
    voltage_max_v: float = 253.0
    frequency_min_hz: float = 49.5
    frequency_max_hz: float = 50.5
    phase_max_deg: float = 20.0
    trip_a: float = 0.0
    inrush_factor: float = 3.0
    feed_a: str = "A"
    feed_b: str = "B"
    ups_a: str = ""
    ups_b: str = ""
    tested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserLoad:
    """A Prometheus metric that tells what users ask of a server; it becomes part of its signature.

    Attributes:
        url: of a page of metrics; empty = none.
        metric: e.g. ``http_requests_total``.
        labels: series must have them; those that do are added up.
        kind: ``counter`` (becomes a rate a second) or ``gauge``.
    """

    url: str = ""
    metric: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    kind: LoadKind = "counter"

    def __post_init__(self) -> None:
        known(self.kind, get_args(LoadKind), "user_load.kind")
        if bool(self.url) != bool(self.metric):
            raise ConfigError("user_load: give both url and metric")


@dataclass(frozen=True, slots=True)
class Host:
    """A server in this rack and the tags of its signature.

    Attributes:
        node_exporter: address of its metrics; ``self`` = it is the agent's own machine.
    """

    id: str
    cords: int = 2
    node_exporter: str = ""
    application: str = ""
    version: str = ""
    os: str = ""
    criticality: int = 3
    user_load: UserLoad = field(default_factory=UserLoad)


@dataclass(frozen=True, slots=True)
class Rack:
    """The whole rack file."""

    agent: Agent
    device: tuple[Device, ...]
    server: tuple[Host, ...]
    coordinator: Coordinator = field(default_factory=Coordinator)
    partner: Partner = field(default_factory=Partner)
    model: Model = field(default_factory=Model)
    ats: tuple[AtsSafety, ...] = ()
    clock: ClockConfig = field(default_factory=ClockConfig)
