"""Backup, restore and export: into the same engine, into the other one, and refused."""

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_rows import START, STEP, batch

from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.store import backup, export
from wattcast_coordinator.store.contract import AuditEntry
from wattcast_coordinator.store.open import open_store
from wattcast_core.errors import ConfigError, DataError, Refused
from wattcast_tools import main

ALL = (START - timedelta(days=1), datetime(9000, 1, 1, tzinfo=UTC))


@pytest.fixture
def filled(store):
    for sequence in range(4):
        store.write("a", batch(sequence, application="shop" if sequence < 2 else "batch"))
    store.write("a", batch(500, power_w=math.nan))  # another day: another partition
    store.write_event(RaiseEvent(Severity.INFO, "leader", "c1 leads", START))
    store.write_audit(AuditEntry(START, "c1", "StartMove", "w1", "{}"))
    store.describe({"pdu1": ("A", "r1", "pdu")}, START)
    store.roll_up(START + 502 * STEP, 7)
    return store


def test_a_backup_restores_everything_also_into_the_other_engine(filled, tmp_path):
    copied = backup.backup(filled.engine, tmp_path / "copy")
    other = open_store(f"duckdb:{tmp_path}/other.duckdb")
    assert backup.restore(other.engine, tmp_path / "copy") == copied > 50
    assert other.counts() == filled.counts()
    assert other.history("s1", START)[:4] == filled.history("s1", START)[:4]
    assert (other.events(9), other.audit(START)) == (filled.events(9), filled.audit(START))
    sql = "SELECT * FROM feeds_1m ORDER BY feed, ts"
    assert other.engine.rows(sql) == filled.engine.rows(sql) != []
    assert other.acknowledged("a") == 500
    other.write("a", batch(3))  # a replay is known after a restore as well
    assert other.counts() == filled.counts()
    other.close()


def test_a_backup_of_duckdb_restores_into_either_engine(place, tmp_path):
    source = open_store(f"duckdb:{tmp_path}/source.duckdb")
    for sequence in (0, 1, 300):
        source.write("a", batch(sequence))
    backup.backup(source.engine, tmp_path / "copy")
    target = place()
    backup.restore(target, tmp_path / "copy")
    sql = "SELECT server, ts, power_w, cords_w, net_rx_bytes_per_s FROM signatures ORDER BY 1, 2"
    assert target.rows(sql) == source.engine.rows(sql)
    sql = "SELECT * FROM servers ORDER BY server"
    assert target.rows(sql) == source.engine.rows(sql)
    with pytest.raises(Refused, match="holds rows already"):
        backup.restore(target, tmp_path / "copy")
    source.close()
    target.close()


def test_a_damaged_or_incomplete_backup_is_refused_before_anything_is_written(filled, tmp_path):
    copy, target = tmp_path / "copy", open_store(f"duckdb:{tmp_path}/other.duckdb")
    with pytest.raises(DataError, match="no complete backup"):
        backup.restore(target.engine, copy)
    backup.backup(filled.engine, copy)
    with pytest.raises(Refused, match="give a new folder"):
        backup.backup(filled.engine, copy)
    bytes_ = bytearray((copy / "signatures.parquet").read_bytes())
    bytes_[100] ^= 1
    (copy / "signatures.parquet").write_bytes(bytes_)
    with pytest.raises(DataError, match="damaged: signatures"):
        backup.restore(target.engine, copy)
    assert target.counts().rows == 0
    target.close()


def test_the_newest_backups_are_kept(filled, tmp_path):
    made = [backup.rotate(filled.engine, tmp_path, START + day * timedelta(days=1), keep=2)
            for day in range(3)]  # fmt: skip
    assert sorted(tmp_path.glob("wattcast-*")) == made[1:]


def test_exported_signatures_carry_the_tags_they_had_then(filled, tmp_path):
    span = (START + STEP, START + 4 * STEP)
    assert export.export(filled.engine, "signatures", tmp_path / "s.arrow", span) == 6
    rows = pa.ipc.open_file(tmp_path / "s.arrow").read_all().to_pylist()
    assert [row["application"] for row in rows] == ["shop", "shop", *["batch"] * 4]
    assert rows[0]["cords_w"] == [100.0, 1.0]
    assert rows[0]["cpu_pct"] is None
    assert export.export(filled.engine, "samples_1m", tmp_path / "m.parquet", ALL) == 20
    assert pq.read_table(tmp_path / "m.parquet").num_rows == 20
    with pytest.raises(ConfigError, match="no table 'nothing'; there are: samples"):
        export.export(filled.engine, "nothing", tmp_path / "x.arrow", ALL)
    with pytest.raises(ConfigError, match=r"ends in \.arrow or"):
        export.export(filled.engine, "samples", tmp_path / "x.csv", ALL)


def test_the_command_backs_up_restores_and_exports(tmp_path, capsys):
    store = open_store(f"duckdb:{tmp_path}/state/signatures.duckdb")
    store.write("a", batch(0))
    store.close()
    file = tmp_path / "control.toml"
    file.write_text('id = "c1"\nsite = "site.toml"\nstate_dir = "state"\n')
    other = tmp_path / "other.toml"
    other.write_text(f'{file.read_text()}[store]\nurl = "duckdb:new.duckdb"\n')
    copy, out = str(tmp_path / "copy"), str(tmp_path / "s.parquet")
    assert main.main(["coordinator", str(file), "--backup", copy]) == 0
    assert main.main(["coordinator", str(other), "--restore", copy]) == 0
    assert main.main(["coordinator", str(other), "--export", out, "--until", "2026-02-01"]) == 0
    assert "signatures: 2 rows" in capsys.readouterr().out
    assert pq.read_table(out)["server"].to_pylist() == ["s1", "s2"]
    assert main.main(["coordinator", str(other), "--restore", copy]) == 3
    assert "holds rows already" in capsys.readouterr().err


def test_a_backup_is_taken_when_the_newest_is_old_enough(filled, tmp_path):
    day = timedelta(days=1)
    for hours in (0, 23, 24, 25, 48):
        filled.back_up(tmp_path / "b", START + timedelta(hours=hours), day, 7)
    assert len(list((tmp_path / "b").iterdir())) == 3
