"""Soft migration as a pure saga: look at the world, decide the next step. No I/O, no clock."""
