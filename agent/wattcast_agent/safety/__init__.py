"""Interlocks, fencing and read-back of transfer switches. Pure."""
