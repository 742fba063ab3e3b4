"""The whole training on a small excerpt: recordings in, a model the edge runs out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from wattcast_agent.infer.litert import LiteRtModel
from wattcast_coordinator.train import dataset, export, network, recordings
from wattcast_coordinator.train.base import Request, train
from wattcast_core.errors import ConfigError
from wattcast_core.signal.features import HORIZON, INPUTS, WINDOW, build
from wattcast_core.signal.quantiles import ordered

DATA = Path(__file__).parent / "data"


def panel(seed=1):
    rng = np.random.default_rng(seed)
    read = recordings.read(DATA)
    return recordings.hosts(read, np.arange(len(read.vm_ids)), 6, rng, "test")


def test_a_missing_recording_is_named(tmp_path):
    shutil.copytree(DATA / "bitbrains_rnd", tmp_path / "bitbrains_rnd")
    with pytest.raises(ConfigError, match=r"upm_outlets/outlets_15s\.parquet is missing; remedy"):
        recordings.read(tmp_path)


def test_recorded_power_lies_on_the_curve_and_gaps_stay_gaps():
    hosts = panel()
    power, cpu = hosts.channels[:, :, 0], hosts.channels[:, :, 1]
    assert np.nanmin(power) > 0
    assert (np.nanmax(power, axis=1) - np.nanmin(power, axis=1) <= hosts.range_w + 1e-6).all()
    assert (np.isnan(power) == np.isnan(cpu)).all()
    assert 0 <= np.nanmin(cpu) <= np.nanmax(cpu) <= 100.0


def test_training_and_judged_windows_do_not_touch():
    hosts = panel()
    marked = hosts.channels.copy()
    marked[:, hosts.train_steps :, 0] = 1e6
    spoiled = recordings.Panel("x", marked, hosts.start_s, hosts.range_w, hosts.train_steps)
    rng = np.random.default_rng(1)
    early, late = (
        dataset.draw(spoiled, 200, rng, held_out=later, augment=dataset.Augment())
        for later in (False, True)
    )
    assert len(early) == len(late) == 200
    assert early.target_w.max() < 1e6
    assert late.window[:, :, 0].min() == 1e6


def test_windows_for_training_are_built_by_what_the_agent_serves_with():
    drawn = dataset.draw(
        panel(), 50, np.random.default_rng(2), held_out=False, augment=dataset.Augment()
    )
    again = build(drawn.window, np.zeros(50))
    day = [INPUTS.index("day_sin"), INPUTS.index("day_cos")]
    same = np.delete(drawn.input.x, day, axis=2) == np.delete(again.x, day, axis=2)
    assert same.all()
    np.testing.assert_allclose(
        drawn.input.to_watts(drawn.scaled[:, :, None])[:, :, 0], drawn.target_w, rtol=1e-3
    )


def test_augmentation_keeps_windows_usable_and_drops_some_inputs():
    rng = np.random.default_rng(3)
    drawn = dataset.draw(panel(), 400, rng, held_out=False, augment=dataset.TRAINING)
    assert np.isfinite(drawn.input.x).all()
    assert np.isfinite(drawn.scaled).all()
    known = drawn.input.x[:, :, INPUTS.index("memory_known")].any(axis=1)
    assert 0.6 < known.mean() < 0.95


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn of their own future
def test_network_and_exported_file_agree(tmp_path):
    network.tensorflow(3)
    untrained = network.network()
    x = np.random.default_rng(1).normal(size=(9, WINDOW, len(INPUTS))).astype(np.float32)
    about = export.metadata("m", application="test", trained_at="2026-01-01", scores={})
    sha256 = export.write(untrained, tmp_path / "m.tflite", about, x)
    (tmp_path / "m.json").write_text(json.dumps({"sha256": sha256}))
    edge = LiteRtModel(tmp_path / "m.tflite", tmp_path / "m.json").predict(x)
    np.testing.assert_allclose(edge, ordered(untrained.predict(x, verbose=0)), atol=1e-5)


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn of their own future
def test_a_small_training_exports_what_the_edge_runs_and_can_be_repeated(tmp_path):
    manifests = [
        train(Request(DATA, tmp_path / name, epochs=1, windows=600, trained_at="2026-01-01"), print)
        for name in ("one", "two")
    ]
    assert manifests[0]["weights_sha256"] == manifests[1]["weights_sha256"]
    assert manifests[0]["sha256"] == manifests[1]["sha256"]
    out = tmp_path / "one"
    model = LiteRtModel(out / "base.tflite", out / "base.manifest.json")
    assert model.id == manifests[0]["id"]
    x = np.random.default_rng(1).normal(size=(7, WINDOW, len(INPUTS))).astype(np.float32)
    rows = np.concatenate([model.predict(x[i : i + 1]) for i in range(7)])
    assert rows.shape == (7, HORIZON, 4)
    np.testing.assert_allclose(model.predict(x), rows, atol=1e-5)
    written = json.loads((out / "base.manifest.json").read_text())
    scores = written["scores"]["known_servers_later"]
    assert {"lstm", "lightgbm", "naive", "persistence"} <= set(scores)
    assert len({item["sha256"] for item in written["inputs"]}) == len(recordings.FILES)
