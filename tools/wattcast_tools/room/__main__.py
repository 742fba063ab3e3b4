"""The simulated room: a process that Wattcast sees by Modbus TCP and HTTP only.

example: python -m wattcast_tools.room --seed 1 --dir .demo/room
Writes DIR/room.json when all is up, and DIR/truth.json when the story ends and at SIGTERM.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wattcast_tools.room.layout import Event
from wattcast_tools.room.live import Options, Room
from wattcast_tools.room.scenario import FEEDS, HISTORY_SPEED, build
from wattcast_tools.room.traces import load_platforms


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wattcast_tools.room",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dir", type=Path, required=True, help="room.json, truth.json and state")
    parser.add_argument("--seed", type=int, default=1, help="the day (default 1)")
    parser.add_argument("--racks", type=int, default=3, help="at least 3 (default 3)")
    parser.add_argument("--speed", type=float, default=75.0, help="data s a real s (default 75)")
    parser.add_argument("--history-speed", type=float, default=HISTORY_SPEED)
    parser.add_argument("--duration", type=float, default=100.0, help="data minutes (default 100)")
    parser.add_argument("--start-real", type=float, help="epoch s of the history's begin")
    parser.add_argument("--control", choices=("live", "none", "guard_band"), default="live")
    parser.add_argument(
        "--lose-feed",
        type=_loss,
        action="append",
        metavar="FEED@MIN[-MIN]",
        help="lose a feed at a data minute, perhaps until another (default A@75)",
    )
    parser.add_argument("--steady", action="store_true", help="no drift, no feed lost")
    parser.add_argument("--ats-fault", choices=("returns", "stuck"), default="")
    return parser


def _loss(text: str) -> tuple[Event, ...]:
    feed, _, times = text.partition("@")
    first, _, last = times.partition("-")
    if feed not in FEEDS:
        raise argparse.ArgumentTypeError(f"feed {feed!r}: known are {', '.join(FEEDS)}")
    try:
        lost = Event(60.0 * float(first), feed)
        return (lost, Event(60.0 * float(last), feed, up=True)) if last else (lost,)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write it as A@75 or A@75-90") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the room until SIGTERM."""
    parser = _parser()
    args = parser.parse_args(argv)
    lost = None if args.lose_feed is None else tuple(e for pair in args.lose_feed for e in pair)
    try:
        scenario = build(
            args.seed,
            load_platforms(),
            racks=args.racks,
            duration_min=args.duration,
            steady=args.steady,
            lost=lost,
        )
    except ValueError as error:
        parser.error(str(error))
    options = Options(
        folder=args.dir,
        start_real_s=time.time() if args.start_real is None else args.start_real,
        speed=args.speed,
        history_speed=args.history_speed,
        control=args.control,
        ats_fault=args.ats_fault,
    )
    asyncio.run(Room(scenario, options).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
