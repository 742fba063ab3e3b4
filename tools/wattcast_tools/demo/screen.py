"""What the demonstration shows in the terminal: live with one, plain lines without."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]
_EVENTS = 9
_BAR = 24
_COLOURS = {"info": "cyan", "warning": "yellow", "critical": "red"}
_PLAIN_EVERY_MIN = 10.0


class Screen:
    """Feeds, headroom, forecasts, migrations and events; everything goes to stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._seen: set[str] = set()
        self._plain_min = -1e9

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, value, trace)

    def say(self, text: str) -> None:
        """One line of progress."""
        self._console.print(text, soft_wrap=True, markup=False)

    def say_table(self, table: Table) -> None:
        """A table, below everything else."""
        self._console.print(table)

    def show(self, state: Json, minute: float, clients: Json) -> None:
        """Show the coordinator's state at a data minute of the story."""
        if self._live is not None:
            self._live.update(_picture(state, minute, clients))
            return
        self._new_events(state)
        if minute - self._plain_min >= _PLAIN_EVERY_MIN:
            self._plain_min = minute
            loads = ", ".join(f"{f['id']} {_percent(f)}" for f in state["feeds"])
            self.say(f"minute {minute:5.0f}  load of continuous limit: {loads}")

    def _new_events(self, state: Json) -> None:
        for event in reversed(state["events"]):
            key = f"{event['at']}{event['text']}"
            if key not in self._seen:
                self._seen.add(key)
                self.say(f"  {event['at'][11:16]} {event['kind']}: {event['text']}")


def _picture(state: Json, minute: float, clients: Json) -> Group:
    return Group(
        Text(_headline(state, minute, clients), style="bold"),
        _feeds(state),
        _switches(state),
        *(_event(e) for e in state["events"][:_EVENTS]),
    )


def _headline(state: Json, minute: float, clients: Json) -> str:
    phase = "history" if minute < 0 else f"minute {minute:.0f}"
    requests = sum(c["requests"] for c in clients.values())
    failed = sum(c["failed_requests"] for c in clients.values())
    store = state["store"]
    return (
        f"{phase}   signatures {store['signatures']}, forecasts {store['lstm']} LSTM"
        f" + {store['naive']} naive   requests {requests}, failed {failed}"
    )


def _feeds(state: Json) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("feed", "load", "of limit", "", "in 60 min, q50..q99", "after worst loss"):
        table.add_column(name)
    for feed in state["feeds"]:
        share = (feed["load_w"] or 0.0) / feed["limit_w"]
        colour = "red" if share > 1 else "yellow" if share > 0.9 else "green"
        filled = min(_BAR, round(share * _BAR))
        bar = Text("█" * filled, style=colour) + Text("░" * (_BAR - filled), style="dim")
        table.add_row(
            feed["id"], _kw(feed["load_w"]), _percent(feed), bar, _ahead(feed), _after_loss(feed)
        )
    return table


def _ahead(feed: Json) -> str:
    fan = feed["forecast"]
    return f"{_kw(fan['q50'][-1])} .. {_kw(fan['q99'][-1])}" if fan else "-"


def _after_loss(feed: Json) -> Text:
    worst = feed["worst_n1"]
    if not worst or worst["load_w"] is None:
        return Text("-")
    share = worst["load_w"] / feed["limit_n1_w"]
    text = f"{share:.0%} of emergency limit if {worst['contingency']} is lost"
    return Text(text, style="red" if share > 1 else "")


def _switches(state: Json) -> Text:
    switches = ", ".join(f"{a['id']} on {a['active']}" for a in state["ats"])
    moves = ", ".join(
        f"{m['workload']} to {m['target']} {m['state']}{' ' + m['step'] if m['step'] else ''}"
        for m in state["migrations"][-4:]
    )
    return Text(f"{switches}\n{moves or 'no migration yet'}")


def _event(event: Json) -> Text:
    text = f"{event['at'][11:16]} {event['kind']}: {event['text']}"
    return Text(text[:160], style=_COLOURS.get(event["severity"], ""))


def _percent(feed: Json) -> str:
    return "-" if feed["load_w"] is None else f"{feed['load_w'] / feed['limit_w']:.0%}"


def _kw(value_w: float | None) -> str:
    return "-" if value_w is None else f"{value_w / 1000:.2f} kW"


def verdict(report: Json) -> Table:
    """The table at the end: three rooms, one day."""
    table = Table(title="The same day, three times", title_justify="left")
    table.add_column("")
    for name in ("no control", "guard band 5 %", "Wattcast"):
        table.add_column(name, justify="right")
    parts = [report[k] for k in ("without_control", "with_guard_band", "with_control")]
    rows = {
        "minutes of overload": "overload_minutes",
        "tripped devices": "tripped",
        "highest feed load, % of limit": "peak_feed_pct",
        "minutes N-1 insecure": "n1_violation_minutes",
        "  of these after the plan": "n1_violation_minutes_after_plan",
        "servers gone dark": "dark_servers",
        "migrations": "moves",
        "transfers of an ATS": "transfers",
    }
    for text, key in rows.items():
        values = [len(p[key]) if key == "tripped" else p[key] for p in parts]
        table.add_row(text, *(f"{v:g}" for v in values))
    return table
