"""What a .tflite file says of itself: ``forecast.json`` in a zip archive at its end."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from wattcast_core.errors import DataError
from wattcast_core.signal.familiar import Range
from wattcast_core.signal.features import CONTEXT, SCHEMA

METADATA = "forecast.json"
RETRAIN = "remedy: take the model of this version of Wattcast or train it again (wattcast train)"


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


def learned_between(metadata: Mapping[str, Any], name: object) -> Range:
    """Where the model's inputs lay when it learned.

    Raises:
        DataError: the metadata do not say it for each of the inputs.
    """
    try:
        span = metadata["learned_between"]
        found = [np.array(span[end], np.float64).reshape(len(CONTEXT)) for end in ("low", "high")]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: {METADATA} 'learned_between' is damaged; {RETRAIN}") from error
    return Range(*found)
