import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_coordinator.economy.values import EARLIER, FALLBACK, PUBLISHED, Values, ahead, values
from wattcast_core.errors import DataError

HOUR, DAY = 3600.0, 86_400.0


def hourly(*value, begin=0.0):
    return values([begin + k * HOUR for k in range(len(value))], value, "test")


def test_a_value_holds_until_the_next_one():
    known = hourly(10, -5, 30)
    assert [known.at(s) for s in (0, 1799, 3600, 7199, 7200, 10_799)] == [10, 10, -5, -5, 30, 30]


def test_before_the_first_and_after_the_last_step_there_is_no_value():
    known = hourly(10, 20)
    assert known.at(-1) is None
    assert known.at(2 * HOUR) is None


def test_a_gap_is_not_bridged_by_an_old_value():
    known = values([0, HOUR, 2 * HOUR, 9 * HOUR], [1, 2, 3, 4], "test")
    assert known.at(2.4 * HOUR) == 3
    assert known.at(5 * HOUR) is None


def test_missing_values_are_left_out_and_negative_ones_kept():
    known = values([0, HOUR, 2 * HOUR, 3 * HOUR], [None, -70.0, math.nan, 2.0], "test")
    assert known.at_s == (HOUR, 3 * HOUR)
    assert known.value == (-70.0, 2.0)


def test_an_answer_without_any_value_is_an_error_that_names_the_place():
    with pytest.raises(DataError, match="zone DE: no value"):
        values([0, HOUR], [None, math.nan], "zone DE")


def test_two_values_for_one_time_are_an_error():
    with pytest.raises(DataError, match="time zone"):
        values([0, 0], [1.0, 2.0], "test")


def test_newer_values_replace_older_ones_of_their_span_only():
    old = hourly(1, 2, 3, 4)
    new = values([HOUR, 2 * HOUR], [20, 30], "test")
    assert old.joined(new, keep_from_s=0).value == (1, 20, 30, 4)
    assert old.joined(new, keep_from_s=HOUR).value == (20, 30, 4)


def test_the_same_hour_of_the_newest_known_day_stands_in_for_what_is_not_published():
    days = hourly(*(h + 100 * d for d in range(2) for h in range(24)))
    found = ahead(days, 2 * DAY + 5 * HOUR, HOUR, 3, fallback=-1.0)
    assert found.value == (105, 106, 107)
    assert found.origin == (EARLIER,) * 3


def test_published_comes_before_earlier_days_and_the_fallback_last():
    days = hourly(*range(24))
    found = ahead(days, 22 * HOUR, HOUR, 3, fallback=-1.0)
    assert found.value == (22, 23, 0)
    assert found.origin == (PUBLISHED, PUBLISHED, EARLIER)
    assert found.worst == EARLIER
    nothing = ahead(Values(), 0.0, HOUR, 2, fallback=0.2)
    assert nothing.value == (0.2, 0.2)
    assert nothing.worst == FALLBACK


@given(st.lists(st.floats(-500, 5000), min_size=1, max_size=60), st.integers(0, 200))
def test_whatever_is_known_every_step_gets_a_finite_value(numbers, hour):
    found = ahead(hourly(*numbers), hour * HOUR, 300.0, 12, fallback=0.2)
    assert all(math.isfinite(v) for v in found.value)
    assert all((o == FALLBACK) == (v not in numbers) or v == 0.2
               for v, o in zip(found.value, found.origin, strict=True))  # fmt: skip
