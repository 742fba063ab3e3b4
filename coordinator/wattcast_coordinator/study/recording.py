"""A room as one decision cycle saw it: a document to ask questions of, live or later."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wattcast_configs.control import Decision
from wattcast_configs.site import Site
from wattcast_coordinator.ports import Inputs
from wattcast_coordinator.step import codec
from wattcast_coordinator.step.state import State
from wattcast_core.errors import DataError

FORMAT = 1
_KEY = "wattcast_recording"
_REMEDY = "record it again: wattcast plan --coordinator URL --record FILE"


@dataclass(frozen=True, slots=True)
class Past:
    """Measured power of servers by the hour, oldest first; NaN where nothing was measured.

    Attributes:
        begin: of the first hour.
        mean_w, peak_w: server -> mean and highest step of each hour.
    """

    begin: datetime
    mean_w: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    peak_w: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """What the decision core knew, and what was measured before.

    Attributes:
        inputs: without forecasts and readings it is a site that was never measured.
        past: for looks beyond the forecasts' horizon; None = not known.
    """

    site: Site
    decision: Decision
    state: State
    inputs: Inputs
    past: Past | None = None


def to_document(recording: Recording) -> dict[str, Any]:
    """As JSON types."""
    return {_KEY: FORMAT, **codec.plain(recording)}


def from_document(document: Any, place: str) -> Recording:
    """From what ``to_document`` gave.

    Raises:
        DataError: no recording, of another format, or damaged.
        ConfigError: the site in it is not sound.
    """
    if not isinstance(document, Mapping) or _KEY not in document:
        raise DataError(f"{place}: no recording of a room; remedy: {_REMEDY}")
    if document[_KEY] != FORMAT:
        raise DataError(
            f"{place}: recording of format {document[_KEY]}, this version reads {FORMAT}; remedy:"
            f" {_REMEDY}"
        )
    return codec.typed(Recording, document, place, _REMEDY)


def never_measured(site: Site, now: datetime) -> Recording:
    """A site of which nothing was measured: every server counts with its full power."""
    return Recording(site, Decision(), State(), Inputs(now, 1.0, {}, {}, {}, {}, {}))
