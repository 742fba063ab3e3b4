"""The persistent part as text, and back."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from wattcast_agent.safety.state import Commission, Kept, Phase, Running, Trial
from wattcast_core.commands import AtsCommand, CommandResult, Outcome
from wattcast_core.errors import DataError


def dump(kept: Kept) -> str:
    """JSON text; times as ISO 8601."""
    return json.dumps(asdict(kept), default=datetime.isoformat)


def load(text: str) -> Kept:
    """Read ``dump``'s text.

    Raises:
        DataError: the text is not what ``dump`` wrote. Without tokens and lock-outs nothing may be
            commanded, so the agent must not start on a guess.
    """
    try:
        raw = json.loads(text)
        return Kept(
            highest_token=int(raw["highest_token"]),
            results={i: _result(r) for i, r in raw["results"].items()},
            running={a: _running(r) for a, r in raw["running"].items()},
            transfers={a: tuple(map(_time, times)) for a, times in raw["transfers"].items()},
            lockouts=dict(raw["lockouts"]),
            preferences=dict(raw["preferences"]),
            trials={a: _trial(t) for a, t in raw["trials"].items()},
            commissions={a: _commission(c) for a, c in raw["commissions"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"spool: the kept safety state cannot be read ({error!r}); remedy: check every transfer"
            " switch of the rack, then move the spool file away"
        ) from error


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _result(raw: dict[str, Any]) -> CommandResult:
    return CommandResult(**{**raw, "outcome": Outcome(raw["outcome"]), "at": _time(raw["at"])})


def _trial(raw: dict[str, Any]) -> Trial:
    return Trial(**{**raw, "since": _time(raw["since"]), "legs": tuple(raw["legs"])})


def _commission(raw: dict[str, Any]) -> Commission:
    return Commission(**{**raw, "at": _time(raw["at"])})


def _running(raw: dict[str, Any]) -> Running:
    command = AtsCommand(**raw["command"])
    phase, since = Phase(raw["phase"]), _time(raw["since"])
    return Running(**{**raw, "command": command, "phase": phase, "since": since})
