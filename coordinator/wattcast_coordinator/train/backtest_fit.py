"""Models of the panel's own: fitted on its steps before the split, kept in a folder and reused."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from wattcast_configs.sum_file import write_sums
from wattcast_coordinator.train import export, manifest, network, servers_fit, sums_fit
from wattcast_coordinator.train.backtest_panel import Panel
from wattcast_coordinator.train.base import MANIFEST, MODEL, SUMS
from wattcast_coordinator.train.recordings import Panel as Recorded
from wattcast_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Request:
    """What to fit.

    Attributes:
        folder: holds what was fitted, or will.
        fit_until: nothing from it on is used.
        windows: of servers to draw at most; sums learn from SUM_STEPS_SHARE as many steps.
        epochs: passes over them.
        seed: of every random draw.
        cell: as in ``servers_fit.Settings``.
    """

    folder: Path
    fit_until: datetime
    windows: int
    epochs: int
    seed: int
    cell: str = "LSTM"


SUM_STEPS_SHARE = 1 / 40


def ensure(panel: Panel, request: Request, progress: Callable[[str], None]) -> None:
    """Fit and write the models and their manifest, unless the folder holds just these already.

    Raises:
        ConfigError: the folder holds what was fitted on other data, until another time, or with
            other settings.
        MissingExtraError: the extra ``train`` is not installed.
    """
    kept, wanted = request.folder / MANIFEST, fingerprint(panel, request)
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8")).get("fitted", {})
        other = [f"{k} {found.get(k)}, not {v}" for k, v in wanted.items() if found.get(k) != v]
        if other:
            raise ConfigError(
                f"{kept}: fitted for {'; '.join(other)}; remedy: give another --fit-dir, or remove "
                "this one to fit anew"
            )
        progress(f"reusing the models in {request.folder}")
        return
    _fit(panel, request, wanted, progress)


def fingerprint(panel: Panel, request: Request) -> dict[str, Any]:
    """What a fit depends on; data from the split on is no part of it."""
    digest = hashlib.sha256()
    for level in panel.levels:
        digest.update("\n".join(level.ids).encode())
        digest.update(np.ascontiguousarray(level.channels[:, : panel.split]).tobytes())
        digest.update(np.ascontiguousarray(level.shares).tobytes())
    settings = {k: v for k, v in asdict(request).items() if k not in ("folder", "fit_until")}
    return {
        "until": request.fit_until.isoformat(),
        "data_sha256": digest.hexdigest(),
        **settings,
    }


def _fit(
    panel: Panel, request: Request, wanted: dict[str, Any], progress: Callable[[str], None]
) -> None:
    servers = _recorded(panel)
    settings = servers_fit.Settings(request.epochs, request.seed, request.cell)
    model, members, drawn = servers_fit.fit_panel(servers, request.windows, settings, progress)
    request.folder.mkdir(parents=True, exist_ok=True)
    source = sums_fit.Source(servers, *_sums(panel))
    count = round(request.windows * SUM_STEPS_SHARE)
    sums = sums_fit.fit(source, members, count, request.seed, progress)
    if sums is not None:
        write_sums(request.folder / SUMS, sums)
    name, until = f"panel-{request.cell.lower()}{network.UNITS}", request.fit_until.isoformat()
    written = export.unscored(model, request.folder / MODEL, name, "panel", until, drawn.input)
    manifest.write(request.folder / MANIFEST, {**written, "fitted": wanted})


def _recorded(panel: Panel) -> Recorded:
    servers = panel.levels[0]
    before = servers.channels[:, : panel.split]
    return Recorded("panel", before, panel.start_s, np.ones(len(before)), panel.split)


def _sums(panel: Panel) -> tuple[Any, Any, Any]:
    """Power without gaps, where no sum is known, and shares of the sums; before the split."""
    shares = np.concatenate([level.shares for level in panel.levels[1:]])
    total = panel.levels[-1].channels[0, : panel.split, 0]
    return panel.filled_w[:, : panel.split], np.isnan(total), shares
