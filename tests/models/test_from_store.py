"""From stored rows to judged models."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import numpy as np
import panels
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobs import square
from processes import alive
from variants import model

from wattcast_coordinator.models.promotion import (
    CHALLENGER,
    CHAMPION,
    PERSISTENCE,
    SEASONAL,
    Judgement,
)
from wattcast_coordinator.store.open import open_store
from wattcast_coordinator.train import judge, stored
from wattcast_coordinator.train.fan_out import Where, fan_out
from wattcast_core.errors import ConfigError, DataError
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Batch
from wattcast_core.models import ALL
from wattcast_core.signature import FEATURES, Signature, Tags
from wattcast_core.units import from_epoch_s
from wattcast_tools.main import main
from wattcast_tools.training import from_store
from wattcast_tools.training.job import Trained

START = from_epoch_s(panels.FIRST * 300.0)


def test_a_database_and_a_coordinators_file_give_the_same_panel(tmp_path):
    store = open_store(f"duckdb:{tmp_path / 's.duckdb'}")
    rows = [
        Signature(s, START + timedelta(minutes=5 * k), 300.0, (100.0 + k,), (5.0,) * len(FEATURES),
                  Tags(application="web" if s == "a" or k < 2 else "mail"))
        for k in range(6) for s in ("a", "b") if (s, k) != ("b", 3)
    ]  # fmt: skip
    store.write("agent", Batch(0, signatures=tuple(rows)))
    store.steps_to_file(tmp_path / "steps.parquet", START, START + timedelta(hours=1))
    store.close()
    one = stored.read(f"duckdb:{tmp_path / 's.duckdb'}", 1.0)
    two = stored.read(str(tmp_path / "s.duckdb"), 1.0)
    three = stored.read(str(tmp_path / "steps.parquet"), 1.0)
    for panel in (one, two, three):
        assert panel.start_s == START.timestamp()
        assert list(zip(panel.servers, panel.applications, strict=True)) == [
            ("a", "web"), ("b", "mail"), ("b", "web"),
        ]  # fmt: skip
        power = panel.channels[:, :, 0]
        assert power[0].tolist() == [100.0 + k for k in range(6)]
        assert np.isnan(power[1]).tolist() == [True, True, False, True, False, False]
        assert panel.of("web").servers == ("a", "b")
        assert panel.of(ALL) is panel
    later = stored.read(str(tmp_path / "s.duckdb"), 0.0105, START + timedelta(minutes=25))
    assert later.channels.shape[1] == 3


def test_enough_data_is_needed_and_the_remedy_told(tmp_path):
    panel = stored.read(str(panels.write(tmp_path / "p.parquet", days=2.5)), 9)
    assert stored.split_step(panel, 1.0) == 432
    assert panel.named(2.9, 432) == ["batch", "web"]
    assert panel.named(3.1, 432) == []
    with pytest.raises(ConfigError, match="less than a day to learn from; remedy"):
        stored.split_step(panel, 2.0)
    with pytest.raises(ConfigError, match=r"no such file; remedy"):
        stored.read(str(tmp_path / "none.duckdb"), 9)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a parquet file"):
        stored.read(str(tmp_path / "x.parquet"), 9)
    pq.write_table(pa.table({"server": ["a"]}), tmp_path / "y.parquet")
    with pytest.raises(DataError, match="no column application"):
        stored.read(str(tmp_path / "y.parquet"), 9)


def knowing(panel, spread_w):
    """A forecaster that knows what will come, give or take."""
    power, start_s = panel.channels[:, :, 0], panel.start_s

    def update(signatures, now, _):
        step = round((now.timestamp() - start_s) / 300)
        ahead = np.minimum(step + np.arange(12), power.shape[1] - 1)
        return [
            Forecast(s.server, now, 300.0,
                     tuple((w - spread_w, w, w + spread_w, w + 2 * spread_w)
                           for w in power[int(s.server), ahead].tolist()),
                     Kind.LSTM, "", "m", 0.0)
            for s in signatures
        ]  # fmt: skip

    return update


def test_who_knows_more_loses_less_and_yesterday_is_a_rival(tmp_path):
    panel = stored.read(str(panels.write(tmp_path / "p.parquet", days=3)), 9)
    split = stored.split_step(panel, 1.0)
    updates = {"challenger": knowing(panel, 2.0), "champion": knowing(panel, 10.0)}
    served = judge.walk(judge.sample(panel, split), split, updates)
    whole = judge.judge(panel, split, served, ALL)
    assert set(whole.pinball_w) == {"challenger", "champion", PERSISTENCE, SEASONAL}
    assert whole.targets == 4 * (287 + 285 + 276)
    losses = whole.pinball_w
    assert losses["challenger"] < losses["champion"] < losses[PERSISTENCE]
    assert losses["champion"] == pytest.approx(5 * losses["challenger"], rel=1e-3)
    assert whole.coverage90["challenger"] == 1.0
    web, batch = (judge.judge(panel, split, served, name) for name in ("web", "batch"))
    assert web.pinball_w[SEASONAL] < web.pinball_w[PERSISTENCE], "it swings by the day"
    assert batch.targets + web.targets == whole.targets
    assert judge.judge(panel, split, served, "none").targets == 0


def test_seasonal_naive_looks_back_a_day_and_learns_before_the_split_only():
    power = np.tile(np.arange(288.0), 3)[None]
    spoiled = power.copy()
    spoiled[:, 600:] = 1e4
    out = judge.seasonal(power, 576)
    np.testing.assert_array_equal(out[0, :, 0, 1], np.roll(np.arange(288.0), -1))
    np.testing.assert_array_equal(out[:, :20], judge.seasonal(spoiled, 576)[:, :20])
    assert np.isnan(judge.seasonal(power[:, :300], 280)).all()


def squares(where):
    return {job: result for job, (result, *_) in fan_out(square, [1, 2, 3], where)}


def test_jobs_run_here_or_in_processes_that_are_nice():
    assert squares(Where()) == {1: 1, 2: 4, 3: 9}
    there = dict(fan_out(square, [1, 2, 3], Where(workers=2, niceness=7)))
    assert {job: result[0] for job, result in there.items()} == {1: 1, 2: 4, 3: 9}
    assert os.getpid() not in {result[1] for result in there.values()}
    assert {result[2] for result in there.values()} == {min(19, os.nice(0) + 7)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a library that runs servers
def test_jobs_run_on_a_dask_cluster():
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        cluster_of = Where(dask=cluster.scheduler_address)
        assert dict(fan_out(pow_of(2), [1, 2, 3], cluster_of)) == {1: 1, 2: 4, 3: 9}


def pow_of(exponent):
    """A job that carries itself: the workers cannot import this file."""
    return lambda number: number**exponent


def test_a_cluster_whose_library_is_missing_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    data = panels.write(tmp_path / "p.parquet", days=3)
    asked = ["train", "--from-store", str(data), "--judge-days", "1", "--out", str(tmp_path / "o")]
    assert main([*asked, "--ray", "auto"]) == 5
    assert "pip install 'wattcast[ray]'" in capsys.readouterr().err


class Trainer:
    """Stands in for the network's training: it counts, and knows how each model did."""

    def __init__(self):
        self.asked = []

    def __call__(self, job):
        self.asked.append(job.application)
        content = model(f"m-{job.application}")
        names = (ALL, *job.applications) if job.application == ALL else (job.application,)
        mine = 1.0 if job.application == ALL else 0.99
        losses = {CHALLENGER: mine, CHAMPION: 2.0, PERSISTENCE: 3.0, SEASONAL: 3.0}
        judged = {
            n: Judgement(n, 5000, "a", "b", losses, dict.fromkeys(losses, 0.9)) for n in names
        }
        about = {"id": f"m-{job.application}", "sha256": hashlib.sha256(content).hexdigest()}
        return Trained(content, about, judged)


