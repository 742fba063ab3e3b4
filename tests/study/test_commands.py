"""``wattcast plan --what-if``, ``--maintenance`` and ``--record`` as commands."""

import json
from importlib.resources import files

import pytest

from wattcast_coordinator.study.recording import to_document
from wattcast_tools.main import main

SITE = """
name = "two"
[[feed]]
id = "A"
limit_w = 900
limit_n1_w = 1000
[[feed]]
id = "B"
limit_w = 900
limit_n1_w = 1000
[[pdu]]
id = "p-a"
rack = "7"
feed = "A"
limit_w = 3000
limit_n1_w = 3000
[[pdu]]
id = "p-b"
rack = "7"
feed = "B"
limit_w = 3000
limit_n1_w = 3000
[[server]]
id = "s1"
rack = "7"
cords = ["p-a", "p-b"]
idle_w = 100
full_w = 400
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    return path


@pytest.fixture
def state(tmp_path, record):
    path = tmp_path / "room.json"
    path.write_text(json.dumps(to_document(record(limit_w=3000.0, limit_n1_w=4000.0))))
    return path


def plan(*words):
    return main(["plan", *map(str, words)])


def test_a_room_that_holds_is_answered_with_0(state, capsys):
    assert plan("--what-if", "lose feed A", "--state", state) == 0
    told = capsys.readouterr().out
    assert told.startswith("lose feed A: the room would hold: as it is")
    (feed_b,) = [line for line in told.splitlines() if line.startswith("  feed B:")]
    assert "W of 4000 W (now " in feed_b  # while a loss stands emergency limits hold
    assert "3000 W continuously" in feed_b


def test_json_is_one_document(state, capsys):
    assert plan("--what-if", "lose feed A", "--state", state, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["holds"] == "as it is"
    assert {h["feed"] for h in answer["after"]} == {"B", "C"}


def test_a_room_that_does_not_hold_is_answered_with_3(site, capsys):
    asked = ("--what-if", "add 2 servers to rack 7", "--what-if", "lose A", "--site", site)
    assert plan(*asked) == 3
    told = capsys.readouterr().out
    assert "the room would hold: no" in told
    assert "1200 W of 1000 W" in told


def test_a_question_that_cannot_be_answered_is_a_refusal_in_json_too(site, capsys):
    assert plan("--what-if", "ambient 38", "--site", site, "--json") == 3
    assert "ambient_to_c" in json.loads(capsys.readouterr().out)["refused"]


def test_maintenance_goes_or_not(state, capsys):
    window = "A 2026-01-06T10:00/14:00"
    assert plan("--maintenance", window, "--state", state) == 0
    told = capsys.readouterr().out
    assert told.startswith("GO: A out of service, 2026-01-06 10:00 to 2026-01-06 14:00 UTC")
    assert "bring it back at once if: feed B above" in told
    assert "latest safe return" in told


SITES = files("wattcast_configs").joinpath("sites")


@pytest.mark.parametrize("name", ["america_2n", "europe_3n2"])
def test_a_ups_of_the_example_sites_may_be_taken_out(name, capsys):
    window = "UPS-A 2999-12-01T02:00/06:00"
    assert plan("--maintenance", window, "--site", SITES.joinpath(f"{name}.toml")) == 0
    told = capsys.readouterr().out
    assert told.startswith("GO: ups-a out of service")
    assert "feed A" not in told.split("bring it back")[0]  # dead behind its UPS
    assert "meanwhile the further loss of B would leave" in told


def test_a_no_go_says_why_in_json(site, capsys):
    more = SITE.replace("full_w = 400", "full_w = 950")
    site.write_text(more)
    assert plan("--maintenance", "A 2999-01-06T10:00/14:00", "--site", site, "--json") == 3
    assert "feed B: 950 W of 900 W" in json.loads(capsys.readouterr().out)["refused"]


def test_a_room_is_kept_and_asked_later(site, tmp_path, capsys):
    kept = tmp_path / "kept.json"
    assert plan("--site", site, "--record", kept) == 0
    assert plan("--what-if", "lose feed A", "--state", kept) == 0
    assert "the room would hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, "give an INSTANCE.npz, or a question"),
        (("room.npz", "--what-if", "lose A"), 2, "give an INSTANCE.npz, or a question"),
        (("--what-if", "lose A"), 2, "name the room"),
        (("--what-if", "lose A", "--state", "absent.json"), 2, "absent.json: cannot be read"),
        (("--what-if", "lose A", "--coordinator", "http://127.0.0.1:9"), 4, "does not answer"),
        (("--what-if", "lose A", "--coordinator", "here"), 2, "give http://host:port"),
        (("--what-if", "x", "--maintenance", "y"), 2, "ask one after the other"),
        (("--maintenance", "tonight", "--state", "absent.json"), 2, "is not understood"),
    ],
)
def test_wrong_use_is_told_with_the_remedy(words, code, text, capsys):
    assert plan(*words) == code
    assert text in capsys.readouterr().err


def test_a_file_that_is_no_recording_is_told(tmp_path, capsys):
    path = tmp_path / "other.json"
    path.write_text('{"feeds": []}')
    assert plan("--what-if", "lose A", "--state", path) == 1
    assert "no recording of a room; remedy: record it again" in capsys.readouterr().err
