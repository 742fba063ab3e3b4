"""A trained .tflite model behind LiteRT; the only module that knows the runtime."""

import hashlib
import importlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.errors import DataError, MissingExtraError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import HORIZON, INPUTS, WINDOW, Float32Array
from wattcast_core.signal.model_file import RETRAIN, described
from wattcast_core.signal.quantiles import ordered
from wattcast_core.units import FloatArray

_RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)
_ROWS = 8  # at once: takes 2 MB less than a rack of 40 would, and no more time


class LiteRtModel:
    """One model, ready to predict.

    Attributes:
        id: the model's name, as in its metadata.
        sha256: of the whole file.
        runtime: name and version of the runtime.
        metadata: what the model says of itself (forecast.json).
    """

    def __init__(self, model: Path, manifest: Path) -> None:
        """Load and verify.

        Raises:
            DataError: missing, corrupt (hash), not a model, or made for other inputs.
            MissingExtraError: no runtime is installed.
        """
        content = _read(model)
        self.sha256 = _verify(content, model, manifest)
        self.metadata = described(content, model)
        self.id = str(self.metadata.get("id", model.stem))
        self.runtime, runtime = _runtime()
        try:
            # Without XNNPACK: it takes 16 MB more, and saves 6 ms a forecast of a rack.
            interpreter = runtime.Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._run = interpreter.get_signature_runner()
            (self._input,) = self._run.get_input_details()
            (self._output,) = self._run.get_output_details()
        except (ValueError, RuntimeError) as error:
            why = f"{model}: {self.runtime} cannot run it: {error}; {RETRAIN}"
            raise DataError(why) from error

    def predict(self, x: Float32Array) -> FloatArray:
        """Quantiles of the scaled change from now, a whole rack in one batch.

        Args:
            x: [server, WINDOW, len(INPUTS)] of ``features.build``.

        Returns:
            [server, HORIZON, 4], ordered.

        Raises:
            DataError: wrong shape, or the runtime failed.
        """
        if x.ndim != 3 or x.shape[1:] != (WINDOW, len(INPUTS)):
            raise DataError(f"{self.id}: input {x.shape}, not [server, {WINDOW}, {len(INPUTS)}]")
        if not len(x):
            return np.empty((0, HORIZON, len(QUANTILES)))
        padded = np.zeros((-(-len(x) // _ROWS) * _ROWS, *x.shape[1:]), np.float32)
        padded[: len(x)] = x
        try:
            out = [self._run(**{self._input: part})[self._output] for part in _parts(padded)]
        except (ValueError, RuntimeError) as error:
            raise DataError(f"{self.id}: {self.runtime} failed: {error}") from error
        return ordered(np.concatenate(out)[: len(x)].astype(np.float64))


def _parts(padded: Float32Array) -> list[Float32Array]:
    return [padded[start : start + _ROWS] for start in range(0, len(padded), _ROWS)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {RETRAIN}") from error


def _verify(content: bytes, model: Path, manifest: Path) -> str:
    try:
        wanted = json.loads(_read(manifest))["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{manifest}: not a manifest with a sha256; {RETRAIN}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != wanted:
        raise DataError(
            f"{model}: corrupt, sha256 {actual[:12]} but {manifest.name} says {str(wanted)[:12]}; "
            "remedy: copy the model and its manifest again (reinstall wattcast)"
        )
    return actual


def _runtime() -> tuple[str, Any]:
    for name, module in _RUNTIMES:
        try:
            return f"{name} {metadata.version(name)}", importlib.import_module(module)
        except ImportError:
            continue
    raise MissingExtraError("ai-edge-litert", "agent")
