"""From the trained network to the file the edge box runs."""

import hashlib
import importlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_coordinator.train.network import network
from wattcast_core.errors import DataError
from wattcast_core.signal import probe as probing
from wattcast_core.signal.features import Float32Array
from wattcast_core.signal.model_file import METADATA, SCHEMA

_STILL = (1980, 1, 1, 0, 0, 0)  # no clock in the archive: the same training gives the same bytes
_AGREE = 1e-5  # of the answer, or of 1 where it is smaller


def weights_sha256(model: Any) -> str:
    """Hash of the network's weights alone."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights, np.float32).tobytes())
    return digest.hexdigest()


def metadata(model_id: str, *, application: str, trained_at: str, scores: object) -> dict[str, Any]:
    """What the file says of itself; the edge refuses a model made for other inputs."""
    return {
        **SCHEMA,
        "id": model_id,
        "application": application,
        "trained_at": trained_at,
        "units": "change of power from the last known value, in units of the window's scale (W)",
        "scores": scores,
    }


def write(model: Any, path: Path, description: Mapping[str, Any], probe: Float32Array) -> str:
    """Export, check against the trained network, append the metadata.

    Args:
        model: the trained Keras model.
        path: the .tflite file to write.
        description: becomes forecast.json in the file's zip trailer, with the answer to the probe
            that every agent will repeat.
        probe: [n, WINDOW, inputs] on which network and export must agree.

    Returns:
        sha256 of the whole file.

    Raises:
        DataError: the exported network answers differently.
    """
    path.write_bytes(_converted(model, probe))
    answer = probing.answer(np.asarray(model.predict(probing.probe_input(), verbose=0), np.float64))
    text = json.dumps({**description, probing.ANSWER: answer}, indent=1, sort_keys=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA, _STILL), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _converted(model: Any, probe: Float32Array) -> bytes:
    """Unrolled clone: built-in operations only and a dynamic batch."""
    lite = importlib.import_module("tensorflow").lite
    clone = network(unroll=True)
    clone.set_weights(model.get_weights())
    content: bytes = lite.TFLiteConverter.from_keras_model(clone).convert()
    runner = lite.Interpreter(model_content=content, num_threads=1).get_signature_runner()
    (name,) = runner.get_input_details()
    (exported,) = runner(**{name: probe}).values()
    wanted = model.predict(probe, verbose=0)
    gap = float((np.abs(exported - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
    if gap > _AGREE:
        raise DataError(f"export: network and .tflite differ by {gap:.2g} (at most {_AGREE})")
    return content
