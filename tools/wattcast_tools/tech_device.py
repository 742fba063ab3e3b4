"""``wattcast tech read``, ``watch`` and ``probe``: one device, identified and read."""

import argparse
import asyncio
import difflib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wattcast_agent.devices.compose import Parts
from wattcast_agent.devices.login import Login, login_from, login_of
from wattcast_agent.devices.probe import Candidate
from wattcast_agent.devices.session import Session, open_session
from wattcast_configs.address import Address, parse_url
from wattcast_configs.files import load_rack
from wattcast_configs.profile import Profile
from wattcast_configs.profiles import load_profile, load_profiles
from wattcast_configs.rack import Device
from wattcast_core.errors import ConfigError, ForeignDevice, LoginRefused, Refused, Unreachable
from wattcast_core.samples import Quality, Sample
from wattcast_tools import tech_text
from wattcast_tools.tech_screen import Screen


def run(args: argparse.Namespace) -> int:
    """Identify the device and read it; 0 if a point is good, else 1."""
    device = _of_rack(Path(args.rack), args.device) if args.rack else _of_url(args.url)
    login = login_of(device, device.where) if args.rack else login_from(device.where, os.environ)
    folder = Path(args.rack).parent if args.rack and not args.profile else Path()
    profiles = _profiles(args.profile or device.profile, folder)
    act = {"read": _read_once, "watch": _watch, "probe": _probe}[args.action]
    return asyncio.run(act(args, device, login, profiles))


async def _read_once(
    args: argparse.Namespace, device: Device, login: Login, profiles: list[Profile]
) -> int:
    async with _session(args, device, login, profiles) as session:
        samples, state = await _read(args, session)
    _show(args, session, samples)
    if state.problem and not args.json:
        print(f"{state.device}: {state.problem}", file=sys.stderr)
    return _code(samples)


async def _probe(
    args: argparse.Namespace, device: Device, login: Login, profiles: list[Profile]
) -> int:
    """As ``read``, with the profiles that were tried: also where none of them fits."""
    tried: list[Candidate] = []
    says: list[str] = []

    def tell(told: str, candidates: Sequence[Candidate]) -> None:
        says.append(told)
        tried.extend(candidates)

    try:
        async with _session(args, device, login, profiles, tell) as session:
            samples, _ = await _read(args, session)
    except (ForeignDevice, Refused):
        if args.json:
            name = _name(" ".join(says), device)
            print(json.dumps(_document("", name, []) | _offers(None, tried), indent=2))
        elif tried:
            tech_text.print_table(tech_text.candidate_rows(tried))
        raise
    if args.json:
        name = _name(session.says, device)
        document = _document(session.profile.name, name, samples)
        print(json.dumps(document | _offers(session.profile, tried), indent=2))
    else:
        if tried:
            tech_text.print_table(tech_text.candidate_rows(tried))
            print()
        _show(args, session, samples)
        print(tech_text.offers(session.profile))
    return _code(samples)


async def _watch(
    args: argparse.Namespace, device: Device, login: Login, profiles: list[Profile]
) -> int:
    """Again and again: a watched device may be away for a while."""
    async with _session(args, device, login, profiles) as session:
        heading = f"{_name(session.says, device)}\n{tech_text.about(session.profile, None)}"
        if args.json:
            return await _reads(args, session, None)
        with Screen(heading) as screen:
            return await _reads(args, session, screen)


async def _reads(args: argparse.Namespace, session: Session, screen: Screen | None) -> int:
    reads = 0
    while True:
        reads += 1
        last = reads == args.count
        try:
            samples, state = await _read(args, session)
        except Unreachable as error:
            if last or isinstance(error, LoginRefused):
                raise
            if screen is None:
                print(f"wattcast: {error}", file=sys.stderr, flush=True)
            else:
                screen.lost(str(error))
        else:
            if screen is None:
                name = _name(session.says, session.unit.device)
                document = _document(session.profile.name, name, samples)
                print(json.dumps(document), flush=True)
            else:
                screen.show(samples, state.problem)
            if last:
                return _code(samples)
        await asyncio.sleep(args.interval)


@asynccontextmanager
async def _session(
    args: argparse.Namespace,
    device: Device,
    login: Login,
    profiles: list[Profile],
    tell: Any = None,
) -> AsyncIterator[Session]:
    async with _in_time(device.where, args.timeout):
        session = await open_session(device, login, profiles, args.timeout, tell)
    try:
        yield session
    finally:
        await session.close()


async def _read(args: argparse.Namespace, session: Session) -> Parts:
    async with _in_time(session.unit.device.where, args.timeout):
        return await session.read(datetime.now(UTC))


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


def _show(args: argparse.Namespace, session: Session, samples: list[Sample]) -> None:
    name = _name(session.says, session.unit.device)
    if args.json:
        print(json.dumps(_document(session.profile.name, name, samples), indent=2))
        return
    at = samples[0].at if samples else None
    print(f"{name}\n{tech_text.about(session.profile, at)}")
    tech_text.print_table(tech_text.reading_rows(samples))


def _document(profile: str, name: str, samples: list[Sample]) -> dict[str, Any]:
    return {"profile": profile or None, "device": name, "points": tech_text.points(samples)}


def _offers(profile: Profile | None, tried: Sequence[Candidate]) -> dict[str, Any]:
    commands = [c.name for c in profile.command] if profile else []
    return {"commands": commands, "candidates": tech_text.candidates_json(tried)}


def _name(says: str, device: Device) -> str:
    return f"{says} at {device.where}" if says else str(device.where)


def _code(samples: Sequence[Sample]) -> int:
    return 0 if any(s.quality is Quality.GOOD for s in samples) else 1
