"""Each cycle's money: prices for the decision, what people see of them, and whom to tell."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from wattcast_coordinator.api.view import JobView, MeterView
from wattcast_coordinator.economy.jobs import Advice, Surroundings, advise
from wattcast_coordinator.ports import RaiseEvent, Severity
from wattcast_coordinator.run.parts import Parts
from wattcast_coordinator.run.prices import Costs
from wattcast_coordinator.run.view import LiveView
from wattcast_coordinator.topology.graph import FEED, Graph

_HORIZON_STEPS = 12
_APART = timedelta(hours=12)  # two windows of a job


class Money:
    """Prices of a term; without meters it does nothing."""

    def __init__(self, parts: Parts, graph: Graph, view: LiveView) -> None:
        self._parts, self._graph, self._view = parts, graph, view
        self._grid = parts.control.grid
        self._told: frozenset[str] = frozenset()
        self._due: dict[str, datetime] = {}

    async def costs(self, at: datetime) -> Costs:
        """What power costs from ``at`` on; people are told of what is not known."""
        if not self._grid.meter:
            return Costs()
        step_s = self._parts.control.decision.step_s
        load_w = self._view.loads_w()
        peak_w = {
            feed: max(v for v in fan.q50 if v is not None)
            for feed, (fan, _) in self._view.fans.items()
        }
        prices = self._parts.prices
        prices.note(at, load_w, step_s)
        found = prices.costs(at, load_w, peak_w, _HORIZON_STEPS * step_s)
        jobs = advise(self._grid.job, at, self._surroundings(found, load_w))
        self._view.meters = self._meters(found)
        self._view.jobs = tuple(JobView.model_validate(job) for job in jobs)
        await self._tell(found, jobs, at)
        return found

    async def _tell(self, found: Costs, jobs: tuple[Advice, ...], at: datetime) -> None:
        for doubt in found.doubts:
            if doubt not in self._told:
                await self._parts.tell(RaiseEvent(Severity.WARNING, "price_unknown", doubt, at))
        self._told = frozenset(found.doubts)
        soon = at + timedelta(seconds=self._parts.control.decision.step_s)
        for job in jobs:
            last = self._due.get(job.workload)
            if job.begin is None or job.begin >= soon or (last and job.begin - last < _APART):
                continue
            self._due[job.workload] = job.begin
            text = (
                f"{job.workload}: run it now; {job.cost:.2f} {self._grid.currency} until it is"
                " done, the least in its window"
            )
            await self._parts.tell(RaiseEvent(Severity.INFO, "job_due", text, at))

    def _surroundings(self, found: Costs, load_w: Mapping[str, float]) -> dict[str, Surroundings]:
        out = {}
        for job in self._grid.job:
            server = self._parts.board.placement.get(job.workload, "")
            shares = self._shares(server) if server in self._graph.server else {}
            if not shares or not shares.keys() <= found.hourly.keys():
                continue
            meter = next(m for m in self._grid.meter if next(iter(shares)) in m.feeds)
            peak_w = self._parts.prices.demand[meter.id].peak_w
            meter_w = float(np.nan_to_num(sum(load_w.get(f, np.nan) for f in meter.feeds)))
            out[job.workload] = Surroundings(
                hourly_per_kwh=sum(
                    (part * np.array(found.hourly[feed]) for feed, part in shares.items()),
                    start=np.zeros(1),
                ),
                spare_w=min(self._spare_w(feed) for feed in shares),
                meter_w=meter_w,
                peak_w=max(peak_w, meter_w),
                charge_per_kw=meter.demand_charge_per_kw,
            )
        return out

    def _shares(self, server: str) -> dict[str, float]:
        """Feed -> share of a server's power, while all is live."""
        graph, row = self._graph, self._graph.server[server]
        out: dict[str, float] = {}
        for cord, part in zip(graph.cord[row], graph.share[row], strict=True):
            node = int(cord)
            while node >= 0 and graph.kind[node] != FEED:
                node = int(graph.parent[node])
            if node >= 0 and part > 0:
                out[graph.nodes[node]] = out.get(graph.nodes[node], 0.0) + float(part)
        return out

    def _spare_w(self, feed: str) -> float:
        """Watts that a feed has left in the coming hour, as it is and after the worst loss."""
        fan, worst = self._view.fans.get(feed, (None, None))
        if fan is None:
            return 0.0
        node = self._graph.node[feed]
        left_w = self._graph.limit_base_w[node] - max(v for v in fan.q99 if v is not None)
        if worst is not None and worst.load_w is not None:
            left_w = min(left_w, self._graph.limit_n1_w[node] - worst.load_w)
        return max(float(left_w), 0.0)

    def _meters(self, found: Costs) -> tuple[MeterView, ...]:
        return tuple(
            MeterView(
                id=m.id,
                feeds=m.feeds,
                currency=self._grid.currency,
                hourly_per_kwh=tuple(found.meters[m.id].tolist()),
                peak_w=self._parts.prices.demand[m.id].peak_w,
                doubts=tuple(d for d in found.doubts if d.startswith(f"meter {m.id}:")),
            )
            for m in self._grid.meter
        )
