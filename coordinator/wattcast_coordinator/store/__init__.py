"""The signature database."""
