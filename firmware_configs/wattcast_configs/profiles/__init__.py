"""Device profiles that ship, and their loader."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from wattcast_configs import strict
from wattcast_configs.place import known
from wattcast_configs.profile import Profile
from wattcast_core.errors import ConfigError

BUILT_IN = Path(__file__).parent
SCHEMA = "profile.schema.json"


def load_profile(path: Path) -> Profile:
    """Read one profile; its name is the file's.

    Raises:
        ConfigError: the text names file, key and remedy.
    """
    profile = replace(strict.read(path, Profile), name=path.stem)
    if not (profile.point or profile.repeat or profile.protocol == "bacnet"):
        raise ConfigError(f"{path}: key 'point' is missing; add it, or a repeat")
    return profile


def load_profiles(folder: Path = BUILT_IN, protocol: str = "") -> dict[str, Profile]:
    """Profiles of a folder by name: those of one protocol, or of all if it is empty."""
    found = {path.stem: load_profile(path) for path in sorted(folder.glob("*.toml"))}
    return {name: p for name, p in found.items() if protocol in ("", p.protocol)}


def load_named(names: Iterable[str], folder: Path) -> dict[str, Profile]:
    """The profiles a rack file names: those that ship, or files (``NAME.toml``) in its ``folder``.

    Raises:
        ConfigError: one does not exist or is wrong; the text names place and remedy.
    """
    shipped = {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}
    found = {}
    for name in dict.fromkeys(names):
        if not name.endswith(".toml"):
            known(name, shipped, "profile")
        found[name] = load_profile(shipped.get(name, folder / name))
    return found
