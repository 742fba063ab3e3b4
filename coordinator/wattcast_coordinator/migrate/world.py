"""What is observed of one migration before each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate in front of a workload's requests.

    Attributes:
        generation: number of the latest quiesce.
        quiesced: requests are held, until the lease ends or ``release``.
        lease_remaining_s: real seconds until a held gate opens by itself.
        released: requests are sent away (503) for good.
    """

    generation: int
    quiesced: bool
    lease_remaining_s: float
    released: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """A workload's instance on one server.

    Attributes:
        known: whether the server's engine answered; if not, nothing else is meaningful.
        kept: the engine keeps state of it, running or stopped.
        address: ``host:port`` where it runs; empty if it does not.
        gate: None if the workload did not answer.
    """

    known: bool = True
    kept: bool = False
    address: str = ""
    healthy: bool = False
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class World:
    """One observation.

    Attributes:
        now_s: real seconds of a monotonic clock.
        endpoints: what the proxy has attached, address -> receives traffic; None if unknown.
        active: requests the proxy has in flight at the source.
    """

    now_s: float
    source: Instance
    target: Instance
    endpoints: Mapping[str, bool] | None = field(default_factory=dict)
    active: int = 0

    def serves(self, instance: Instance) -> bool:
        """Whether the proxy sends requests to it."""
        return bool(self.endpoints and self.endpoints.get(instance.address, False))

    def others(self, *instances: Instance) -> list[str]:
        """Attached addresses without traffic that belong to none of ``instances``."""
        mine = {instance.address for instance in instances}
        return [a for a, serving in (self.endpoints or {}).items() if a not in mine and not serving]
