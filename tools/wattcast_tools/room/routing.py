"""Which rack PDU carries which part of each server, now and after the loss of any feed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wattcast_tools.room.layout import Layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Routes:
    """Where power flows while nothing changes.

    Attributes:
        share: [1 + feed, server, pdu] part of a server's power on each rack PDU; row 0 is the
            present, row 1 + f the state after feed f is lost too. A dark server's row is zero.
        inlet: [server] the ATS inlet (0 or 1) that carries it; 0 for dual-corded servers.
    """

    share: FloatArray
    inlet: IntArray

    @property
    def powered(self) -> BoolArray:
        """[server] whether it has power now."""
        return np.asarray(self.share[0].sum(axis=1) > 0.0)


class Router:
    """The room's wiring as arrays."""

    def __init__(self, layout: Layout) -> None:
        pdus = {p.id: i for i, p in enumerate(layout.pdus)}
        feeds = {f.id: i for i, f in enumerate(layout.feeds)}
        switches = {s.rack: i for i, s in enumerate(layout.switches)}
        self.feed_of = np.array([feeds[p.feed] for p in layout.pdus])
        self.sides = np.array(
            [[pdus[f"pdu-{s.rack}-{side}"] for side in "ab"] for s in layout.servers]
        )
        self.switch_of = np.array(
            [switches[s.rack] if s.share_a is None else -1 for s in layout.servers]
        )
        self.share_a = np.array([s.share_a or 0.0 for s in layout.servers])
        self.to_feed = np.zeros((len(pdus), len(feeds)))
        self.to_feed[np.arange(len(pdus)), self.feed_of] = 1.0

    def routes(
        self, feed_up: BoolArray, pdu_up: BoolArray, switch_up: BoolArray, active: Sequence[int]
    ) -> Routes:
        """Routes for the present state.

        Args:
            feed_up: [feed] whether it is alive.
            pdu_up: [pdu] whether it has not tripped.
            switch_up: [switch] whether it works.
            active: [switch] inlet (0 or 1) each ATS stands on.
        """
        inlet = np.where(self.switch_of >= 0, np.asarray(active)[self.switch_of], 0)
        rows = []
        for lost in range(-1, len(feed_up)):
            up = feed_up.copy()
            if lost >= 0:
                up[lost] = False
            rows.append(self._shares(pdu_up & up[self.feed_of], switch_up, inlet))
        return Routes(np.stack(rows), inlet)

    def _shares(self, live: BoolArray, switch_up: BoolArray, inlet: IntArray) -> FloatArray:
        """[server, pdu] while the rack PDUs ``live`` have power."""
        cords = live[self.sides]
        dual = np.stack([self.share_a, 1.0 - self.share_a], axis=1) * cords
        total = dual.sum(axis=1, keepdims=True)
        dual = np.divide(dual, total, out=np.zeros_like(dual), where=total > 0)
        # An ATS takes the other source by itself when its own is dead.
        index = np.arange(len(inlet))
        taken = np.where(cords[index, inlet], inlet, 1 - inlet)
        single = np.zeros_like(dual)
        single[index, taken] = cords[index, taken] & switch_up[self.switch_of]
        part = np.where(self.switch_of[:, None] >= 0, single, dual)
        out = np.zeros((len(inlet), len(live)))
        np.put_along_axis(out, self.sides, part, axis=1)
        return out
