"""The page of a back-test: one HTML file, its charts inline."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from html import escape
from typing import Any

import numpy as np

from wattcast_coordinator.train.backtest import MINUTES, STEPS_AHEAD, Walked
from wattcast_coordinator.train.backtest_panel import Level, Panel
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.quantiles import pinball
from wattcast_core.signal.steps import DAY, STEP_S
from wattcast_core.units import FloatArray, from_epoch_s
from wattcast_tools.svg import COLOURS, Chart

_FAN_DAYS = 3
_LOW, _MEDIAN, _Q90, _Q99 = range(len(QUANTILES))
_HOUR_S, _HOURS = 3600.0, 24
_COLUMNS = {
    "answered": "answered",
    "mae_w": "MAE, W",
    "skill": "skill",
    "pinball10_w": "pinball 0.1",
    "pinball50_w": "0.5",
    "pinball90_w": "0.9",
    "pinball99_w": "0.99",
    "coverage90": "covers 0.9",
    "coverage99": "0.99",
    "overload_f1": "overload F1",
    "onset_recall": "onset recall",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px;width:100%}td,th{padding:2px 8px;text-align:right}
td:first-child,th:first-child{text-align:left}tr.ours{font-weight:600}
tbody tr:first-child td{border-top:1px solid #d0d7de}
svg{width:100%;font:11px system-ui,sans-serif;fill:#57606a}
.grid{stroke:#d0d7de}.mid{text-anchor:middle}.end{text-anchor:end}
"""


