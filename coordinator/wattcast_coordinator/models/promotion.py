"""When a challenger becomes champion, and when a champion is withdrawn. Pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from wattcast_core.models import Stage

CHALLENGER, CHAMPION = "challenger", "champion"
PERSISTENCE, SEASONAL, GLOBAL = "persistence", "seasonal_naive", "global"
_COVERAGE_90 = (0.85, 0.95)
_SHARE = 1 / 3  # of the agents with a champion that find it worse


@dataclass(frozen=True, slots=True)
class Judgement:
    """Forecasts of one application's servers over a window that nobody learned from.

    Attributes:
        application: its name, or ``models.ALL``.
        targets: how many forecasts were judged.
        since, until: of the window, ISO 8601.
        pinball_w: mean loss in watts over the quantiles and 5, 15 and 60 minutes, by forecaster.
        coverage90: share of what came at or below the 0.9 quantile, by forecaster.
    """

    application: str
    targets: int
    since: str
    until: str
    pinball_w: Mapping[str, float] = field(default_factory=dict)
    coverage90: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a challenger must bring.

    Attributes:
        margin: share by which its loss must be lower than that of the model in service.
        least_targets: judged forecasts below which nothing is decided.
    """

    margin: float = 0.02
    least_targets: int = 2_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to promote, and the figures that say so."""

    promote: bool
    why: str


def decide(judged: Judgement, rule: Rule) -> Decision:
    """Promote only what beats the model in service by a margin, and both naive forecasts."""
    loss = judged.pinball_w
    mine = loss.get(CHALLENGER, math.nan)
    if not math.isfinite(mine) or judged.targets < rule.least_targets:
        why = f"only {judged.targets} forecasts could be judged, {rule.least_targets} are needed"
        return Decision(promote=False, why=why)
    for rival in (PERSISTENCE, SEASONAL):
        if rival in loss and not mine < loss[rival]:
            return Decision(promote=False, why=f"pinball {mine:.4g} W; {rival} {loss[rival]:.4g} W")
    low, high = _COVERAGE_90
    covered = judged.coverage90.get(CHALLENGER, math.nan)
    if not low <= covered <= high:
        why = f"its q90 covers {covered:.3f}, not {low:g} to {high:g}"
        return Decision(promote=False, why=why)
    for rival in (CHAMPION, GLOBAL):
        if rival in loss and not mine <= (1.0 - rule.margin) * loss[rival]:
            better = 100.0 * (1.0 - mine / loss[rival])
            why = f"{better:.1f} % better than the {rival}, {100 * rule.margin:g} % are needed"
            return Decision(promote=False, why=why)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(loss.items()))
    return Decision(promote=True, why=f"pinball in W: {figures}; q90 covers {covered:.3f}")


def withdraw(stages: Collection[Stage]) -> str:
    """Why a champion shall go, from what became of it at each agent; empty if it may stay.

    A defect is one of the file, so one is enough; whether it is worse depends on the rack.
    """
    if Stage.DEFECT in stages:
        return "it failed in service at an agent"
    worse = sum(stage is Stage.WORSE for stage in stages)
    if worse and worse >= _SHARE * len(stages):
        return f"it lost more than the model before it at {worse} of {len(stages)} agents"
    return ""
