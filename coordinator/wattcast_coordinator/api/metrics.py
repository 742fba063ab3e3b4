"""The coordinator's gauges as OpenMetrics text."""

from collections.abc import Iterable

from wattcast_coordinator.api.view import State
from wattcast_core.forecast import QUANTILES

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_Values = Iterable[tuple[dict[str, str], float | None]]


def render(state: State) -> str:
    """All gauges of a snapshot; one that is not known is left out."""
    feeds, agents = state.feeds, state.agents
    gauges: dict[str, tuple[str, _Values]] = {
        "feed_load_watts": ("Load of a feed.", [({"feed": f.id}, f.load_w) for f in feeds]),
        "feed_limit_watts": ("Limit of a feed.", [({"feed": f.id}, f.limit_w) for f in feeds]),
        "feed_worst_loss_load_watts": (
            "Largest load of a feed after a single loss.",
            [({"feed": f.id}, f.worst_n1.load_w) for f in feeds if f.worst_n1],
        ),
        "feed_forecast_covered_ratio": (
            "Share of the past day's loads at or below a quantile forecast an hour before.",
            [
                ({"feed": f.id, "quantile": f"{level:g}"}, share)
                for f in feeds
                if f.forecast
                for level, share in zip(QUANTILES, f.forecast.covered, strict=False)
            ],
        ),
        "server_power_watts": (
            "Power of a server.",
            [({"server": s.id, "rack": s.rack}, s.power_w) for s in state.servers],
        ),
        "agent_connected": (
            "1 if the agent's stream is open.",
            [({"agent": a.id}, float(a.connected)) for a in agents],
        ),
        "leader_token": ("Fencing token of the leader.", [({}, state.leader.token)]),
        "meter_price_per_kwh": (
            "Money a kWh through a meter in the coming hour, with carbon.",
            [({"meter": m.id}, m.hourly_per_kwh[0]) for m in state.meters if m.hourly_per_kwh],
        ),
        "meter_peak_watts": (
            "Highest mean of the month through a meter.",
            [({"meter": m.id}, m.peak_w) for m in state.meters],
        ),
        "store_rows": ("Rows in the signature database.", [({}, state.store.rows)]),
    }
    lines = [line for name, (text, values) in gauges.items() for line in _gauge(name, text, values)]
    return "\n".join([*lines, "# EOF", ""])


def _gauge(name: str, text: str, values: _Values) -> list[str]:
    lines = [f"# TYPE wattcast_{name} gauge", f"# HELP wattcast_{name} {text}"]
    for labels, value in values:
        if value is not None:
            inside = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
            lines.append(f"wattcast_{name}{'{' + inside + '}' if inside else ''} {value}")
    return lines


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
