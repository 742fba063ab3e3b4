"""Where load would exceed limits, when, how surely, and what a device bears until it trips."""
