"""Groups of workloads."""

import numpy as np

from wattcast_coordinator.topology.instance import IntArray


class Groups:
    """Which workloads belong to each group."""

    def __init__(self, group: IntArray) -> None:
        """Sort members by group: [W] index of a group, -1 = none."""
        self._member = np.argsort(group, kind="stable")
        self._start = np.searchsorted(group[self._member], np.arange(group.max(initial=-1) + 2))

    def members(self, group: int) -> IntArray:
        """Workloads of a group, ascending; none of group -1."""
        if group < 0:
            return self._member[:0]
        return self._member[self._start[group] : self._start[group + 1]]
