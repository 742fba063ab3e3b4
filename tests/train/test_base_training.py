"""The whole training on a small excerpt: recordings in, a model the edge runs out."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.infer.litert import LiteRtModel
from wattcast_configs.sum_file import read_sums, write_sums
from wattcast_coordinator.train import dataset, export, folds, network, recordings, sums_fit
from wattcast_coordinator.train.base import Request, train
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.signal import sums
from wattcast_core.signal.features import CHANNELS, CONTEXT, RECENT
from wattcast_core.signal.quantiles import ordered
from wattcast_core.signal.steps import HORIZON, STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import from_epoch_s

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


def test_what_is_learned_ends_before_the_split_and_what_is_judged_begins_after_it():
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
    assert early.past_w[np.isfinite(early.past_w)].max() < 1e6
    assert late.target_w.min() == 1e6


def test_windows_for_training_are_what_the_agent_serves_with():
    """The same steps, sent to the agent as signatures, give the same input bit by bit."""
    hosts, seen = panel(), []

    def look(inputs):
        seen.append(inputs)
        return np.zeros((len(inputs), HORIZON, 4))

    forecaster, names = Forecaster(look), [f"h{k}" for k in range(len(hosts.channels))]
    known = [FEATURES.index(name) for name in CHANNELS[1:]]
    for step in range(330):
        at = from_epoch_s(hosts.start_s + step * STEP_S)
        values = np.full((len(names), len(FEATURES)), np.nan)
        values[:, known] = hosts.channels[:, step, 1:]
        rows = zip(names, hosts.channels[:, step, 0].tolist(), values.tolist(), strict=True)
        signatures = [Signature(name, at, STEP_S, (w,), tuple(row)) for name, w, row in rows]
        forecaster.update(signatures, at + timedelta(seconds=STEP_S), 0.0)
    places = dataset.Places(np.arange(len(names)), np.full(len(names), 329))
    drawn = dataset.inputs(hosts, places)
    for name, of in seen[-1].parts().items():
        np.testing.assert_array_equal(of, drawn.parts()[name], err_msg=name)
    np.testing.assert_array_equal(seen[-1].scale_w, drawn.scale_w)


def test_scaled_changes_are_the_watts_that_followed():
    drawn = dataset.draw(
        panel(), 50, np.random.default_rng(2), held_out=False, augment=dataset.Augment()
    )
    back_w = drawn.input.to_watts(drawn.scaled[:, :, None])[:, :, 0]
    np.testing.assert_allclose(back_w, drawn.target_w, rtol=1e-3)


def test_augmentation_keeps_windows_usable_and_drops_some_inputs():
    rng = np.random.default_rng(3)
    drawn = dataset.draw(panel(), 400, rng, held_out=False, augment=dataset.TRAINING)
    assert all(np.isfinite(of).all() for of in drawn.input.parts().values())
    assert np.isfinite(drawn.scaled).all()
    known = drawn.input.recent[:, :, RECENT.index("memory_known")].any(axis=1)
    assert 0.6 < known.mean() < 0.95
    short = drawn.input.context[:, CONTEXT.index("known_day")] < 0.2
    assert 0.05 < short.mean() < 0.4


def test_folds_share_the_time_out_evenly_in_blocks():
    fold = folds.fold_of(np.arange(62 * 288), 62 * 288)
    counts = np.bincount(fold)
    assert len(counts) == folds.MEMBERS
    assert counts.min() > 0.8 * counts.max()
    assert (np.diff(fold) != 0).sum() < 20


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn of their own future
def test_network_and_exported_file_agree(tmp_path):
    network.tensorflow(3)
    untrained, members = network.ensemble(2)
    drawn = dataset.draw(
        panel(), 9, np.random.default_rng(1), held_out=False, augment=dataset.Augment()
    )
    about = export.metadata(
        "m", application="test", trained_at="2026", context=drawn.input.context, scores={}
    )
    given = drawn.input.parts()
    sha256 = export.write(untrained, tmp_path / "m.tflite", about, given)
    (tmp_path / "m.json").write_text(json.dumps({"sha256": sha256}))
    edge = LiteRtModel(tmp_path / "m.tflite", tmp_path / "m.json").predict(drawn.input)
    each = [member.predict([*given.values()], verbose=0) for member in members]
    np.testing.assert_allclose(edge, ordered(np.mean(each, axis=0)), atol=1e-5)


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn of their own future
def test_the_network_of_sums_answers_in_numpy_as_it_was_trained(tmp_path):
    network.tensorflow(3)
    rng, shares = np.random.default_rng(1), np.ones((9, 30))
    drawn = dataset.draw(panel(), 9, rng, held_out=False, augment=dataset.Augment())
    of_members = rng.normal(size=(9, HORIZON, len(sums.MEMBERS)))
    given = sums.parts(drawn.input, of_members, shares)
    model = sums_fit.network_of_sums(given)
    write_sums(tmp_path / "sums.npz", sums_fit.weights_of([model]))
    answer = read_sums(tmp_path / "sums.npz").predict(given)
    wanted = model.predict([*given.values()], verbose=0)
    np.testing.assert_allclose(answer, ordered(wanted), atol=1e-5)


def test_a_file_that_is_no_network_of_sums_is_refused(tmp_path):
    (tmp_path / "sums.npz").write_bytes(b"PK cut off")
    with pytest.raises(DataError, match=r"sums\.npz: not a network of sums"):
        read_sums(tmp_path / "sums.npz")


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
    drawn = dataset.draw(
        panel(), 7, np.random.default_rng(1), held_out=False, augment=dataset.Augment()
    )
    assert model.predict(drawn.input).shape == (7, HORIZON, 4)
    assert (out / "base.sums.npz").is_file()
    written = json.loads((out / "base.manifest.json").read_text())
    scores = written["scores"]["known_servers_later"]
    assert {"lstm", "lightgbm", "naive", "persistence"} <= set(scores)
    assert len({item["sha256"] for item in written["inputs"]}) == len(recordings.FILES)
