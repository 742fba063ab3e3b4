"""What ``wattcast tech watch`` shows: a live table in a terminal, plain lines without one."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wattcast_core.points import unit_of
from wattcast_core.samples import Quality, Sample
from wattcast_tools.tech_text import value_text

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_STYLES = {
    Quality.GOOD: "bold",
    Quality.STALE: "yellow",
    Quality.INVALID: "red",
    Quality.MISSING: "dim",
}
_CHANGED = "bold green"


class Screen:
    """Readings of one device, again and again; what changed since the last time stands out."""

    def __init__(self, heading: str) -> None:
        self._heading = heading
        self._live: Live | None = None
        self._last: dict[str, str] = {}

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False)
            self._live.__enter__()
        else:
            print(self._heading, flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)

    def show(self, samples: Sequence[Sample], problem: str) -> None:
        """One reading of the device; ``problem`` is what is wrong with it, or empty."""
        texts = {s.quantity: value_text(s) for s in samples}
        changed = {name for name, text in texts.items() if self._last.get(name, text) != text}
        if self._live is not None:
            self._live.update(_picture(self._heading, samples, changed, problem), refresh=True)
        else:
            self._print(samples, changed, problem)
        self._last = texts

    def lost(self, problem: str) -> None:
        """The device did not answer; what it showed last stays."""
        if self._live is not None:
            self._live.console.print(problem, style="red", markup=False)
        else:
            print(f"wattcast: {problem}", file=sys.stderr, flush=True)

    def _print(self, samples: Sequence[Sample], changed: set[str], problem: str) -> None:
        """A line a reading at first, then one for each that changed."""
        at = samples[0].at.isoformat(timespec="seconds") if samples else ""
        for s in samples:
            if not self._last or s.quantity in changed:
                print(at, s.quantity, value_text(s), unit_of(s.quantity) or "-", s.quality.value)
        if self._last and not changed:
            print(at, "no change")
        sys.stdout.flush()
        if problem:
            print(f"wattcast: {problem}", file=sys.stderr, flush=True)


def _picture(heading: str, samples: Sequence[Sample], changed: set[str], problem: str) -> "Table":
    """A line a part of the device: outlet.7, inlet.1.L2, ..."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(heading), title_justify="left", show_header=False, box=None, padding=(0, 1)
    )
    table.add_column(no_wrap=True)
    table.add_column()
    parts: dict[str, list[str]] = {}
    for sample in samples:
        part, _, _ = sample.quantity.rpartition(".")
        parts.setdefault(part, []).append(_cell(sample, changed=sample.quantity in changed))
    for part, cells in parts.items():
        table.add_row(f"[cyan]{part}[/]", "  ".join(cells))
    at = samples[0].at.isoformat(timespec="seconds") if samples else ""
    table.caption = Text(f"{at}  {problem}".rstrip())
    table.caption_justify = "left"
    return table


def _cell(sample: Sample, *, changed: bool) -> str:
    """Name and value, or what is wrong with it: non-breaking, so that lines break between them."""
    good = sample.quality is Quality.GOOD
    style = _CHANGED if changed else _STYLES[sample.quality]
    name, text = sample.quantity.rpartition(".")[2], value_text(sample)
    return f"{name}\u00a0[{style}]{text if good else sample.quality.value}[/]"
