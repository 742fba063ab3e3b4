from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_core.clock import DataClock, Segment
from wattcast_core.errors import ConfigError

T0 = 1_772_438_400.0
STORY = DataClock((Segment(1000.0, T0 - 19200, 300.0), Segment(1064.0, T0, 75.0)))


def test_without_segments_the_data_clock_is_the_real_clock():
    at = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert DataClock().now(at.timestamp()) == at
    assert DataClock().speed(at.timestamp()) == 1.0


@given(st.floats(1000, 5000))
def test_real_and_data_time_are_inverse(real_s):
    assert STORY.real_s(STORY.now(real_s)) == pytest.approx(real_s, abs=1e-4)


@given(st.floats(1000, 5000), st.floats(0, 100))
def test_data_time_never_runs_backwards(real_s, later_s):
    assert STORY.now(real_s + later_s) >= STORY.now(real_s)


def test_history_runs_faster_than_the_story():
    assert STORY.speed(1010) == 300.0
    assert STORY.now(1064 + 4) - STORY.now(1064) == timedelta(seconds=300)


def test_a_clock_that_would_step_back_is_refused():
    with pytest.raises(ConfigError, match="must not step back"):
        DataClock((Segment(0, 100, 1), Segment(10, 50, 1)))
