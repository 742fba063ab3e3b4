"""The base model: one network for all servers, from real recordings, in one reproducible run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_configs.sum_file import write_sums
from wattcast_coordinator.train import (
    dataset,
    export,
    manifest,
    network,
    recordings,
    score,
    servers_fit,
    sums_fit,
)
from wattcast_coordinator.train.dataset import DRIFTING, TRAINING, Augment, Examples
from wattcast_coordinator.train.recordings import Panel, Recordings
from wattcast_core.signal import gaps
from wattcast_core.signal.features import Float32Array
from wattcast_core.signal.sums import SumNetwork

MODEL, MANIFEST, SUMS = "base.tflite", "base.manifest.json", "base.sums.npz"
_NEW_VM_SHARE = 0.25
_SUM_SERVERS = 96  # hosts that random sums are made of
_SUM_STEPS_SHARE = 1 / 40  # of the windows
_UNKNOWN_SHARE = 0.2  # of hosts not recorded: above it no sum is known
_SHARES = (0.86, 0.07, 0.07)  # of the training windows: VMs on hosts, outlets, mean machine
_JUDGED = 8000
_HOSTS_A_WINDOW = 1 / 150
_RECORDED = Augment()
_SCORES_NOTE = (
    "watts; mean over 5, 15 and 60 min ahead; pinball total = mean over quantiles; raw quantiles, "
    "before the edge's conformal calibration; lightgbm learned from the same windows and inputs; "
    "the network was designed on replayed panels judged in August 2013, not on these windows"
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
        out: folder to write the models and their manifest to.
        epochs: passes over the windows.
        seed: of every random draw.
        windows: training windows; the judged sets are smaller in proportion below 16,000.
        trained_at: ISO date to write down (no clock is read here).
        resume: folder for the state of an interrupted training, or None.
    """

    data: Path
    out: Path
    epochs: int = 10
    seed: int = 1
    windows: int = 100_000
    trained_at: str = ""
    resume: Path | None = None


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
    progress(f"training on {len(learned)} windows, at most {request.epochs} epochs")
    settings = servers_fit.Settings(request.epochs, request.seed, resume=request.resume)
    model, members = servers_fit.fit(learned, weight, settings, progress)
    count = round(request.windows * _SUM_STEPS_SHARE)
    sums = sums_fit.fit(_source(panels.known), members, count, request.seed, progress)
    progress("training LightGBM for comparison")
    trees = score.Trees(learned, weight, request.seed)
    scores = {
        name: score.rate(windows, score.forecasts(model, trees, learned, windows))
        for name, windows in judged.items()
    }
    progress("exporting")
    return _written(request, (model, sums), panels, learned, scores)


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


def _source(hosts: Panel) -> sums_fit.Source:
    """Hosts that random sums are made of; there are no real racks."""
    channels = hosts.channels[:_SUM_SERVERS, : hosts.train_steps]
    ranges = hosts.range_w[:_SUM_SERVERS]
    servers = Panel(hosts.name, channels, hosts.start_s, ranges, hosts.train_steps)
    filled_w, known = gaps.hold(channels[:, :, 0])
    unknown = (~known).mean(axis=0) > _UNKNOWN_SHARE
    return sums_fit.Source(servers, filled_w, unknown, np.zeros((0, len(channels))))


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
    relative = examples.input.scale_w / np.maximum(examples.input.anchor_w, 1.0)
    weight = np.sqrt(np.clip(relative / np.median(relative), 0.1, 10.0))
    normal: Float32Array = (weight / weight.mean()).astype(np.float32)
    return normal


def _written(
    request: Request,
    trained: tuple[Any, SumNetwork | None],
    panels: _Panels,
    learned: Examples,
    scores: dict[str, Any],
) -> dict[str, Any]:
    model, sums = trained
    request.out.mkdir(parents=True, exist_ok=True)
    if sums is not None:
        write_sums(request.out / SUMS, sums)
    weights = export.weights_sha256(model)
    model_id = f"base-lstm{network.UNITS}-{weights[:8]}"
    about = export.metadata(
        model_id,
        application="base",
        trained_at=request.trained_at,
        context=learned.input.context,
        scores={name: rows["lstm"]["pinball_w"] for name, rows in scores.items()},
    )
    target = request.out / MODEL
    probe = {name: of[:64] for name, of in learned.input.parts().items()}
    written = {
        "schema": 2,
        "id": model_id,
        "file": target.name,
        "sha256": export.write(model, target, about, probe),
        "weights_sha256": weights,
        "bytes": target.stat().st_size,
        "sums": _file(request.out / SUMS) if sums is not None else None,
        "application": "base",
        "trained_at": request.trained_at,
        **_origin(request, panels),
        "windows": {"train": len(learned), **{k: v["windows"] for k, v in scores.items()}},
        "scores": scores,
        "scores_note": _SCORES_NOTE,
    }
    manifest.write(request.out / MANIFEST, written)
    return written


def _file(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": manifest.sha256(path)}


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
