"""Simulation study: how many servers feeds carry without an N-1 violation, by way of operation."""
