"""Groups of workloads."""

import numpy as np

from wattcast_coordinator.topology.instance import IntArray


class Groups:
    """Which workloads belong to each group."""

    def __init__(self, group: IntArray) -> None:
        """Sort members by group: [W] index of a group, -1 = none."""
        self._member = np.argsort(group, kind="stable")
        self._group = group[self._member]

    def members(self, group: int) -> IntArray:
        """Workloads of a group, ascending; none of group -1."""
        if group < 0:
            return self._member[:0]
        first, last = np.searchsorted(self._group, [group, group + 1])
        return self._member[first:last]
