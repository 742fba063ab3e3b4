"""What the composition root owes the safety state."""

import pytest

from wattcast_agent.run import Agent
from wattcast_agent.safety.state import Kept
from wattcast_agent.step import Keep
from wattcast_core.errors import DataError


@pytest.fixture
def agent(mocker):
    """An agent without devices; its disk is the hardware that cannot be had full on demand."""
    made = Agent.__new__(Agent)
    made._spool = mocker.Mock()
    made._unkept = made._link = None
    return made


async def test_what_a_full_disk_did_not_take_is_kept_for_the_next_beat(agent):
    kept = Kept(highest_token=42)
    agent._spool.put.side_effect = DataError("disk full")
    await agent._carry_out([Keep(kept)])
    assert agent._unkept is kept
    agent._spool.put.side_effect = None
    assert agent._keep(agent._unkept)
    assert agent._unkept is None
