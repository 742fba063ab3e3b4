"""Prices, carbon intensity and available power from outside: providers, cache, meters."""
