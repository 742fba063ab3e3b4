"""A back-test on a small made-up room: no look-ahead, the served code, the file and its scores."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_coordinator.train import backtest, backtest_panel, backtest_rate, backtest_rivals
from wattcast_coordinator.train.backtest_panel import COLUMNS, Level
from wattcast_core.errors import ConfigError, DataError
from wattcast_tools.main import main

START = datetime(2020, 1, 1, tzinfo=UTC)
SPLIT = 150
T = START + timedelta(minutes=5 * SPLIT)
STEPS = 220
SERVERS = ("s0", "s1", "s2")
TOPOLOGY = {
    "servers": {
        "s0": {"rack": "r0", "feed_a_share": 0.25},
        "s1": {"rack": "r0", "feed_a_share": 1.0},
        "s2": {"rack": "r1", "feed_a_share": 0.5},
    },
    "n1_limit_w": 640.0,
}


def watts():
    rng = np.random.default_rng(3)
    return 200.0 + np.cumsum(rng.normal(0, 3, (len(SERVERS), STEPS)), axis=1)


def write(folder, power, steps=STEPS, topology=TOPOLOGY):
    folder.mkdir(exist_ok=True)
    times = [START + timedelta(minutes=5 * k) for k in range(steps)]
    columns = {"t": pa.array(np.repeat(times, len(SERVERS)), pa.timestamp("ms", "UTC"))}
    columns["server"] = SERVERS * steps
    for name in COLUMNS:
        values = power[:, :steps] if name == "power_w" else np.full((len(SERVERS), steps), 0.5)
        columns[name] = values.T.ravel()
    pq.write_table(pa.table(columns), folder / "servers.parquet")
    (folder / "topology.json").write_text(json.dumps(topology))
    return folder


def walked(folder, name, origins):
    panel = backtest_panel.read(folder, T)
    level = next(level for level in panel.levels if level.name == name)
    return backtest.walk(panel, level, Forecaster().update, 80, origins)


@pytest.mark.parametrize("name", ["server", "feed"])
def test_what_comes_later_does_not_change_a_forecast(tmp_path, name):
    power, cut = watts(), SPLIT + 21
    spoiled = power.copy()
    spoiled[:, cut:] = 1e4
    whole = walked(write(tmp_path / "whole", power), name, 20).quantiles_w
    short = walked(write(tmp_path / "short", power, steps=cut), name, 20).quantiles_w
    other = walked(write(tmp_path / "other", spoiled), name, 20).quantiles_w
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole, short)
    np.testing.assert_array_equal(whole, other)


def test_rivals_are_fitted_before_the_split_only(tmp_path):
    power, spoiled = watts(), watts()
    spoiled[:, SPLIT + 1 :] += 1e3
    first, second = (
        backtest_rivals.persistence(level, SPLIT, 1)
        for level in (
            backtest_panel.read(write(tmp_path / "a", p), T).levels[0] for p in (power, spoiled)
        )
    )
    np.testing.assert_array_equal(first, second)


def test_racks_and_feeds_add_up_to_all_servers(tmp_path):
    levels = {x.name: x for x in backtest_panel.read(write(tmp_path, watts()), T).levels}
    total = levels["n1"].channels[0, :, 0]
    np.testing.assert_allclose(levels["server"].channels[:, :, 0].sum(axis=0), total)
    for name in ("rack", "feed"):
        np.testing.assert_allclose(levels[name].channels[:, :, 0].sum(axis=0), total)
    assert levels["rack"].ids == ("r0", "r1")
    assert levels["n1"].limit_w == 640.0
    np.testing.assert_allclose(levels["n1"].channels[:, :, 1], 50.0)


def test_a_short_gap_is_held_in_sums_and_a_wide_one_is_a_gap(tmp_path):
    power = watts()
    power[0, 60:63] = np.nan
    one = backtest_panel.read(write(tmp_path / "one", power), T).levels[3].channels[0, :, 0]
    assert np.isnan(one[60:63]).all()  # one of three servers is more than a fifth of them
    assert np.isfinite(one[63:]).all()
    power[:, 60:63] = -5.0
    wrong = backtest_panel.read(write(tmp_path / "wrong", power), T).levels[0].channels[:, :, 0]
    assert np.isnan(wrong[:, 60:63]).all()


def test_scores_of_known_forecasts():
    power = np.array([[100.0, 100.0, 110.0, 90.0, 100.0]])
    channels = np.full((1, 5, 7), np.nan)
    channels[:, :, 0] = power
    level = Level("n1", ("total",), channels, np.ones((1, 1)), 105.0)
    quantiles = np.full((1, 4, 3, 4), np.nan)
    quantiles[0, :3, 0] = (80.0, 100.0, 106.0, 120.0)
    row = backtest_rate.rate(level, 1, {"x": quantiles})[5]["x"]
    assert (row["n"], row["answered"]) == (3, 1.0)
    assert row["mae_w"] == pytest.approx((10 + 10 + 0) / 3)
    assert row["skill"] == pytest.approx(1 - (20 / 3) / (40 / 3))
    assert row["pinball90_w"] == pytest.approx((0.9 * 4 + 0.1 * 16 + 0.1 * 6) / 3)
    assert row["coverage90"] == pytest.approx(2 / 3)
    assert (row["onsets"], row["onset_recall"]) == (1, 1.0)
    assert row["overload_f1"] == pytest.approx(2 * 1 / (3 + 1))


def test_sums_of_servers_lie_between_independence_and_servers_in_step(tmp_path):
    panel = backtest_panel.read(write(tmp_path, watts()), T)
    served = np.broadcast_to([-12.816, 0.0, 12.816, 23.263], (3, 2, 3, 4)) + 100.0
    out = backtest_rivals.summed(panel.levels[3], panel.levels[0], served, SPLIT)
    assert out.shape == (1, 2, 3, 4)
    np.testing.assert_allclose(out[..., 1], 300.0)
    sigma = (out[..., 2] - 300.0) / 1.2816
    assert (sigma >= 10.0 * np.sqrt(3) - 1e-6).all()
    assert (sigma < 30.0).all()
    np.testing.assert_allclose(
        backtest_rivals.summed(panel.levels[0], panel.levels[0], served, SPLIT), served
    )


def test_the_command_writes_one_forecast_an_origin_and_horizon(tmp_path, capsys):
    folder, out = write(tmp_path / "room", watts()), tmp_path / "out.parquet"
    asked = [
        "backtest", str(folder), "--fit-until", T.isoformat(), "--out", str(out),
        "--warm-up-days", "0.3", "--days", "0.1", "--json",
    ]  # fmt: skip
    assert main(asked) == 0
    result = json.loads(capsys.readouterr().out)
    table = pq.read_table(out)
    assert {"level", "id", "origin", "horizon_min", "q10", "q50", "q90", "q99"} <= {
        *table.schema.names
    }
    keys = list(
        zip(*(table[c].to_pylist() for c in ("level", "id", "origin", "horizon_min")), strict=True)
    )
    assert len(keys) == len(set(keys)) == result["origins"] * 3 * (3 + 2 + 2 + 1)
    assert min(key[2] for key in keys) == T
    assert set(table["reason"].to_pylist()) <= {"lstm", "naive"}
    quantiles = np.stack([table[q].to_numpy() for q in ("q10", "q50", "q90", "q99")])
    assert (np.diff(quantiles, axis=0) >= 0).all()
    rows = result["levels"]["n1"]["minutes"]["15"]
    assert rows["wattcast"]["answered"] == rows["summed"]["answered"] == 1.0
    assert main([*asked[:-1], "--level", "n1"]) == 0
    assert "60 min" in capsys.readouterr().out


def test_bad_panels_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"topology\.json: cannot be read .*remedy"):
        backtest_panel.read(tmp_path, T)
    broken = {"servers": {"s0": {"rack": "r0"}}}
    with pytest.raises(DataError, match="feed_a_share"):
        backtest_panel.read(write(tmp_path / "a", watts(), topology=broken), T)
    fewer = {"servers": {"s0": TOPOLOGY["servers"]["s0"]}}
    with pytest.raises(ConfigError, match="does not name"):
        backtest_panel.read(write(tmp_path / "b", watts(), topology=fewer), T)
    with pytest.raises(ConfigError, match="no recorded step"):
        backtest_panel.read(write(tmp_path / "c", watts()), START)
    (tmp_path / "c" / "servers.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="not a parquet file"):
        backtest_panel.read(tmp_path / "c", T)


def test_an_output_folder_that_is_missing_is_named(tmp_path, capsys):
    folder = write(tmp_path / "room", watts())
    out = str(tmp_path / "none" / "out.parquet")
    assert main(["backtest", str(folder), "--fit-until", T.isoformat(), "--out", out]) == 2
    assert "remedy" in capsys.readouterr().err


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow and Keras warn of their own future
def test_what_is_fitted_is_fitted_before_the_split_and_reused(tmp_path, capsys):
    folder, kept = write(tmp_path / "room", watts()), tmp_path / "kept"
    asked = [
        "backtest", str(folder), "--out", str(tmp_path / "out.parquet"), "--level", "server",
        "--warm-up-days", "0.1", "--days", "0.1", "--json", "--limit-windows", "300",
        "--epochs", "1", "--lightgbm", "--fit-dir", str(kept), "--fit-until",
    ]  # fmt: skip
    assert main([*asked, T.isoformat()]) == 0
    first = json.loads(capsys.readouterr().out)
    written = (kept / "base.tflite").read_bytes()
    spoiled = watts()
    spoiled[:, SPLIT:] = 1e4
    (kept / "base.manifest.json").rename(tmp_path / "before.json")
    write(folder, spoiled)
    assert main([*asked, T.isoformat()]) == 0
    capsys.readouterr()
    assert (kept / "base.tflite").read_bytes() == written
    rows = first["levels"]["server"]["minutes"]["5"]
    assert set(rows) == {
        "wattcast",
        "persistence",
        "lstm",
        "naive",
        "lightgbm",
        "lightgbm_conformal",
    }
    assert rows["lightgbm_conformal"]["answered"] == 1.0
    assert main([*asked, (T + timedelta(minutes=5)).isoformat()]) == 2
    assert "fitted until" in capsys.readouterr().err
