"""``wattcast plan`` and ``wattcast bench plan`` as commands."""

import argparse
import json

import numpy as np
import pytest

from wattcast_core.errors import ConfigError
from wattcast_tools import bench_plan, plan_cmd

SMALL = {"servers": 36, "rack": 12, "per": 2, "feeds": 3, "movable": 60, "displaced": 10}


def call(module, *words):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def room(make_room, tmp_path):
    path = tmp_path / "room.npz"

    def write(**changes):
        arrays = make_room(**SMALL, seed=1)
        np.savez(path, **(arrays | {k: change(arrays[k]) for k, change in changes.items()}))
        return path

    return write


def test_the_judge_accepts_the_written_plan(room, judge, tmp_path, capsys):
    out = tmp_path / "plan.json"
    assert call(plan_cmd, room(), "--out", out, "--json") == 0
    plan = json.loads(out.read_text())
    assert judge.check(dict(np.load(room())), plan)["ok"]
    assert json.loads(capsys.readouterr().out)["moves"] == plan["moves"]


def test_the_table_tells_what_each_action_relieves(room, capsys):
    assert call(plan_cmd, room()) == 0
    text = capsys.readouterr().out
    assert "takes" in text
    assert "W off feed" in text
    assert "then every node keeps its limit" in text
    assert "P(over)" in text


def test_the_search_stops_while_schedule_and_proof_still_fit_in(monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr(plan_cmd.time, "perf_counter", lambda: now_s[0])
    deadline = plan_cmd.Deadline(1.0)
    now_s[0] = 0.3  # a busy machine: the first goal took so long
    assert not deadline()
    now_s[0] = 0.72
    assert not deadline()
    now_s[0] = 0.73  # three quarters of it again, and a twentieth of the deadline
    assert deadline()


def test_a_refusal_says_why_and_writes_nothing(room, tmp_path, capsys):
    out = tmp_path / "plan.json"
    path = room(wl_movable=np.zeros_like, max_ats=lambda _: 0)
    assert call(plan_cmd, path, "--out", out, "--json") == 3
    assert "may not be moved" in json.loads(capsys.readouterr().out)["refused"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("wl_w", lambda value: value * np.nan),
        ("server_cord", lambda value: value + 1000),
        ("wl_cpu", lambda value: value[:-1]),
        ("node_alt", lambda value: value * 0 + 5),
        ("wl_bw_mibs", lambda value: value * 0),
    ],
)
def test_an_untrustworthy_file_is_refused_by_array_name(room, array, change):
    with pytest.raises(ConfigError, match=array):
        call(plan_cmd, room(**{array: change}))


def test_an_unreadable_file_is_refused_by_its_name(tmp_path):
    broken = tmp_path / "broken.npz"
    broken.write_text("not an instance")
    for path in (broken, tmp_path / "absent.npz"):
        with pytest.raises(ConfigError, match=path.name):
            call(plan_cmd, path)


def test_the_benchmark_checks_every_plan_again(capsys):
    assert call(bench_plan, "--classes", "few,easy1k", "--seeds", 2, "--check", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["summary"]) == {"few", "easy1k"}
    facts = report["summary"]["few"]
    assert (facts["problems"], facts["invalid"]) == (2, 0)
    assert facts["first_ms_p50"] <= facts["total_ms_p95"]
    assert facts["gap_max"] is None or facts["gap_max"] < 25
    assert all(result["valid"] for result in report["results"]["few"] if result["solved"])


def test_the_best_costs_known_are_kept_in_a_file(tmp_path, mocker, capfd):
    kept = tmp_path / "best.json"
    mocker.patch.object(bench_plan, "BEST_KNOWN", kept)
    options = ("--class", "easy1k", "--seeds", 1)
    assert call(bench_plan, *options, "--best-known", 0.5) == 0
    known = json.loads(kept.read_text())["easy1k"]["0"]
    assert call(bench_plan, *options, "--json") == 0
    (result,) = json.loads(capfd.readouterr().out)["results"]["easy1k"]
    assert result["gap"] == pytest.approx(100 * (result["cost"] / known - 1), abs=0.01)
