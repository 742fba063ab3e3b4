"""Which room ``wattcast plan`` asks about: the live one, a recording, or a site file alone."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wattcast_coordinator.study.recording import Recording

_TIMEOUT_REAL_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the room comes from."""
    room = parser.add_argument_group("the room to ask about (with --what-if or --maintenance)")
    room.add_argument(
        "--coordinator", metavar="URL", help="the live one, e.g. http://127.0.0.1:7480"
    )
    room.add_argument("--state", type=Path, metavar="FILE", help="one recorded with --record")
    room.add_argument(
        "--site", type=Path, metavar="SITE.toml",
        help="a site file: alone, every server counts with its full power; with another source, it"
        " replaces the site",
    )  # fmt: skip
    room.add_argument("--record", type=Path, metavar="FILE", help="keep the room asked about here")


def recording(args: argparse.Namespace) -> "Recording":
    """The room that the options name; written to ``--record`` if wanted.

    Raises:
        ConfigError: no source, two sources, or a file that cannot be read or written.
        Unreachable: the coordinator does not answer.
        DataError: what was read is no recording.
    """
    from wattcast_core.errors import ConfigError

    if args.coordinator and args.state:
        raise ConfigError("--coordinator and --state: give one of them")
    if args.coordinator:
        document, place = _live(args.coordinator), args.coordinator
    elif args.state:
        document, place = _file(args.state), str(args.state)
    elif args.site:
        return _site_alone(args)
    else:
        raise ConfigError("name the room: --coordinator URL, --state FILE or --site SITE.toml")
    if args.record:
        _write(args.record, document)
    return _read(document, place, args.site)


def _read(document: Any, place: str, site: Path | None) -> "Recording":
    from dataclasses import replace

    from wattcast_configs.files import load_site
    from wattcast_coordinator.study.recording import from_document

    found = from_document(document, place)
    return replace(found, site=load_site(site)) if site else found


def _site_alone(args: argparse.Namespace) -> "Recording":
    from datetime import UTC, datetime

    from wattcast_configs.files import load_site
    from wattcast_coordinator.study.recording import never_measured, to_document

    made = never_measured(load_site(args.site), datetime.now(UTC))
    if args.record:
        _write(args.record, to_document(made))
    return made


def _live(url: str) -> Any:
    import httpx

    from wattcast_core.errors import ConfigError, DataError, Unreachable

    base = url.rstrip("/").removesuffix("/api/v1")
    try:
        answer = httpx.get(f"{base}/api/v1/recording", timeout=_TIMEOUT_REAL_S)
    except httpx.UnsupportedProtocol as error:
        raise ConfigError(f"--coordinator {url}: give http://host:port") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} does not answer ({type(error).__name__})") from error
    if answer.is_error:
        raise Unreachable(f"{url} answers {answer.status_code}: {answer.text[:300]}")
    try:
        return answer.json()
    except ValueError as error:
        raise DataError(f"{url} did not answer with JSON; is it a coordinator?") from error


def _file(path: Path) -> Any:
    from wattcast_core.errors import ConfigError, DataError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--state {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"--state {path}: not JSON ({error})") from error


def _write(path: Path, document: Any) -> None:
    from wattcast_core.errors import ConfigError

    try:
        path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--record {path}: cannot be written: {error.strerror}") from error
