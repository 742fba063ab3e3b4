"""A trained .tflite model behind LiteRT; the only module that knows the runtime."""

import hashlib
import importlib
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_core.errors import DataError, MissingExtraError
from wattcast_core.forecast import QUANTILES
from wattcast_core.signal.features import Float32Array, ModelInput
from wattcast_core.signal.model_file import RETRAIN, described, learned_between
from wattcast_core.signal.quantiles import ordered
from wattcast_core.signal.steps import HORIZON
from wattcast_core.units import FloatArray

_RUNTIMES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
)
_ROWS = 20  # at once: takes less memory than a whole rack would, and hardly more time


class LiteRtModel:
    """One model, ready to predict.

    Attributes:
        id: the model's name, as in its metadata.
        sha256: of the whole file.
        runtime: name and version of the runtime.
        metadata: what the model says of itself (forecast.json).
        learned: where the model's inputs lay when it learned.
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
        self.learned = learned_between(self.metadata, model)
        self.id = str(self.metadata.get("id", model.stem))
        self.runtime, runtime = _runtime()
        try:
            # Without XNNPACK: it takes 8 MB more, and saves 2 ms a forecast of a rack.
            interpreter = runtime.Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._run = interpreter.get_signature_runner()
            (self._output,) = self._run.get_output_details()
        except (ValueError, RuntimeError) as error:
            why = f"{model}: {self.runtime} cannot run it: {error}; {RETRAIN}"
            raise DataError(why) from error

    def predict(self, inputs: ModelInput) -> FloatArray:
        """Quantiles of the scaled change from now, a whole rack in one batch.

        Args:
            inputs: of ``features.build``.

        Returns:
            [series, HORIZON, 4], ordered.

        Raises:
            DataError: the runtime failed.
        """
        if not len(inputs):
            return np.empty((0, HORIZON, len(QUANTILES)))
        try:
            out = [self._run(**part)[self._output] for part in _parts(inputs)]
        except (ValueError, RuntimeError) as error:
            raise DataError(f"{self.id}: {self.runtime} failed: {error}") from error
        return ordered(np.concatenate(out)[: len(inputs)].astype(np.float64))


def _parts(inputs: ModelInput) -> Iterator[dict[str, Float32Array]]:
    """Inputs by name, _ROWS at a time: one shape, so that the runtime plans its memory once."""
    whole = -(-len(inputs) // _ROWS) * _ROWS
    padded = {
        name: np.concatenate([of, np.zeros((whole - len(of), *of.shape[1:]), np.float32)])
        for name, of in inputs.parts().items()
    }
    for start in range(0, whole, _ROWS):
        yield {name: of[start : start + _ROWS] for name, of in padded.items()}


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