def page(panel: Panel, walked: Mapping[str, Walked], result: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        panel: what was forecast.
        walked: what was served, by level.
        result: of the command: scores by level, horizon and forecaster.
    """
    levels = [level for level in panel.levels if level.name in walked]
    sections = [
        ("Scores", _scores(result)),
        ("Fans", "".join(_fans(panel, levels, walked))),
        ("Reliability", _reliability(panel, levels, walked)),
        ("Error by hour of day", "".join(_hours(panel, levels, walked))),
        ("Error by application", _applications(panel, walked)),
    ]
    body = "".join(f"<h2>{title}</h2>{text}" for title, text in sections if text)
    title = f"Back-test of {escape(str(result['panel']))} from {result['fit_until'][:16]}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1><p>Model {escape(result['model_id'])}, "
        f"{result['origins']} origins. Nothing was fitted on what is judged.</p>{body}</html>\n"
    )


def _scores(result: Mapping[str, Any]) -> str:
    out = []
    for name, level in result["levels"].items():
        codes = ", ".join(f"{code} {share:.1%}" for code, share in level["codes"].items())
        rows = [
            _row(f"{minutes} min {who}", scores, ours=who == "wattcast")
            for minutes, by_name in level["minutes"].items()
            for who, scores in by_name.items()
        ]
        head = "".join(f"<th>{text}</th>" for text in ("", *_COLUMNS.values()))
        out.append(f"<h3>{name}</h3><p>Served: {codes}</p>")
        out.append(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")
    return "".join(out)


def _row(name: str, scores: Mapping[str, float], *, ours: bool) -> str:
    cells = [f"{scores[key]:.4g}" if key in scores else "" for key in _COLUMNS]
    kind = ' class="ours"' if ours else ""
    return f"<tr{kind}><td>{escape(name)}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _fans(panel: Panel, levels: list[Level], walked: Mapping[str, Walked]) -> Iterator[str]:
    """The liveliest series of each level over some days, forecast an hour before."""
    ahead = STEPS_AHEAD[-1]
    for level in levels:
        power = level.channels[:, panel.split :, 0]
        row = int(np.nan_to_num(np.nanstd(power, axis=1) if power.size else 0.0).argmax())
        served = walked[level.name].quantiles_w[row, :, -1]
        steps = min(_FAN_DAYS * DAY, len(served), power.shape[1] - ahead)
        if steps < 2:
            continue
        x, fan, actual = (
            np.arange(steps, dtype=float),
            served[:steps],
            power[row, ahead : ahead + steps],
        )
        seen = np.concatenate([fan.ravel(), actual])
        if not np.isfinite(seen).any():
            continue
        span = (float(np.nanmin(seen)), float(np.nanmax(seen)))
        labels = ("time of target, UTC", "watts")
        chart = Chart((0, steps - 1), span, labels, _days(panel, steps, ahead))
        chart.band(x, fan[:, _LOW], fan[:, _Q90], COLOURS[0], "0.1 to 0.9")
        chart.line(x, fan[:, _Q99], COLOURS[3], "0.99")
        chart.line(x, fan[:, _MEDIAN], COLOURS[0], "median")
        chart.line(x, actual, "#1f2328", "measured")
        title = f"{level.name} {escape(level.ids[row])}, {MINUTES[-1]} minutes ahead"
        yield f"<h3>{title}</h3>{chart}"


def _days(panel: Panel, steps: int, ahead: int) -> list[tuple[float, str]]:
    every = max(DAY // 2, 1) if steps > DAY else max(steps // 4, 1)
    first = from_epoch_s(panel.start_s + (panel.split + ahead) * STEP_S)
    return [
        (float(k), f"{first + timedelta(seconds=k * STEP_S):%d %b %H:%M}")
        for k in range(0, steps, every)
    ]


def _reliability(panel: Panel, levels: list[Level], walked: Mapping[str, Walked]) -> str:
    chart = Chart((0, 1), (0, 1), ("quantile", "share of measured at or below"))
    chart.line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "#d0d7de")
    for level, colour in zip(levels, COLOURS, strict=False):
        for place in range(len(STEPS_AHEAD)):
            actual, served = _judged(panel, level, walked[level.name], place)
            known = np.isfinite(actual) & np.isfinite(served).all(axis=2)
            if known.any():
                below = (actual[known][:, None] <= served[known]).mean(axis=0)
                chart.dots(np.array(QUANTILES), below, colour, "" if place else level.name)
    return str(chart)


def _hours(panel: Panel, levels: list[Level], walked: Mapping[str, Walked]) -> Iterator[str]:
    """Mean pinball loss by hour of the target, one line a horizon."""
    for level in levels:
        lines = []
        for place, ahead in enumerate(STEPS_AHEAD):
            actual, served = _judged(panel, level, walked[level.name], place)
            loss = pinball(actual, served).mean(axis=2)
            target = panel.split + ahead + np.arange(loss.shape[1])
            hour = ((panel.start_s + target * STEP_S) // _HOUR_S % _HOURS).astype(np.int64)
            lines.append(np.array([_mean(loss[:, hour == k]) for k in range(_HOURS)]))
        most = max((float(np.nanmax(y)) for y in lines if np.isfinite(y).any()), default=0.0)
        chart = Chart((0, _HOURS - 1), (0.0, most), ("hour of the target, UTC", "pinball, W"))
        for y, minutes, colour in zip(lines, MINUTES, COLOURS, strict=False):
            chart.line(np.arange(_HOURS, dtype=float), y, colour, f"{minutes} min")
        yield f"<h3>{level.name}</h3>{chart}"


def _applications(panel: Panel, walked: Mapping[str, Walked]) -> str:
    """Mean pinball loss of servers by application, where the panel names them."""
    if "server" not in walked or not any(panel.applications):
        return ""
    names = np.array(panel.applications)
    rows = []
    for name in sorted(set(panel.applications)):
        cells = []
        for place in range(len(STEPS_AHEAD)):
            actual, served = _judged(panel, panel.levels[0], walked["server"], place)
            mine = names == name
            loss = _mean(pinball(actual[mine], served[mine]).mean(axis=2))
            cells.append(f"<td>{loss:.4g}</td>")
        rows.append(f"<tr><td>{escape(name) or 'not named'}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>pinball at {minutes} min, W</th>" for minutes in MINUTES)
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _judged(
    panel: Panel, level: Level, walked: Walked, place: int
) -> tuple[FloatArray, FloatArray]:
    """Measured [series, origin], NaN where not known then or now, and served [.., 4]."""
    power, ahead = level.channels[:, :, 0], STEPS_AHEAD[place]
    origins = min(walked.quantiles_w.shape[1], power.shape[1] - panel.split - ahead)
    first = panel.split
    actual = power[:, first + ahead : first + ahead + origins]
    known = np.isfinite(power[:, first : first + origins])
    return np.where(known, actual, np.nan), walked.quantiles_w[:, :origins, place]


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
