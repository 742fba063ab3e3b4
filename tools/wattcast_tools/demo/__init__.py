"""The demonstration: a whole room, really run three times, on one machine."""
