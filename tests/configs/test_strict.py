import pytest

from wattcast_configs.files import load_control, load_rack, load_site
from wattcast_core.errors import ConfigError

SITE = """
name = "lab"
[[feed]]
id = "A"
limit_w = 4000
limit_n1_w = 5000
[[pdu]]
id = "pdu-r1-a"
rack = "r1"
feed = "A"
limit_w = 3000
limit_n1_w = 3000
[[server]]
id = "r1-s01"
rack = "r1"
cords = ["pdu-r1-a"]
shares = [1.0]
idle_w = 100
full_w = 300
"""


def _file(tmp_path, text, name="site.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_good_site_is_read_with_numbers_as_floats(tmp_path):
    site = load_site(_file(tmp_path, SITE))
    assert site.feed[0].limit_w == 4000.0
    assert site.server[0].cords == ("pdu-r1-a",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("limit_w = 4000", "limit_ww = 4000", ["site.toml: feed[0]", "limit_ww", "'limit_w'?"]),
        ("limit_w = 4000", 'limit_w = "much"', ["feed[0]: limit_w", "'much'", "float"]),
        ("limit_n1_w = 5000\n", "", ["site.toml", "feed A", "'limit_n1_w' is missing"]),
        ('feed = "A"', 'feed = "Z"', ["site.toml", "pdu pdu-r1-a: feed", "'Z'", "known: A"]),
        ("shares = [1.0]", "shares = [0.5, 0.5]", ["site.toml", "server r1-s01", "share"]),
        ("[[feed]]", "[[feed]", ["site.toml: not valid TOML", "line"]),
    ],
    ids=["unknown key", "wrong type", "missing key", "dangling name", "cords", "syntax"],
)
def test_a_wrong_site_names_file_key_and_remedy(tmp_path, old, new, words):
    with pytest.raises(ConfigError) as caught:
        load_site(_file(tmp_path, SITE.replace(old, new, 1)))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load_rack(tmp_path / "nowhere.toml")


def test_clock_segments_reach_the_data_clock(tmp_path):
    text = 'id = "c1"\nsite = "site.toml"\nstate_dir = "s"\n[clock]\nsegments = [[1, 2, 75]]\n'
    control = load_control(_file(tmp_path, text, "coordinator.toml"))
    assert control.clock.clock().speed(10.0) == 75.0
