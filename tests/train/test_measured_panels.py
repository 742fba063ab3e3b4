"""Recordings of real meters as panels that the back-test reads."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wattcast_coordinator.train import backtest_panel, recordings
from wattcast_core.units import from_epoch_s
from wattcast_tools import measured_panels

DATA = Path(__file__).parent / "data"


def test_outlets_are_read_back_as_they_were_measured(tmp_path):
    assert measured_panels.main(["upm", str(DATA), str(tmp_path)]) == 0
    measured = recordings.outlets(DATA)
    panel = backtest_panel.read(tmp_path, from_epoch_s(measured.start_s) + timedelta(minutes=50))
    power = panel.levels[0].channels[:, :, 0]
    wanted = np.where(measured.channels[:, :, 0] >= 0, measured.channels[:, :, 0], np.nan)
    np.testing.assert_allclose(power, wanted)
    assert np.isnan(panel.levels[0].channels[:, :, 2:]).all()


def test_a_cluster_is_one_series_of_means_a_step(tmp_path):
    (tmp_path / "surf_lisa").mkdir()
    seconds = np.arange(0, 1200, 30)
    table = pa.table(
        {
            "t": pa.array(1_664_582_400_000 + seconds * 1000, pa.timestamp("ms", "UTC")),
            "power_w": np.where(seconds < 300, 60e3, 70e3),
            "cpu_nodes": np.full(len(seconds), 138.5),
        }
    )
    pq.write_table(table, tmp_path / "surf_lisa" / "cluster_power_30s.parquet")
    assert measured_panels.main(["surf", str(tmp_path), str(tmp_path / "out")]) == 0
    split = from_epoch_s(1_664_582_400 + 600)
    series = backtest_panel.read(tmp_path / "out", split).levels[-1].channels[0]
    np.testing.assert_allclose(series[:, 0], [60e3, 70e3, 70e3, 70e3])
    np.testing.assert_allclose(series[:, 1], 50.0)


def test_missing_recordings_are_named(tmp_path, capsys):
    assert measured_panels.main(["surf", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "remedy" in capsys.readouterr().err
