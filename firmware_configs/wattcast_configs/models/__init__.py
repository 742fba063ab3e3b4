"""Models that ship with Wattcast, each with its manifest."""

from pathlib import Path

_HERE = Path(__file__).parent
BASE_MODEL = _HERE / "base.tflite"
BASE_MANIFEST = _HERE / "base.manifest.json"
BASE_SUMS = _HERE / "base.sums.npz"
