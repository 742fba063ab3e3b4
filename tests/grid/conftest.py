"""Doubles of providers on loopback."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from http_double import Double


@pytest.fixture
def double():
    """Make one with a function of the request; closed at the end."""
    made = []

    def make(answer):
        made.append(Double(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()
