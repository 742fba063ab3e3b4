"""Example sites that ship: rooms as they are built, to start a site file from."""

from pathlib import Path

BUILT_IN = Path(__file__).parent
