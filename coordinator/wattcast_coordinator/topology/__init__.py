"""The power graph and the planning problem laid over it."""
