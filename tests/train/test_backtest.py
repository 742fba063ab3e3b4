"""A back-test on a small made-up room: no look-ahead, the served code, the file and its scores."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_configs.models import BASE_MODEL
from wattcast_coordinator.aggregate import nodes
from wattcast_coordinator.aggregate.nodes import NodeForecaster
from wattcast_coordinator.train import backtest, backtest_panel, backtest_rate, backtest_rivals
from wattcast_coordinator.train.backtest_panel import COLUMNS, Level
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.signal import sums
from wattcast_core.signal.features import AHEAD, CANDIDATES, CONTEXT
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


def walked(folder, origins, network=None):
    panel = backtest_panel.read(folder, T)
    nodes = {level.name: NodeForecaster(level.shares, network) for level in panel.levels[1:]}
    return backtest.walk(backtest.Room(panel, Forecaster().update, nodes), 80, origins)


def small_network(seed=1):
    """A network of sums with random weights: what it says does not matter, that it says it does."""
    rng = np.random.default_rng(seed)
    context, ahead = len(CONTEXT) + 1, len(AHEAD) + len(sums.MEMBERS)
    widths = [(context, 5), (5 + ahead, 6), (6, 4), (4, 4), (4, 4 * (len(CANDIDATES) + 2))]
    arrays = [rng.normal(0, 0.2, (2, *shape)) for w in widths for shape in (w, w[1:])]
    return sums.SumNetwork(*(of.astype(np.float32) for of in arrays))


@pytest.mark.parametrize("network", [None, small_network()], ids=["added", "network"])
def test_what_comes_later_does_not_change_a_forecast(tmp_path, network, monkeypatch):
    monkeypatch.setattr(nodes, "DAY", 40)  # the network serves from the fortieth step on
    power, cut = watts(), SPLIT + 21
    spoiled = power.copy()
    spoiled[:, cut:] = 1e4
    whole = walked(write(tmp_path / "whole", power), 20, network)
    short = walked(write(tmp_path / "short", power, steps=cut), 20, network)
    other = walked(write(tmp_path / "other", spoiled), 20, network)
    assert set(whole) == {"server", "rack", "feed", "n1"}
    for name, level in whole.items():
        assert np.isfinite(level.quantiles_w).all()
        np.testing.assert_array_equal(level.quantiles_w, short[name].quantiles_w)
        np.testing.assert_array_equal(level.quantiles_w, other[name].quantiles_w)


def test_a_sum_is_answered_again_right_after_a_gap(tmp_path):
    power = watts()
    power[:, SPLIT + 2 : SPLIT + 15] = np.nan
    served = walked(write(tmp_path, power), 20)["n1"].quantiles_w[0]
    known = np.isfinite(served).all(axis=(1, 2))
    assert known.tolist() == [True] * 2 + [False] * 13 + [True] * 5


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


def test_the_command_writes_one_forecast_an_origin_and_horizon(tmp_path, capsys):
    folder, out = write(tmp_path / "room", watts()), tmp_path / "out.parquet"
    page = tmp_path / "page.html"
    asked = [
        "backtest", str(folder), "--fit-until", T.isoformat(), "--out", str(out),
        "--model", str(BASE_MODEL.parent), "--warm-up-days", "0.3", "--days", "0.1",
        "--report", str(page), "--json",
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
    assert set(table["reason"].to_pylist()) <= set(backtest.CODES)
    quantiles = np.stack([table[q].to_numpy() for q in ("q10", "q50", "q90", "q99")])
    assert (np.diff(quantiles, axis=0) >= 0).all()
    rows = result["levels"]["n1"]["minutes"]["15"]
    assert rows["wattcast"]["answered"] == 1.0
    html = page.read_text()
    assert html.count("<svg") == 4 + 1 + 4
    assert "http" not in html
    assert main([*asked[:-3], "--level", "n1"]) == 0
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
    assert set(rows) == {"wattcast", "persistence", "lightgbm", "lightgbm_conformal"}
    assert rows["lightgbm_conformal"]["answered"] == 1.0
    assert main([*asked, (T + timedelta(minutes=5)).isoformat()]) == 2
    assert "fitted for until" in capsys.readouterr().err
    changed = watts()
    changed[:, : SPLIT // 2] += 1.0
    write(folder, changed)
    assert main([*asked, T.isoformat()]) == 2
    assert "data_sha256" in capsys.readouterr().err


def test_a_panel_too_short_to_fit_on_is_forecast_by_the_shipped_model(tmp_path, capsys):
    args = [
        "backtest", str(write(tmp_path / "panel", watts())), "--fit-until", T.isoformat(),
        "--out", str(tmp_path / "out.parquet"), "--level", "server", "--warm-up-days", "0.1",
        "--days", "0.1", "--json",
    ]  # fmt: skip
    assert main(args) == 0
    told = capsys.readouterr()
    assert "less than 14 days before T" in told.err
    assert json.loads(told.out)["model_id"].startswith("base-")
