"""The ``wattcast`` command, the demo, the simulated room and the benchmarks."""