def test_what_is_finished_is_not_trained_again_and_an_own_model_must_beat_the_new_one_of_all(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(from_store, "run", trainer := Trainer())
    data = panels.write(tmp_path / "p.parquet", days=3, servers=3)
    out = tmp_path / "models"
    asked = ["train", "--from-store", str(data), "--out", str(out), "--judge-days", "0.5", "--json",
             "--least-server-days", "4", "--workers", "1"]  # fmt: skip
    assert main([*asked, "--application", "*"]) == 0
    capsys.readouterr()
    assert main([*asked, "--all-applications"]) == 0
    told = capsys.readouterr()
    assert trainer.asked == ["*", "web"]
    assert "less than 4 server days, so no model of its own: batch" in told.err
    rows = {row["application"]: row for row in json.loads(told.out)["models"]}
    assert {name: row["promote"] for name, row in rows.items()} == {"*": True, "web": False}
    assert rows["web"]["why"] == "1.0 % better than the global, 2 % are needed"
    web = out / rows["web"]["file"]
    web.write_bytes(web.read_bytes()[:-1])
    assert main([*asked, "--all-applications"]) == 0
    assert trainer.asked == ["*", "web", "web"], "its file was damaged"
    panels.write(data, days=3, servers=3, seed=4)
    assert main([*asked, "--all-applications", "--seed", "2"]) == 0
    assert trainer.asked[3:] == ["*", "web"], "other data, another seed"


@pytest.mark.slow
def test_workers_end_with_a_training_that_is_killed(tmp_path):
    script = (
        "import time\n"
        "from wattcast_coordinator.train.fan_out import Where, fan_out\n"
        "def sleep(n):\n"
        "    open(f'{n}.began', 'w').write(str(__import__('os').getpid()))\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(fan_out(sleep, [1, 2], Where(workers=2)))\n"
    )
    (tmp_path / "job.py").write_text(script)
    child = subprocess.Popen([sys.executable, "job.py"], cwd=tmp_path)
    began = [tmp_path / f"{n}.began" for n in (1, 2)]
    try:
        wait_for(lambda: all(path.exists() and path.read_text() for path in began))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    wait_for(lambda: not any(alive(int(path.read_text())) for path in began))


def wait_for(condition, patience_s=30.0):
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)
