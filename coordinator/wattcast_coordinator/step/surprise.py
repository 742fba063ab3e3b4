"""Steps that no forecast could know: load that jumps beyond what was thought possible.

A forecast sees minutes. A job that starts on a thousand accelerators at once steps up within
milliseconds; what it overloads was never ahead of us, and people should be told so.
"""

from dataclasses import replace

import numpy as np

from wattcast_coordinator.aggregate.standing import Standing
from wattcast_coordinator.ports import Inputs, MoveState
from wattcast_coordinator.risk.judgement import Judgement
from wattcast_coordinator.step.state import State

_HIGHEST_Z = 3.0902  # the 0.999 quantile
_LEAST = 0.02  # of a feed's limit: smaller steps are not worth a word


def stepped_up(
    state: State, judged: Judgement, inputs: Inputs, standing: Standing
) -> tuple[State, frozenset[str]]:
    """Feeds that carry more now than the last cycle's 0.999 quantile for now.

    Moves, transfers and losses change loads on purpose or for a reason that is told elsewhere:
    around them nothing is called a surprise.
    """
    graph, room = judged.room.graph, judged.room
    forecast_w = judged.servers.mean_w[:, 0]
    present = np.array(
        [_power_w(inputs, *known) for known in zip(graph.servers, forecast_w, strict=True)]
    )
    load_w = room.matrices.base.linear @ (room.gathered.linear @ present)
    highest_w = judged.single.base.quantile_w(_HIGHEST_Z)[:, 0]
    feeds = {feed: graph.node[feed] for feed in graph.feeds}
    quiet = not standing.shifts and not standing.lost and state.plan is None
    quiet &= all(move.state is not MoveState.RUNNING for move in inputs.moves)
    found = frozenset(
        feed
        for feed, node in feeds.items()
        if quiet
        and feed in state.expected_w
        and load_w[node] > state.expected_w[feed] + _LEAST * graph.limit_base_w[node]
    )
    expected = {feed: float(highest_w[node]) for feed, node in feeds.items()}
    return replace(state, expected_w=expected if quiet else {}), found


def _power_w(inputs: Inputs, server: str, otherwise_w: float) -> float:
    signature = inputs.signatures.get(server)
    known = signature is not None and np.isfinite(signature.power_w)
    return signature.power_w if signature is not None and known else otherwise_w
