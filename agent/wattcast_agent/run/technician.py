"""What a technician at the rack asks of the agent: hold, release, commission.

It goes through the agent's spool, as small texts: the agent takes them up at its next beat.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wattcast_agent.spool.store import Spool
from wattcast_configs.files import load_rack
from wattcast_configs.rack import Rack
from wattcast_core.errors import ConfigError, Refused, Unreachable

HOLD, RELEASE = "hold/", "release/"  # "real seconds, blank, text" of a switch; no text: released
PROVE, TRIAL = "prove/", "trial/"  # who wants a switch commissioned, and what the agent tells
_PATIENCE_REAL_S, _LOOK_REAL_S = 30.0, 0.2  # of a technician who waits for the agent


def open_spool(rack: Rack, base: Path) -> Spool:
    """The spool of a rack file's agent."""
    return Spool(base / rack.agent.state_dir / "spool.db", int(time.time() * 1000))


def hold(path: Path, ats: str, *, release: bool) -> None:
    """A technician's hold at the rack, or its release (which also ends a lock-out).

    Args:
        path: the rack file; its agent may be running.
        ats: device id.
        release: end the hold instead of setting it.

    Raises:
        ConfigError: the rack has no such switch.
    """
    with _at_the_rack(path, ats) as spool:
        spool.put(HOLD + ats, f"{time.time()} {'' if release else 'set at the rack'}")
        if release:
            spool.put(RELEASE + ats, "released")


def commission(path: Path, ats: str, witness: str, say: Callable[[str], None]) -> None:
    """Have the running agent commission a switch, and watch.

    Args:
        path: the rack file; its agent must be running.
        ats: device id.
        witness: who stands at the rack.
        say: takes a line of progress.

    Raises:
        ConfigError: the rack has no such switch.
        Refused: it was not commissioned; the text says why.
        Unreachable: the agent does not answer.
    """
    with _at_the_rack(path, ats) as spool:
        spool.remove(TRIAL + ats)
        spool.put(PROVE + ats, witness)
        told, patience_s = "", time.monotonic() + _PATIENCE_REAL_S
        while not told.startswith(("commissioned", "failed")):
            time.sleep(_LOOK_REAL_S)
            text = spool.get(TRIAL + ats) or ""
            if text != told:
                told, patience_s = text, time.monotonic() + 10 * _PATIENCE_REAL_S
                say(f"{ats}: {text}")
            if time.monotonic() > patience_s:
                spool.remove(PROVE + ats)
                raise Unreachable(f"{path}: no word of {ats}; remedy: see whether its agent runs")
    if told.startswith("failed"):
        raise Refused(f"{ats} was not commissioned: {told.partition(': ')[2]}")


@contextmanager
def _at_the_rack(path: Path, ats: str) -> Iterator[Spool]:
    """The spool of a rack file's agent, for a technician who stands before the switch."""
    rack = load_rack(path)
    if ats not in {a.id for a in rack.ats}:
        known = ", ".join(a.id for a in rack.ats) or "none"
        raise ConfigError(f"{path}: no [[ats]] '{ats}'; known: {known}")
    spool = open_spool(rack, path.parent)
    try:
        yield spool
    finally:
        spool.close()
