"""Small charts as inline SVG: no script, no request, readable in any browser."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from wattcast_core.units import RealArray

WIDTH, HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 14, 34
_TICKS = 5
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")


@dataclass(slots=True)
class Chart:
    """One pair of axes; marks are drawn in the order they are added.

    Attributes:
        x, y: lowest and highest value shown.
        labels: under the x axis and beside the y axis.
        ticks: x value and text; None: numbers.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    labels: tuple[str, str]
    ticks: Sequence[tuple[float, str]] | None = None
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def line(self, x: RealArray, y: RealArray, colour: str, name: str = "") -> None:
        """A line with gaps where y is not finite."""
        path, pen = [], "M"
        for at, value in zip(self._x(x).tolist(), self._y(y).tolist(), strict=True):
            if not np.isfinite(value):
                pen = "M"
                continue
            path.append(f"{pen}{at:.1f},{value:.1f}")
            pen = "L"
        self._add(f'<path d="{"".join(path)}" fill="none" stroke="{colour}"/>', colour, name)

    def band(self, x: RealArray, low: RealArray, high: RealArray, colour: str, name: str) -> None:
        """The area between two lines; cut where one is not finite."""
        known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        for part in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            if len(part) > 1:
                there = zip(self._x(x[part]).tolist(), self._y(high[part]).tolist(), strict=True)
                back = zip(
                    self._x(x[part])[::-1].tolist(), self._y(low[part])[::-1].tolist(), strict=True
                )
                points = " ".join(f"{a:.1f},{b:.1f}" for a, b in (*there, *back))
                self._marks.append(
                    f'<polygon points="{points}" fill="{colour}" fill-opacity="0.22"/>'
                )
        self._legend.append((colour, name))

    def dots(self, x: RealArray, y: RealArray, colour: str, name: str = "") -> None:
        """Points."""
        marks = [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>'
            for a, b in zip(self._x(x).tolist(), self._y(y).tolist(), strict=True)
            if np.isfinite(b)
        ]
        self._add("".join(marks), colour, name)

    def __str__(self) -> str:
        names = "".join(
            f'<tspan fill="{colour}">&#9632; {escape(name)}&#160;&#160;</tspan>'
            for colour, name in self._legend
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{self._axes()}{"".join(self._marks)}'
            f'<text x="{_LEFT + 6}" y="{_TOP + 6}">{names}</text></svg>'
        )

    def _add(self, mark: str, colour: str, name: str) -> None:
        self._marks.append(mark)
        if name:
            self._legend.append((colour, name))

    def _x(self, values: RealArray) -> RealArray:
        low, high = self.x
        share = (np.asarray(values, float) - low) / max(high - low, 1e-12)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def _y(self, values: RealArray) -> RealArray:
        low, high = self.y
        share = (np.asarray(values, float) - low) / max(high - low, 1e-12)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    def _axes(self) -> str:
        ticks = self.ticks
        if ticks is None:
            ticks = [(float(v), f"{v:.3g}") for v in np.linspace(*self.x, _TICKS)]
        parts = []
        for value in np.linspace(*self.y, _TICKS).tolist():
            at = float(self._y(np.array([value]))[0])
            parts.append(
                f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" '
                f'class="grid"/><text x="{_LEFT - 6}" y="{at + 4:.1f}" class="end">'
                f"{value:.4g}</text>"
            )
        for value, text in ticks:
            at = float(self._x(np.array([value]))[0])
            parts.append(
                f'<text x="{at:.1f}" y="{HEIGHT - _BOTTOM + 15}" class="mid">{escape(text)}</text>'
            )
        under, beside = map(escape, self.labels)
        middle = (_LEFT + WIDTH) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 3}" class="mid">{under}</text>')
        parts.append(
            f'<text transform="translate(12 {HEIGHT / 2}) rotate(-90)" class="mid">{beside}</text>'
        )
        return "".join(parts)
