"""From the trained network to the file the edge box runs."""

import hashlib
import importlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_coordinator.train import manifest
from wattcast_coordinator.train.network import unrolled
from wattcast_core.errors import DataError
from wattcast_core.signal import probe as probing
from wattcast_core.signal.features import CONTEXT, SCHEMA, VERSION, Float32Array, ModelInput
from wattcast_core.signal.model_file import METADATA

_STILL = (1980, 1, 1, 0, 0, 0)  # no clock in the archive: the same training gives the same bytes
_AGREE = 1e-5  # of the answer, or of 1 where it is smaller


def weights_sha256(model: Any) -> str:
    """Hash of the network's weights alone."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights, np.float32).tobytes())
    return digest.hexdigest()


def metadata(
    model_id: str, *, application: str, trained_at: str, context: Float32Array, scores: object
) -> dict[str, Any]:
    """What the file says of itself; the edge refuses a model made for other inputs.

    Args:
        model_id: name of the model.
        application: whose load it learned.
        trained_at: ISO date or time.
        context: [n, len(CONTEXT)] it learned from: the range is written down.
        scores: how good it is.
    """
    low, high = (np.round(of(context, axis=0).astype(float), 4) for of in (np.min, np.max))
    return {
        **SCHEMA,
        "id": model_id,
        "application": application,
        "trained_at": trained_at,
        "units": "change of power from the last known value, in units of the scale (W)",
        "learned_between": {
            "inputs": list(CONTEXT),
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "scores": scores,
    }


def write(
    model: Any, path: Path, description: Mapping[str, Any], probe: Mapping[str, Float32Array]
) -> str:
    """Export, check against the trained network, append the metadata.

    Args:
        model: the trained Keras model.
        path: the .tflite file to write.
        description: becomes forecast.json in the file's zip trailer, with the answer to the probe
            that every agent will repeat.
        probe: inputs by name, on which network and export must agree.

    Returns:
        sha256 of the whole file.

    Raises:
        DataError: the exported network answers differently.
    """
    path.write_bytes(_converted(model, probe))
    asked = model.predict(probing.probe_input().parts(), verbose=0)
    answer = probing.answer(np.asarray(asked, np.float64))
    text = json.dumps({**description, probing.ANSWER: answer}, indent=1, sort_keys=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA, _STILL), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unscored(
    model: Any, path: Path, name: str, application: str, trained_at: str, learned: ModelInput
) -> dict[str, Any]:
    """Export a model that is judged elsewhere; what its manifest shall say.

    Args:
        model: the trained Keras model.
        path: the .tflite file to write.
        name: the model's id begins with it.
        application: whose load it learned.
        trained_at: ISO time up to which it learned.
        learned: the windows it learned from.
    """
    weights = weights_sha256(model)
    about = metadata(
        f"{name}-{weights[:8]}",
        application=application,
        trained_at=trained_at,
        context=learned.context,
        scores={},
    )
    probe = {part: of[:64] for part, of in learned.parts().items()}
    return {
        "schema": VERSION,
        "id": about["id"],
        "file": path.name,
        "sha256": write(model, path, about, probe),
        "weights_sha256": weights,
        "application": application,
        "trained_at": trained_at,
        "windows": len(learned),
        "versions": manifest.versions(),
    }


def _converted(model: Any, probe: Mapping[str, Float32Array]) -> bytes:
    """Unrolled clone: built-in operations only and a dynamic batch."""
    lite = importlib.import_module("tensorflow").lite
    content: bytes = lite.TFLiteConverter.from_keras_model(unrolled(model)).convert()
    runner = lite.Interpreter(model_content=content, num_threads=1).get_signature_runner()
    (exported,) = runner(**probe).values()
    wanted = model.predict(dict(probe), verbose=0)
    gap = float((np.abs(exported - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
    if gap > _AGREE:
        raise DataError(f"export: network and .tflite differ by {gap:.2g} (at most {_AGREE})")
    return content
