"""From samples to one aligned vector a server a step. Pure."""
