"""Where the coordinator is: a fixed address, or whoever announces the cluster by zeroconf."""
