"""Forecast models: which there are, which are champions, and when one is replaced."""
