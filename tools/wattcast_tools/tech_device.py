"""``wattcast tech read``, ``watch`` and ``probe``: one device, identified and read."""

import argparse
import asyncio
import difflib
import json
import math
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wattcast_agent.devices.compose import Parts
from wattcast_agent.devices.login import Login, login_from, login_of
from wattcast_agent.devices.session import Session, open_session
from wattcast_configs.address import Address, parse_url
from wattcast_configs.files import load_rack
from wattcast_configs.profile import Profile
from wattcast_configs.profiles import load_profile, load_profiles
from wattcast_configs.rack import Device
from wattcast_core.errors import ConfigError, LoginRefused, Unreachable
from wattcast_core.points import unit_of, words_of
from wattcast_core.samples import Quality, Sample
from wattcast_tools.tech_cmd import print_table

_TRUTHS = {"no": False, "yes": True}


def run(args: argparse.Namespace) -> int:
    """Identify the device and read it; 0 if a point is good, else 1."""
    if not args.timeout > 0:
        raise ConfigError(f"--timeout: {args.timeout:g}; give more than 0 seconds")
    device = _of_rack(Path(args.rack), args.device) if args.rack else _of_url(args.url)
    login = login_of(device, device.where) if args.rack else login_from(device.where, os.environ)
    folder = Path(args.rack).parent if args.rack and not args.profile else Path()
    profiles = _profiles(args.profile or device.profile, folder)
    return asyncio.run(_run(args, device, login, profiles))


async def _run(
    args: argparse.Namespace, device: Device, login: Login, profiles: list[Profile]
) -> int:
    async with _in_time(device.where, args.timeout):
        session = await open_session(device, login, profiles, args.timeout)
    try:
        return await _read(args, device.where, session)
    finally:
        await session.close()


def _of_url(url: str) -> Device:
    where = parse_url(url)
    if where.password:
        print("wattcast: a password in a URL shows in the list of processes;", file=sys.stderr)
        print("wattcast: put it into the environment (see --help)", file=sys.stderr)
    return Device(str(where), "", url=url)


def _of_rack(path: Path, name: str) -> Device:
    devices = {device.id: device for device in load_rack(path).device}
    if name not in devices:
        known = ", ".join(devices)
        raise ConfigError(f"--device: '{name}' is no device of {path}; known: {known}")
    return devices[name]


async def _read(args: argparse.Namespace, where: Address, session: Session) -> int:
    """Once, or again and again: a watched device may be away for a while."""
    reads = 0
    while True:
        reads += 1
        last = args.action != "watch" or reads == args.count
        try:
            async with _in_time(where, args.timeout):
                parts = await session.read(datetime.now(UTC))
        except Unreachable as error:
            if last or isinstance(error, LoginRefused):
                raise
            print(f"wattcast: {error}", file=sys.stderr, flush=True)
        else:
            _show(args, session, parts)
            if last:
                return 0 if any(s.quality is Quality.GOOD for s in parts[0]) else 1
        await asyncio.sleep(args.interval)


@asynccontextmanager
async def _in_time(where: Address, timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise Unreachable(
            f"{where}: not everything was answered within {timeout_s:g} s (time-out);"
            " a slow device needs a longer --timeout"
        ) from error


def _profiles(name: str, folder: Path) -> list[Profile]:
    """The one asked for (a file is looked for in ``folder``), or all."""
    if name.endswith(".toml"):
        return [load_profile(folder / name)]
    profiles = load_profiles()
    if name and name not in profiles:
        close = difflib.get_close_matches(name, profiles, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(profiles)}"
        raise ConfigError(f"--profile: '{name}' is unknown; {hint}")
    return [profiles[name]] if name else list(profiles.values())


def _show(args: argparse.Namespace, session: Session, parts: Parts) -> None:
    samples, state = parts
    if args.json:
        indent = None if args.action == "watch" else 2
        print(json.dumps(_document(session, samples), indent=indent), flush=True)
        return
    print(_heading(session, samples))
    if args.action == "probe":
        print(_offers(session.profile))
    _print_reading(samples)
    if state.problem:
        print(f"{state.device}: {state.problem}", file=sys.stderr)


def _document(session: Session, samples: list[Sample]) -> dict[str, Any]:
    return {
        "profile": session.profile.name,
        "device": _name(session),
        "points": {
            s.quantity: {
                "value": _value(s),
                "unit": unit_of(s.quantity),
                "quality": s.quality.value,
                "time": s.at.isoformat(timespec="milliseconds"),
            }
            for s in samples
        },
    }


def _name(session: Session) -> str:
    where = str(session.unit.device.where)
    return f"{session.says} at {where}" if session.says else where


def _heading(session: Session, samples: list[Sample]) -> str:
    profile = session.profile
    at = samples[0].at.isoformat(timespec="seconds") if samples else ""
    facts = f"certainty {profile.certainty}"
    return f"{_name(session)}\n{profile.name}: {profile.vendor} {profile.kind}, {facts}, {at}"


def _offers(profile: Profile) -> str:
    commands = ", ".join(c.name for c in profile.command) or "none"
    return f"commands: {commands}{' (lab only)' if profile.lab_only else ''}"


def _print_reading(samples: list[Sample]) -> None:
    rows = [("point", "value", "unit", "quality")]
    rows += [(s.quantity, _text(s), unit_of(s.quantity), s.quality.value) for s in samples]
    print_table(rows)


def _value(sample: Sample) -> float | bool | str | None:
    """A number, true or false, or a word; None where nothing good was read."""
    if not math.isfinite(sample.value):
        return None
    words = words_of(sample.quantity)
    if not words:
        return float(f"{sample.value:.10g}")  # what a scale adds in the last bits is no reading
    word = words[int(sample.value)]
    return _TRUTHS.get(word, word)


def _text(sample: Sample) -> str:
    words = words_of(sample.quantity)
    if not math.isfinite(sample.value):
        return "-"
    return words[int(sample.value)] if words else f"{sample.value:.10g}"
