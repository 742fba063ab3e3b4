"""What ``wattcast bench forecast`` tells."""

import json
from importlib.util import find_spec

from wattcast_tools.main import main


def test_the_figures_come_from_a_process_of_their_own(capsys):
    assert main(["bench", "forecast", "--batch", "5", "--runs", "5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["batch"] == 5
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert 0 < result["cpu_p50_ms"] < result["update_cpu_p50_ms"]
    assert 20 < result["rss_mb"] < 200
    for peer, needed in (("onnxruntime", ("onnxruntime", "onnx")), ("torch", ("torch",))):
        installed = all(find_spec(name) for name in needed)
        assert (result[peer] is not None) == installed


def test_a_batch_of_none_is_refused(capsys):
    assert main(["bench", "forecast", "--batch", "0"]) == 2
    assert "--batch" in capsys.readouterr().err
