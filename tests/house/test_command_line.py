"""The house: the command starts light, every command teaches, and the import contracts bite."""

import json
import subprocess
import sys

import pytest

from wattcast_tools import main

HEAVY = [
    "numpy",
    "grpc",
    "google",
    "pymodbus",
    "psutil",
    "zeroconf",
    "duckdb",
    "fastapi",
    "pyetcd",
    "httpx",
    "rich",
    "scipy",
]


def test_the_command_imports_only_the_standard_library_at_start():
    code = "import sys, json; import wattcast_tools.main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    modules = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not modules & set(HEAVY)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_teaches(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main([name, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_a_missing_extra_is_named_with_its_remedy(capsys, mocker):
    error = ModuleNotFoundError("No module named 'duckdb'", name="duckdb")
    mocker.patch("importlib.import_module", side_effect=error)
    assert main.main(["coordinator", "x.toml"]) == 5
    assert "pip install 'wattcast[coordinator]'" in capsys.readouterr().err


def test_a_wrong_file_is_exit_code_2_and_one_line(capsys, tmp_path):
    (tmp_path / "x.toml").write_text('[agent]\nidd = "a"\n')
    assert main.main(["config", str(tmp_path / "x.toml")]) == 2
    err = capsys.readouterr().err
    assert "did you mean 'id'" in err
    assert len(err.splitlines()) == 1
