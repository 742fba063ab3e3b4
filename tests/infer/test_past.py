"""A forecaster that restarts goes on with what it had learned."""

import math

import numpy as np
import pytest

from wattcast_agent.forecast import past
from wattcast_agent.forecast.forecaster import Forecaster
from wattcast_agent.forecast.past import Past
from wattcast_agent.run import past_file
from wattcast_core.errors import DataError
from wattcast_core.signal.features import CONTEXT
from wattcast_core.signal.steps import DAY, HORIZON, STEP_S
from wattcast_core.signature import FEATURES, Signature
from wattcast_core.units import from_epoch_s

T0 = 1_700_000_100.0 // STEP_S * STEP_S


class Looker:
    """A model that says "as now" and remembers what it was given."""

    def __call__(self, inputs):
        self.inputs = inputs
        return np.tile([-0.1, 0.0, 0.1, 0.2], (len(inputs), HORIZON, 1))


def walk(forecaster, first, steps):
    out = []
    for k in range(first, first + steps):
        at, watts = from_epoch_s(T0 + k * STEP_S), 300.0 + 40.0 * math.sin(k / 9.0)
        values = (math.nan,) * len(FEATURES)
        batch = [Signature(f"s{n}", at, STEP_S, (watts + n,), values) for n in range(3)]
        out = forecaster.update(batch, from_epoch_s(T0 + (k + 1) * STEP_S), 0.0)
    return out


def test_a_restart_keeps_history_margins_and_choice():
    model, again = Looker(), Looker()
    forecaster = Forecaster(model, "m1")
    walk(forecaster, 0, DAY + 40)
    restarted = Forecaster(again, "m1", past=past.load(past.dump(forecaster.past)))
    went_on, came_back = walk(forecaster, DAY + 40, 1), walk(restarted, DAY + 40, 1)
    assert again.inputs.context.tobytes() == model.inputs.context.tobytes()
    assert again.inputs.candidates.tobytes() == model.inputs.candidates.tobytes()
    margins = forecaster.past.trail.margins[0].own
    assert np.abs(margins).max() > 0
    np.testing.assert_allclose(restarted.past.trail.margins[0].own, margins, atol=0.05)
    assert [f.kind for f in came_back] == [f.kind for f in went_on]
    assert "judged on 0 steps" not in came_back[0].reason


def test_a_past_of_another_time_is_forgotten():
    forecaster, model = Forecaster(Looker(), "m1"), Looker()
    walk(forecaster, 500, 100)
    restarted = Forecaster(model, "m1", past=past.load(past.dump(forecaster.past)))
    walk(restarted, 0, 20)
    known = model.inputs.context[:, CONTEXT.index("known_day")]
    np.testing.assert_allclose(known, 20 / DAY)


def test_a_file_that_is_cut_off_or_of_another_shape_is_told_and_left(tmp_path, caplog):
    forecaster = Forecaster(Looker(), "m1")
    walk(forecaster, 0, 30)
    content = past.dump(forecaster.past)
    for broken in (content[: len(content) // 2], b"", b"PK"):
        with pytest.raises(DataError, match="starting anew"):
            past.load(broken)
    forecaster.past.trail.margins[0].own = np.zeros((3, HORIZON, 5))
    with pytest.raises(DataError, match="5"):
        past.load(past.dump(forecaster.past))
    (tmp_path / past_file.FILE).write_bytes(content[:100])
    assert not past_file.read(tmp_path).servers
    assert "starting anew" in caplog.text
    past_file.write(tmp_path, past.load(content))
    assert list(past_file.read(tmp_path).servers) == ["s0", "s1", "s2"]


def test_a_folder_that_cannot_be_written_is_told_not_raised(tmp_path, caplog):
    past_file.write(tmp_path / "absent", Past())
    assert "not kept" in caplog.text
