"""The study: tune on the fit part, then count servers on the test part, seed by seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wattcast_tools.capacity import static
from wattcast_tools.capacity.foresight import Foresight
from wattcast_tools.capacity.policy import GuardBand, Oracle, Policy, Predictive
from wattcast_tools.capacity.pool import Pool
from wattcast_tools.capacity.room import Plot, build
from wattcast_tools.capacity.simulate import Lived, live

GUARDS = (0.01, 0.02, 0.03, 0.05, 0.08)  # of a limit
MARGINS = (1.0, 1.5, 2.0, 3.0, 4.0)  # standard deviations
FILL = 0.92  # of the balance bound: how full rooms are in which both are tuned
_MOST = 1800
_STEP = 3  # servers

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all seeds share.

    Attributes:
        fit, test: steps of the recording.
    """

    pool: Pool
    foresight: Foresight
    plot: Plot
    fit: range
    test: range

    def seeded(self, seed: int) -> "Setting":
        """The same with the plot of a seed."""
        return replace(self, plot=replace(self.plot, seed=seed))


def guard_band(setting: Setting, guard: float) -> Policy:
    """The reactive rival."""
    return GuardBand(setting.pool, guard)


def wattcast(setting: Setting, margin: float) -> Policy:
    """The live system's forecasts."""
    return Predictive(setting.pool, setting.foresight, margin)


def tried(setting: Setting, policy: Policy) -> tuple[int, int]:
    """Violations, then actions, of a way of operation in a nearly full room on the fit part."""
    servers = int(FILL * bound(setting, setting.fit))
    room = build(setting.pool, setting.plot, servers)
    lived = live(setting.pool, room, policy, setting.fit)
    return lived.violations, lived.moves + lived.transfers


def fits(setting: Setting, policy: Policy, steps: range) -> int:
    """Servers carried without a violation in ``steps``."""
    high = bound(setting, steps)

    def well(servers: int) -> bool:
        room = build(setting.pool, setting.plot, servers)
        return not live(setting.pool, room, policy, steps, strict=True).violations

    return _largest(well, high)


def bound(setting: Setting, steps: range) -> int:
    """Servers beyond which no placement helps."""
    return _largest(
        lambda n: (
            static.balanced(setting.pool, build(setting.pool, setting.plot, n), setting.plot, steps)
            <= 1
        ),
        _MOST,
    )


def seed_result(setting: Setting, guard: float, margin: float) -> Json:
    """All ways of operation on the test part, for one seed."""
    pool, plot, test = setting.pool, setting.plot, setting.test
    high = bound(setting, test)
    rng = np.random.default_rng(plot.seed)

    def room_of(share: Callable[..., float], *rest: Any) -> int:
        return _largest(lambda n: share(pool, build(pool, plot, n), *rest) <= 1, high)

    policies = {
        "guard_band": guard_band(setting, guard),
        "wattcast": wattcast(setting, margin),
        "oracle": Oracle(pool),
    }
    servers = {
        "nameplate": room_of(static.nameplate),
        "sum_of_peaks": room_of(static.peaks, setting.fit),
        "static_as_delivered": room_of(static.delivered, test),
        "static_best": room_of(static.best, plot, test, rng),
        "guard_band_hindsight": max(
            fits(setting, guard_band(setting, value), test) for value in GUARDS
        ),
        **{name: fits(setting, policy, test) for name, policy in policies.items()},
        "balance_bound": high,
    }
    equal = min(servers["guard_band"], servers["wattcast"])
    at_equal = {
        name: _facts(live(pool, build(pool, plot, equal), policy, test))
        for name, policy in policies.items()
    }
    return {"seed": plot.seed, "servers": servers, "equal_servers": equal, "at_equal": at_equal}


def _facts(lived: Lived) -> Json:
    return {
        "violations": lived.violations,
        "moves": lived.moves,
        "transfers": lived.transfers,
        "disruption": round(lived.disruption, 1),
        "kwh": round(lived.kwh, 1),
    }


def _largest(well: Callable[[int], bool], high: int) -> int:
    """The largest number of servers that goes well, taking it that fewer then do too."""
    low, over = 0, high // _STEP + 1
    while over - low > 1:
        middle = (low + over) // 2
        if well(middle * _STEP):
            low = middle
        else:
            over = middle
    return low * _STEP
