"""What a .tflite file says of itself: ``forecast.json`` in a zip archive at its end."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from wattcast_core.errors import DataError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import HORIZON, INPUTS, SCALING, STEP_S, WINDOW

METADATA = "forecast.json"
RETRAIN = "remedy: take the model of this version of Wattcast or train it again (wattcast train)"
SCHEMA: Mapping[str, Any] = {
    "schema": 1,
    "features": list(INPUTS),
    "window": WINDOW,
    "step_s": STEP_S,
    "horizon": HORIZON,
    "quantiles": list(QUANTILES),
    "scaling": SCALING,
}
VERSION = int(SCHEMA["schema"])


def described(content: bytes, name: object) -> Mapping[str, Any]:
    """The metadata of a model made for this version's inputs.

    Args:
        content: of the file.
        name: of the file, for an error.

    Raises:
        DataError: it is none, is cut off, or was made for other inputs.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = json.loads(archive.read(METADATA))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"{name}: holds no {METADATA}; {RETRAIN}") from error
    for key, expected in SCHEMA.items():
        if not isinstance(found, dict) or found.get(key) != expected:
            raise DataError(f"{name}: {METADATA} {key!r} is not {expected!r}; {RETRAIN}")
    checked: Mapping[str, Any] = found
    return checked
