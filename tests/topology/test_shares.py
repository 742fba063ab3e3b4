"""Fitting how servers split their power, on recorded dual supplies."""

from pathlib import Path

import numpy as np
import pytest

from wattcast_coordinator.topology.shares import fit
from wattcast_tools import main
from wattcast_tools.topology_cmd import _read_cords

RECORDED = Path(__file__).parent / "data" / "dual_psu.csv"


@pytest.mark.parametrize(
    ("server", "first", "spare"),
    [("lichtmandce03", 0.36, False), ("lichtmandce04", 0.62, False), ("holygpu2c0701", 0.86, True)],
)
def test_recorded_supplies_do_not_share_evenly(server, first, spare):
    split = fit(_read_cords(RECORDED)[server])
    assert split.shares[0] == pytest.approx(first, abs=0.015)
    assert sum(split.shares) == pytest.approx(1.0)
    assert split.spare is spare
    assert 0.0 < split.doubt < 0.15


def test_the_doubt_covers_nineteen_readings_of_twenty():
    table = _read_cords(RECORDED)["lichtmandce03"]
    split = fit(table)
    share = table / table.sum(1, keepdims=True)
    covered = (share <= np.array(split.shares) + split.doubt + 1e-9).all(1)
    assert covered[np.isfinite(table).all(1)].mean() >= 0.95


def test_too_few_or_broken_readings_fit_nothing():
    assert fit(np.full((23, 2), 100.0)) is None
    assert fit(np.full((100, 2), np.nan)) is None
    assert fit(np.full((100, 2), 1.0), idle_w=50.0) is None, "the server is off"


def test_the_command_prints_lines_for_the_site_file(tmp_path, capsys):
    site = tmp_path / "site.toml"
    site.write_text(
        'name = "x"\n[[feed]]\nid = "A"\nlimit_w = 1\nlimit_n1_w = 1\n'
        '[[pdu]]\nid = "a"\nrack = "r"\nfeed = "A"\nlimit_w = 1\nlimit_n1_w = 1\n'
        '[[server]]\nid = "lichtmandce03"\nrack = "r"\ncords = ["a", "a"]\n'
    )
    assert main.main(["topology", "fit", str(site), "--cords", str(RECORDED)]) == 0
    out = capsys.readouterr().out
    assert "shares = [0.3" in out
    assert "share_doubt = 0.0" in out
    assert "lichtmandce04: not in the site file" in out
    assert main.main(["topology", "fit", str(site), "--cords", str(site)]) == 1
