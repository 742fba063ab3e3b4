import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattcast_core.columns import SampleColumns, SignatureColumns, milliseconds
from wattcast_core.samples import Quality, Sample
from wattcast_core.signature import FEATURES, Signature, Tags

AT = datetime(2026, 1, 1, tzinfo=UTC)
numbers = st.floats(allow_nan=False)
times = st.integers(0, 10**9).map(lambda ms: AT + timedelta(milliseconds=ms))


@st.composite
def signatures(draw):
    count = draw(st.integers(0, 3))
    cords = st.tuples(*[numbers] * count)
    return Signature(
        draw(st.sampled_from("abc")), draw(times), draw(numbers), draw(cords),
        tuple(draw(st.lists(numbers, min_size=len(FEATURES), max_size=len(FEATURES)))),
        Tags(application=draw(st.sampled_from(["", "shop"]))), draw(st.sampled_from(Quality)),
        cords_v=draw(st.one_of(st.just(()), cords)),
    )  # fmt: skip


samples = st.builds(
    Sample, st.text(max_size=3), st.text(max_size=3), numbers, times, st.sampled_from(Quality)
)


@given(st.lists(signatures(), max_size=6), st.lists(signatures(), max_size=6))
def test_columns_of_signatures_are_the_same_rows_also_joined_and_in_part(first, second):
    parts = [SignatureColumns.of(first), SignatureColumns.of(second)]
    joined = SignatureColumns.join(parts)
    assert joined == (*first, *second)
    assert joined[1:4] == [*first, *second][1:4]
    assert parts[0] == first
    later = [s for s in first if s.at <= AT + timedelta(days=5)]
    assert parts[0].until(milliseconds(AT + timedelta(days=5))) == later
    expected = [s.power_w for s in (*first, *second)]
    np.testing.assert_allclose(joined.power_w, expected, rtol=1e-12)


@given(st.lists(samples, max_size=6), st.lists(samples, max_size=6))
def test_columns_of_samples_are_the_same_rows_also_joined_and_in_part(first, second):
    joined = SampleColumns.join([SampleColumns.of(first), SampleColumns.of(second)])
    assert joined == (*first, *second)
    assert list(joined) == [*first, *second]
    assert SampleColumns.of(joined) is joined


def test_power_is_unknown_where_one_cord_is_or_where_there_is_none():
    rows = [Signature("s", AT, 10.0, cords, (0.0,) * len(FEATURES)) for cords in
            ((1.0, 2.0), (1.0, math.nan), (), (5.0,))]  # fmt: skip
    assert SignatureColumns.of(rows).power_w.tolist() == pytest.approx(
        [3, math.nan, math.nan, 5], nan_ok=True
    )
