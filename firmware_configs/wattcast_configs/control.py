"""The coordinator's own file: where it listens, where it keeps things, how it decides."""

from dataclasses import dataclass, field

from wattcast_configs.grid import Grid
from wattcast_configs.site import ClockConfig
from wattcast_core.errors import ConfigError

MONEY_MOVES = ("off", "advise", "automatic")


@dataclass(frozen=True, slots=True)
class Listen:
    """Addresses to bind; port 0 takes a free one."""

    grpc: str = "127.0.0.1:7443"
    rest: str = "127.0.0.1:7480"
    cluster: str = "wattcast"
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Etcd:
    """The etcd cluster; without endpoints one is started as a child.

    Attributes:
        endpoints: ``host:port`` of members.
        ttl_s: real seconds of the leader's lease.
    """

    endpoints: tuple[str, ...] = ()
    ttl_s: int = 3


@dataclass(frozen=True, slots=True)
class Store:
    """The signature database.

    Attributes:
        url: ``duckdb:FILE`` or ``postgresql://user@host1,host2/database`` (password in
            ``~/.pgpass``); empty: ``signatures.duckdb`` in state_dir.
        read_url: a PostgreSQL that answers queries instead, as a replica.
        raw_days: days that rows are kept as they came.
        rollup_days: days that rows by minute and forecasts are kept.
        backup_dir: folder for backups that the leader takes; empty: none.
        backup_days: days from one to the next.
        backups_kept: older ones are deleted.
    """

    url: str = ""
    read_url: str = ""
    raw_days: float = 7.0
    rollup_days: float = 90.0
    backup_dir: str = ""
    backup_days: float = 1.0
    backups_kept: int = 7

    def __post_init__(self) -> None:
        if not 1 <= self.raw_days <= self.rollup_days:
            raise ConfigError("store: raw_days must be 1 or more, rollup_days not less than that")
        if self.backup_days <= 0 or self.backups_kept < 1:
            raise ConfigError("store: backup_days must be above 0, backups_kept at least 1")


@dataclass(frozen=True, slots=True)
class Redirector:
    """The reverse proxy in front of the movable workloads.

    Attributes:
        kind: ``envoy`` or ``haproxy``.
        dir: folder with its admin socket and endpoint files.
    """

    kind: str = "envoy"
    dir: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """How risk is judged and how much may be done.

    Attributes:
        step_s: step of the decision cycle (data).
        base_quantile, n1_quantile: quantile of load held under the limits.
        confirm: a risk must stand in this many of the last ``confirm_of`` cycles (k of n).
        max_moves, max_transfers: churn budget of one plan.
        setup_real_s: real seconds a migration needs besides copying.
        settle_real_s: real seconds to wait for all agents of a step.
        money_moves: what is done, in a room without any risk, about a workload that would run
            cheaper behind another meter: ``off``, ``advise`` or ``automatic``.
        disruption_money: money that a move of cost 1 (criticality 1, no state) is worth avoiding.
    """

    step_s: float = 300.0
    base_quantile: float = 0.99
    n1_quantile: float = 0.9
    confirm: int = 2
    confirm_of: int = 3
    max_moves: int = 6
    max_transfers: int = 2
    max_parallel: int = 2
    dwell_s: float = 900.0
    bandwidth_mib_s: float = 128.0
    setup_real_s: float = 4.0
    settle_real_s: float = 0.6
    command_ttl_real_s: float = 10.0
    money_moves: str = "off"
    disruption_money: float = 1.0

    def __post_init__(self) -> None:
        if self.money_moves not in MONEY_MOVES:
            known = ", ".join(MONEY_MOVES)
            raise ConfigError(f"decision.money_moves: '{self.money_moves}'; known: {known}")
        if not self.disruption_money > 0:
            raise ConfigError("decision.disruption_money: give money above 0")


PROMOTIONS = ("advise", "automatic")


@dataclass(frozen=True, slots=True)
class Models:
    """How forecast models are kept, trained again and replaced.

    Attributes:
        retrain_days: days (data) from one training to the next; 0 = only when it is asked for.
        retrain_on_drift: also when forecasts have become worse; needs ``retrain_days`` above 0.
        train_days: days of the signature database to learn from.
        judge_days: newest days that are left out, to judge what was learned.
        windows, epochs: of each training.
        margin: share by which a challenger must lose less than the model in service.
        promote: ``automatic`` lets a better one serve, ``advise`` only tells of it.
        niceness: of the training process, 0 to 19.
    """

    retrain_days: float = 0.0
    retrain_on_drift: bool = True
    train_days: float = 60.0
    judge_days: float = 2.0
    windows: int = 50_000
    epochs: int = 10
    margin: float = 0.02
    promote: str = "automatic"
    niceness: int = 15

    def __post_init__(self) -> None:
        if self.promote not in PROMOTIONS:
            known = ", ".join(PROMOTIONS)
            raise ConfigError(f"models.promote: '{self.promote}'; known: {known}")
        if self.retrain_days < 0 or not 0 < self.judge_days < self.train_days:
            raise ConfigError(
                "models: retrain_days must not be negative, judge_days above 0 and below train_days"
            )
        if not (0 <= self.margin < 1 and 0 <= self.niceness <= 19):
            raise ConfigError("models: give margin from 0 to 1, niceness from 0 to 19")
        if self.windows < 1 or self.epochs < 1:
            raise ConfigError("models: windows and epochs must be at least 1")


@dataclass(frozen=True, slots=True)
class Control:
    """The whole coordinator file; paths are relative to it."""

    id: str
    site: str
    state_dir: str
    listen: Listen = field(default_factory=Listen)
    etcd: Etcd = field(default_factory=Etcd)
    store: Store = field(default_factory=Store)
    redirector: Redirector = field(default_factory=Redirector)
    decision: Decision = field(default_factory=Decision)
    models: Models = field(default_factory=Models)
    grid: Grid = field(default_factory=Grid)
    clock: ClockConfig = field(default_factory=ClockConfig)
