import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from wattcast_coordinator.ports import Move, MoveState, MoveStatus
from wattcast_coordinator.run.board import Board
from wattcast_core.commands import CommandResult, Outcome
from wattcast_core.devices import DeviceState
from wattcast_core.forecast import Forecast, Kind
from wattcast_core.messages import Batch
from wattcast_core.samples import Quality
from wattcast_core.signature import FEATURES, Signature

START = datetime(2026, 1, 1, tzinfo=UTC)
MOVE = Move("w", "s1", "s2", 0.0, "")


def at(step):
    return START + timedelta(seconds=300 * step)


def batch(step, *, live=True, sampled_real_s=0.0):
    forecast = Forecast(
        "s1", at(step), 300.0, ((1.0,) * 4,), Kind.NAIVE, "", "naive", sampled_real_s
    )
    signature = Signature("s1", at(step), 300.0, (float(step),), (0.0,) * len(FEATURES))
    device = DeviceState("d1", "pdu", at(step), Quality.GOOD)
    return Batch(step, (), (signature,), (forecast,), (device,), live)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_an_older_fact_never_replaces_a_newer(order):
    board = Board()
    for step in order:
        board.take("a1", batch(step, live=step == 3), at(3))
    assert board.forecasts["s1"].issued_at == at(3)
    assert board.signatures["s1"].at == board.devices["d1"].at == at(3)
    assert board.complete(at(3), since=at(2))


def test_of_a_message_with_old_rows_behind_new_ones_the_newest_is_known():
    board = Board()
    rows = tuple(row for step in (2, 3, 1) for row in batch(step).signatures)
    board.take("a1", Batch(1, signatures=rows), at(3))
    assert board.signatures["s1"].at == at(3)


def test_what_waited_in_a_spool_is_no_sign_of_life():
    board = Board()
    board.take("a1", batch(1, live=False), at(3))
    assert board.agents == {}
    assert not board.complete(at(1), since=at(0))


async def test_a_cycle_waits_for_living_agents_only():
    board = Board()
    board.take("dead", batch(1), at(1))
    board.take("a1", batch(4), at(4))
    waiting = asyncio.create_task(board.wait_complete(at(5), at(3), 30.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    board.take("a1", batch(5), at(5))
    await asyncio.wait_for(waiting, 5)
    await board.wait_complete(at(6), at(4), 0.01)  # patience ends


def test_ended_moves_and_results_are_forgotten_once_booked():
    board = Board()
    running = MoveStatus("m1", MOVE, MoveState.RUNNING)
    ended = MoveStatus("m2", MOVE, MoveState.DONE)
    result = CommandResult("c1", "ats", 1, Outcome.TRANSFERRED, "", START)
    later = CommandResult("c2", "ats", 1, Outcome.REFUSED, "", START)
    board.moves, board.results = {"m1": running, "m2": ended}, [result]
    seen = tuple(board.moves.values()), tuple(board.results)
    board.moves["m1"] = done = MoveStatus("m1", MOVE, MoveState.DONE)
    board.results.append(later)
    board.forget(*seen)
    assert board.moves == {"m1": done}
    assert board.results == [later]


async def test_a_term_that_ends_while_it_waits_does_not_bar_the_answer():
    board = Board()
    waiting = asyncio.create_task(asyncio.wait({board.answer("c1")}))
    await asyncio.sleep(0)
    waiting.cancel()
    result = CommandResult("c1", "ats", 1, Outcome.TRANSFERRED, "", START)
    board.take_answer(result)
    assert await board.answer("c1") is result


def test_reaction_counts_only_readings_whose_time_is_told():
    board = Board()
    board.take("a1", batch(1), at(1))
    board.note_reaction(100.0, at(1))
    board.take("a1", batch(2, sampled_real_s=99.5), at(2))
    board.note_reaction(100.0, at(2))
    assert list(board.reactions_real_s) == [0.5]
