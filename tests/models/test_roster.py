"""Who serves which servers, and what a trial finds."""

import math

import numpy as np
import pytest
from variants import end_of, signatures

from wattcast_agent.forecast.roster import OWN, Roster
from wattcast_agent.forecast.trial import ISSUES, Trial
from wattcast_agent.infer.guard import Guarded, probe
from wattcast_core.errors import DataError
from wattcast_core.forecast import Kind
from wattcast_core.models import ALL, Stage
from wattcast_core.signal.steps import HORIZON


def flat(spread=1.0, shift=0.0):
    """A model that says: no change, more or less."""
    rows = np.array([-1.0, 0.0, 1.0, 2.0]) * spread + shift

    def predict(x):
        return np.broadcast_to(rows, (len(x), HORIZON, 4)).copy()

    return predict


def made(name, predict):
    return Guarded(predict, name)


def run(roster, steps, first=0, application=""):
    out = []
    for k in range(first, first + steps):
        new = signatures(k, application=application)
        out.append(roster.update(new, end_of(k), float(k)))
    return out


def test_a_new_model_serves_at_once_with_what_the_old_one_learned():
    roster = Roster(made("own", flat()))
    before = run(roster, 70)[-1]
    assert {f.model_id for f in before if f.kind is Kind.LSTM} <= {"own"}
    roster.seat(ALL, "a" * 64, made("new", flat()), trial=True)
    after = run(roster, 1, 70)[0]
    assert len(after) == 2, "no window had to be filled anew"
    assert roster.serving(ALL) == "a" * 64


def test_a_trial_ends_with_the_new_one_if_it_is_no_worse():
    roster = Roster(made("own", flat()))
    run(roster, 70)
    roster.seat(ALL, "a" * 64, made("new", flat()), trial=True)
    run(roster, ISSUES + 2, 70)
    (verdict,) = roster.verdicts()
    assert (verdict.stage, verdict.why) == (Stage.SERVING, "")
    assert roster.serving(ALL) == "a" * 64


def test_a_worse_model_leaves_its_seat_and_the_figures_say_why():
    roster = Roster(made("own", flat()))
    run(roster, 70)
    roster.seat(ALL, "a" * 64, made("new", flat(shift=40.0)), trial=True)
    served = run(roster, ISSUES + 2, 70)
    (verdict,) = roster.verdicts()
    assert verdict.stage is Stage.WORSE
    assert "lost" in verdict.why
    assert "where the one before lost" in verdict.why
    assert roster.serving(ALL) == OWN
    assert all(len(step) == 2 for step in served), "no step without a forecast"


@pytest.mark.parametrize("trial", [True, False])
def test_answers_that_are_no_numbers_are_never_served(trial):
    roster = Roster(made("own", flat()))
    run(roster, 70)
    shift = [0.0]

    def predict(x):
        return flat(shift=shift[0])(x)

    model = made("new", predict)
    roster.seat(ALL, "a" * 64, model, trial=trial)
    run(roster, 3, 70)
    shift[0] = math.nan
    (served,) = run(roster, 1, 73)
    (verdict,) = roster.verdicts()
    assert verdict.stage is Stage.DEFECT
    assert "not finite" in verdict.why
    assert len(served) == 2
    assert all(np.isfinite(f.quantiles_w).all() for f in served)
    assert roster.serving(ALL) == (OWN if trial else "a" * 64), "kept until another one is seated"


def test_each_application_has_its_own_and_servers_may_change_theirs():
    roster = Roster(made("own", flat()))
    run(roster, 70, application="web")
    roster.seat("web", "a" * 64, made("web-model", flat()))
    run(roster, 20, 70, application="web")
    web = run(roster, 1, 90, application="web")[0]
    mail = run(roster, 1, 91, application="mail")[0]
    assert {f.model_id for f in web} <= {"web-model", "naive"}
    assert {f.model_id for f in mail} <= {"own", "naive"}
    assert len(mail) == 2, "the other forecaster has followed the server all along"
    roster.vacate("web")
    assert roster.serving("web") == OWN


def test_an_identical_forecaster_is_found_equal_and_gaps_are_passed_over():
    trial, roster = Trial(), Roster(made("own", flat()))
    for k in range(70 + ISSUES):
        new = signatures(k, servers=("s1", "s2") if k % 7 else ("s1",))
        both = roster.update(new, end_of(k), float(k))
        if k >= 70:
            trial.take(new, both, both, end_of(k))
    assert trial.issues == ISSUES - 1
    assert trial.loss_w[0] == trial.loss_w[1] > 0
    assert trial.verdict() is None


def test_a_probe_asks_the_model():
    probe(made("good", flat()))
    with pytest.raises(DataError, match=r"probe: bad answered .* not finite"):
        probe(made("bad", flat(shift=math.inf)))
    with pytest.raises(DataError, match="not in order"):
        probe(made("bad", flat(spread=-1.0)))
