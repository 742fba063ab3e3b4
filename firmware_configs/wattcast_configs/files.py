"""Read the files a person writes: site, rack and coordinator.

All raise ConfigError that names file, key and remedy.
"""

from dataclasses import replace
from pathlib import Path

from wattcast_configs import strict
from wattcast_configs.control import Control
from wattcast_configs.curves import load_curves
from wattcast_configs.rack import Rack
from wattcast_configs.site import Site
from wattcast_core.errors import ConfigError


def load_site(path: Path) -> Site:
    """Read a site file, check that its names resolve, and add the trip curves that ship."""
    try:
        site = strict.read(path, Site)
        own = {curve.name for curve in site.curve}
        shipped = tuple(c for name, c in load_curves().items() if name not in own)
        return replace(site, curve=(*site.curve, *shipped))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def load_rack(path: Path) -> Rack:
    """Read a rack file."""
    return strict.read(path, Rack)


def load_control(path: Path) -> Control:
    """Read a coordinator file."""
    return strict.read(path, Control)
