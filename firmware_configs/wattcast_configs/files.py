"""Read the files a person writes: site, rack and coordinator.

All raise ConfigError that names file, key and remedy.
"""

from pathlib import Path

from wattcast_configs import strict
from wattcast_configs.control import Control
from wattcast_configs.rack import Rack
from wattcast_configs.site import Site


def load_site(path: Path) -> Site:
    """Read a site file and check that its names resolve."""
    return strict.read(path, Site)


def load_rack(path: Path) -> Rack:
    """Read a rack file."""
    return strict.read(path, Rack)


def load_control(path: Path) -> Control:
    """Read a coordinator file."""
    return strict.read(path, Control)
