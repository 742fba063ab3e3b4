"""Trip curves that ship, and their loader."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from wattcast_configs import strict
from wattcast_configs.curve import Curve
from wattcast_core.errors import ConfigError

BUILT_IN = Path(__file__).parent


def load_curve(path: Path) -> Curve:
    """Read one curve; its name is the file's. ConfigError names file, key and remedy."""
    try:
        return replace(strict.read(path, Curve), name=path.stem)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from error


@lru_cache(maxsize=4)
def load_curves(folder: Path = BUILT_IN) -> dict[str, Curve]:
    """Curves of a folder by name."""
    return {path.stem: load_curve(path) for path in sorted(folder.glob("*.toml"))}
